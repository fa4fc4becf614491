"""The tables, rights and views of a team's ledger, as statements of PostgreSQL 15 and later.

Six roles, of which none can log in:

- ``snapenv_owner`` owns the tables. Row-level security is forced, so it reads none of the runs.
- ``snapenv_reader`` owns the views of managers and finance, ``snapenv_writer`` the function that
  takes rows. Nobody is a member of these three.
- ``snapenv_member`` reads its own runs and those of its projects, and may call that function.
- ``snapenv_manager`` reads sums by project and pseudonym, ``snapenv_finance`` sums by project.
  They have no right on any table.

``login`` is who handed a run over, as PostgreSQL knows them. ``person`` is whom it counts for: the
same, but for a service, which hands over what others ran. A run is ``confirmed`` when its person
may use its project: else only its login sees it, and sums count it for no project.

Source: https://www.postgresql.org/docs/15/ddl-rowsecurity.html, …/sql-createfunction.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapenv.usage.role_sums import DETAILS
from snapenv.usage.tables import (
    BUCKET_COLUMNS,
    CORRECTION,
    EVENT,
    MACHINE_GPU,
    RUN,
    RUN_GPU,
    SHARED,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from snapenv.usage.tables import Table

VERSION = 1
SCHEMA = "snapenv"
OWNER, READER, WRITER = "snapenv_owner", "snapenv_reader", "snapenv_writer"
MEMBER, MANAGER, FINANCE = "snapenv_member", "snapenv_manager", "snapenv_finance"
INNER_ROLES = (OWNER, READER, WRITER)
ROLES = (*INNER_ROLES, MEMBER, MANAGER, FINANCE)
SUMS_OF_MANAGERS, SUMS_OF_FINANCE, FLEET = "sums_by_user", "sums_by_project", "fleet"
_OWN_PROJECTS = "select p.project from person p where p.login = current_user"

_REGISTERS = """
create table if not exists about (version bigint not null);
create table if not exists person (login text, project text, primary key (login, project));
create table if not exists service (login text primary key);
create table if not exists alias (
  person text primary key,
  alias text not null unique default left(replace(gen_random_uuid()::text, '-', ''), 12)
);
"""
_REGISTER_NAMES = ("about", "person", "service", "alias")


def tables() -> Iterator[str]:
    """Yield what makes the tables, for their owner to run; those that are there stay."""
    yield _REGISTERS
    for table in SHARED:
        yield from table.create(*(_OF_RUN if table is RUN else ()))
    yield "create index if not exists run_login on run (login)"
    for name in table_names():
        yield f"alter table {name} enable row level security"
        yield f"alter table {name} force row level security"
    yield from _rights()


_OF_RUN = ("login text not null", "person text not null", "confirmed boolean not null")


def table_names() -> tuple[str, ...]:
    """Return the names of all tables."""
    return *_REGISTER_NAMES, *(table.name for table in SHARED)


def _rights() -> Iterator[str]:
    for name in _REGISTER_NAMES:
        yield from _policy(name, OWNER, "all", "true")
    yield f"grant select, insert, update on alias, {_names(SHARED)} to {WRITER}"
    yield f"grant select on person, service to {WRITER}"
    for name in ("alias", *(table.name for table in SHARED)):
        yield from _policy(name, WRITER, "all", "true")
    for name in ("person", "service"):
        yield from _policy(name, WRITER, "select", "true")
    read = ("about", "alias", *(table.name for table in SHARED))
    yield f"grant select on {', '.join(read)} to {READER}"
    for name in read:
        yield from _policy(name, READER, "select", "true")
    yield f"grant select on person to {MEMBER}"
    yield from _policy("person", MEMBER, "select", "login = current_user")
    own = f"login = current_user or (confirmed and project in ({_OWN_PROJECTS}))"
    yield f"grant select ({RUN.names}) on run to {MEMBER}"  # login and person are left out
    yield from _policy("run", MEMBER, "select", own)
    for table in (RUN_GPU, EVENT, CORRECTION):
        yield f"grant select on {table.name} to {MEMBER}"
        visible = f"exists (select from run r where r.key = {table.name}.key)"
        yield from _policy(table.name, MEMBER, "select", visible)


def _policy(table: str, role: str, what: str, rows: str) -> Iterator[str]:
    name = f"{role}_{what}"
    check = f" with check ({rows})" if what == "all" else ""
    yield f"drop policy if exists {name} on {table}"
    yield f"create policy {name} on {table} for {what} to {role} using ({rows}){check}"


def _names(of: Iterable[Table[Any]]) -> str:
    return ", ".join(table.name for table in of)


def views() -> Iterator[str]:
    """Yield what makes the views, for the reader to run, in the place of older ones."""
    yield (
        f"drop view if exists {SUMS_OF_MANAGERS}, {SUMS_OF_FINANCE}, {FLEET}, ledger_version,"
        " project_group, used"
    )
    yield _USED
    yield _PROJECT_GROUP
    yield _sums(SUMS_OF_MANAGERS, DETAILS, user=True)
    yield _sums(SUMS_OF_FINANCE, (), user=False)
    gpus = f"select {MACHINE_GPU.names} from {MACHINE_GPU.name}"  # noqa: S608 - own names
    yield f"create view {FLEET} with (security_barrier) as {gpus}"
    yield "create view ledger_version with (security_barrier) as select version from about"
    yield f"grant select on {SUMS_OF_MANAGERS} to {MANAGER}"
    yield f"grant select on {SUMS_OF_FINANCE} to {FINANCE}"
    yield f"grant select on {FLEET} to {MANAGER}, {FINANCE}"
    yield f"grant select on ledger_version to {MEMBER}, {MANAGER}, {FINANCE}"


# What each row of sums is made of. A correction has the GPU model of what it corrects.
_USED = f"""
create view used with (security_barrier) as
with part as (
  select g.key, g.month, g.model as gpu_model, false as is_correction, g.allocated_ms,
    {", ".join(f"g.{name}" for name in BUCKET_COLUMNS)}, g.energy_mj, g.util_source
  from run_gpu g
  union all
  select c.key, c.month, g.model, true, c.allocated_ms,
    {", ".join(f"c.{name}" for name in BUCKET_COLUMNS)}, c.energy_mj, null
  from correction c join run_gpu g on (g.key, g.gpu, g.month) = (c.key, c.gpu, c.month)
)
select part.*, case when r.confirmed then r.project end as project, r.person, r.purpose, r.model,
  r.tag, r.snapshot, r.failure
from part join run r on r.key = part.key
"""  # noqa: S608 - own names

# How each project is shown, by month and GPU model. Alone, the rest would tell of one person what
# it hides where all of it is that person's: then the smallest of the other projects joins it. Where
# there is no other, nothing is shown.
_PROJECT_GROUP = """
create view project_group with (security_barrier) as
with project as (
  select month, gpu_model, project, count(distinct person) > 1 as is_large,
    sum(allocated_ms) as used
  from used group by month, gpu_model, project
), rest as (
  select u.month, u.gpu_model, count(distinct u.person) as persons
  from used u join project p
    on (u.month, u.gpu_model) = (p.month, p.gpu_model) and u.project is not distinct from p.project
  where not p.is_large group by u.month, u.gpu_model
), placed as (
  select p.*, coalesce(rest.persons, 0) as persons_of_rest,
    row_number() over (
      partition by month, gpu_model, is_large order by used, project collate "C") as place,
    bool_or(is_large) over (partition by month, gpu_model) as has_larger
  from project p left join rest using (month, gpu_model)
)
select month, gpu_model, project,
  not is_large or (persons_of_rest = 1 and place = 1) as is_rest
from placed where persons_of_rest <> 1 or has_larger
"""


def _sums(name: str, details: tuple[str, ...], *, user: bool) -> str:
    """Return a view of sums by month, GPU model, project, and what else is given."""
    groups = [
        *("u.month", "u.gpu_model", "case when not p.is_rest then u.project end as project"),
        *("p.is_rest", "u.is_correction"),
        *(["a.alias as usr"] if user else []),
        *(f"case when not p.is_rest then u.{detail} end as {detail}" for detail in details),
    ]
    sums = [
        "count(distinct u.key) filter (where not u.is_correction) as runs",
        *(f"sum(u.{column})::bigint as {column}" for column in ("allocated_ms", *BUCKET_COLUMNS)),
        "sum(u.energy_mj)::bigint as energy_mj",
        "array_remove(array_agg(distinct u.util_source), null) as util_sources",
    ]
    join = "join alias a on a.person = u.person " if user else ""
    return (
        f"create view {name} with (security_barrier) as select {', '.join((*groups, *sums))}"  # noqa: S608 - own names
        " from used u join project_group p on (u.month, u.gpu_model) = (p.month, p.gpu_model)"
        f" and u.project is not distinct from p.project {join}"
        f"group by {', '.join(str(place + 1) for place in range(len(groups)))}"
    )


def function() -> Iterator[str]:
    """Yield what makes ``hand_over``, for the writer to run.

    It takes an object that has the rows of each table by its name, as objects, each row once. It
    returns ``refused``: keys of runs that another login handed over, or of which nothing is known;
    and ``waiting``: how many runs of this login are not confirmed.
    """
    yield _HAND_OVER
    yield "revoke all on function hand_over(jsonb) from public"
    yield f"grant execute on function hand_over(jsonb) to {MEMBER}"


def _typed(table: Table[Any]) -> str:
    """Return the rows of a table in what was handed over, as ``r``."""
    columns = ", ".join(f"{column.name} {column.sql}" for column in table.columns)
    return f"jsonb_to_recordset(lines -> '{table.name}') as r ({columns})"


def _of_row(table: Table[Any]) -> str:
    return ", ".join(f"r.{column.name}" for column in table.columns)


def _replaced(table: Table[Any]) -> str:
    names = (column.name for column in table.columns if column.name not in table.key)
    return ", ".join(f"{name} = excluded.{name}" for name in names)


def _insert_of_runs(table: Table[Any], conflict: str) -> str:
    """Return the statement that writes rows of the login's own runs."""
    return f"""
  insert into {table.name} ({table.names}) select {_of_row(table)} from {_typed(table)}
    join run on run.key = r.key and run.login = session_user
    on conflict ({", ".join(table.key)}) do {conflict};"""  # noqa: S608 - own names


# A user's name is the login, or a pseudonym that no other login has: nobody writes as another.
_USER = """case when carries then r.usr
      when r.usr ~ '^[0-9a-f]{12}$' and not exists (
        select from run o where o.usr = r.usr and o.login <> session_user) then r.usr
      else session_user end"""
_HAND_OVER = f"""
create or replace function hand_over(lines jsonb) returns jsonb
language plpgsql security definer set search_path = snapenv, pg_temp as $$
declare
  carries constant boolean := exists (select from service s where s.login = session_user);
begin
  insert into run ({RUN.names}, login, person, confirmed)
    select {_of_row(RUN).replace("r.usr", _USER)}, session_user,
      case when carries then r.usr else session_user end,
      carries or r.project is null or exists (
        select from person p where p.login = session_user and p.project = r.project)
    from {_typed(RUN)}
    on conflict (key) do update set {_replaced(RUN)}, person = excluded.person,
      confirmed = excluded.confirmed or (run.confirmed and run.project = excluded.project)
    where excluded.rev > run.rev and run.login = excluded.login;
  insert into alias (person) select distinct run.person from run
    join {_typed(RUN)} on run.key = r.key order by 1 on conflict do nothing;
  {_insert_of_runs(RUN_GPU, f"update set {_replaced(RUN_GPU)}")}
  {_insert_of_runs(EVENT, "nothing")}
  {_insert_of_runs(CORRECTION, "nothing")}
  insert into machine_gpu ({MACHINE_GPU.names})
    select {_of_row(MACHINE_GPU)} from {_typed(MACHINE_GPU)}
    order by host, gpu -- or two of one machine would wait for each other
    on conflict (host, gpu) do update set model = excluded.model,
      first_ms = least(machine_gpu.first_ms, excluded.first_ms),
      last_ms = greatest(machine_gpu.last_ms, excluded.last_ms);
  return jsonb_build_object(
    'refused', (
      select coalesce(jsonb_agg(distinct line ->> 'key'), '[]')
      from jsonb_each(lines) as of_table (name, list), jsonb_array_elements(of_table.list) as line
      where of_table.name <> 'machine_gpu' and not exists (
        select from run where run.key = line ->> 'key' and run.login = session_user)),
    'waiting', (select count(*) from run where run.login = session_user and not run.confirmed));
end $$
"""  # noqa: S608 - own names
