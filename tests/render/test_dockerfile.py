from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from snapenv.base.choose import choose_base
from snapenv.errors import LockError
from snapenv.model.facts import NEUTRAL_VARIABLES
from snapenv.model.python import Torch
from snapenv.model.snapshot import CHECK_FILE, CHECK_PROGRAM
from snapenv.model.wheels import Vendored
from snapenv.nvidia.catalogue import load_catalogue
from snapenv.render.dockerfile import render_dockerfile
from snapenv.render.layers import PinLayer, split_lock
from tests.samples import (
    EXACT_BASE,
    sample_base_lock,
    sample_conda_lock,
    sample_conda_package,
    sample_facts,
    sample_lock,
    sample_native,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snapenv.model.facts import Native
    from snapenv.model.snapshot import BaseFamily, Lock

GOLDEN = Path(__file__).parents[1] / "golden"
VARIABLES = {
    "OMP_NUM_THREADS": "1",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True,max_split_size_mb:128",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "A_HARD_ONE": r"""a "quoted" $HOME ${PATH} `id` \ and 'single' # {{ v.tag }} \\""",
    "EMPTY": "",
}


def with_python(version: str) -> Lock:
    lock = sample_lock()
    interpreter = replace(lock.environment.interpreter, version=version)
    return replace(lock, environment=replace(lock.environment, interpreter=interpreter))


def with_installer(**changed: str) -> Lock:
    lock = sample_lock()
    return replace(lock, installer=replace(lock.installer, **changed))


def with_variables(variables: Mapping[str, str]) -> Lock:
    return sample_lock(facts=sample_facts(variables=variables))


def with_conda() -> Lock:
    old = sample_conda_package("zlib", timestamp_ms=1_640_000_000_000)
    new = sample_conda_package("python", timestamp_ms=1_740_000_000_000)
    pure = sample_conda_package(
        "six", noarch="python", subdir="noarch", timestamp_ms=1_650_000_000_000
    )
    conda = sample_conda_lock(new, pure, old, variables={"OURS": "$CONDA_PREFIX/share"})
    archives = {**conda.archives}
    archives["zlib"] = replace(archives["zlib"], file="vendor/zlib-1.3-h1_0.conda")
    activation = replace(conda.environment, activation={"ZOO_GREETING": "hello there"})
    rattler = replace(
        sample_lock().installer,
        version="0.28.0",
        url="https://files.example.com/py_rattler-0.28.0-cp310-abi3-manylinux_2_17_x86_64.whl",
    )
    return replace(
        sample_lock(),
        conda=replace(conda, archives=archives, environment=activation),
        conda_installer=rattler,
    )


def on_family(family: BaseFamily, native: Native | None = None) -> Lock:
    base = choose_base(sample_facts(), load_catalogue(), family=family)
    return replace(sample_lock(base=base), native=native)


def on_jetson() -> Lock:
    facts = sample_facts()
    system = replace(facts.hardware.system, machine="aarch64")
    environment = replace(facts.environment, torch=Torch(version="2.8.0", cuda="12.6"))
    facts = replace(facts, hardware=replace(facts.hardware, system=system), environment=environment)
    base = choose_base(facts, load_catalogue(), family="jetpack")
    return replace(sample_lock(base=base), hardware=facts.hardware)


LOCKS = {
    "exact": sample_lock(),
    "base": sample_base_lock(),
    "variables": sample_lock(facts=sample_facts(variables=VARIABLES)),
    "carried": replace(
        sample_lock(), packages={"numpy": Vendored()}, overlay=("site/torch/nn/functional.py",)
    ),
    "layers": replace(sample_lock(), native=sample_native()),
    "conda": with_conda(),
    "slim": on_family("slim", native=sample_native()),
    "cuda": on_family("cuda"),
    "jetpack": on_jetson(),
}
LAYERS = {
    "layers": split_lock(sample_lock()),
    "conda": split_lock(with_conda()),
    "slim": split_lock(sample_lock()),
}
KEPT = {"layers": (CHECK_FILE, CHECK_PROGRAM)}
FIELDS: Mapping[str, Callable[[str], Lock]] = {
    "tag": lambda text: replace(sample_lock(), tag=text),
    "snapenv": lambda text: replace(sample_lock(), snapenv=text),
    "base image": lambda text: sample_lock(base=replace(EXACT_BASE, image=text)),
    "reason": lambda text: sample_lock(base=replace(EXACT_BASE, reasons=("it fits", text))),
    "python": with_python,
    "uv's URL": lambda text: with_installer(url=text),
    "uv's hash": lambda text: with_installer(sha256=text),
    "variable's name": lambda text: with_variables({text: "1"}),
    "variable's value": lambda text: with_variables({"OMP_NUM_THREADS": text}),
}
PAIR = r'(\w+)="((?:[^"\\$]|\\["\\$])*)"(?: +|$)'
BREAKS = ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\0")
hostile = st.text(alphabet=st.sampled_from("a1 \t\n\r\x85\u2028\\\"'$`#{}%<>&|;:/@=[]()!*-.~"))
anything = hostile | st.text() | st.builds("{}{}{}".format, st.text(), hostile, st.text())
fields = pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)


def dockerfile_of(name: str) -> bytes:
    layers = LAYERS.get(name)
    kept = [layer.file for layer in layers or ()]
    return render_dockerfile(LOCKS[name], layers, kept=[*kept, *KEPT.get(name, ())])


def instructions(dockerfile: bytes) -> list[str]:
    """Read a Dockerfile as BuildKit does: without comments, continued lines joined.

    Lines end at LF or CR LF alone: https://github.com/moby/buildkit, dockerfile/parser.
    """
    lines = re.split(r"\r?\n", dockerfile.decode())
    bare = "\n".join(line for line in lines if not re.match(r"\s*#", line))
    return [line for line in re.sub(r"\\[ \t]*\n", "", bare).split("\n") if line.strip()]


def words(dockerfile: bytes) -> list[str]:
    return [line.split()[0] for line in instructions(dockerfile)]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_rendered_as_the_golden_dockerfile(name: str) -> None:
    golden = GOLDEN / f"{name}.Dockerfile"

    assert dockerfile_of(name).decode() == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS)
def test_the_same_lock_gives_the_same_bytes(lock: Lock) -> None:
    turned = replace(lock, variables=dict(sorted(lock.variables.items(), reverse=True)))

    assert render_dockerfile(turned) == render_dockerfile(lock)


def test_a_dockerfile_has_these_instructions_and_no_more() -> None:
    seen = {name: words(dockerfile_of(name)) for name in LOCKS}

    of_base, buildkit = ["FROM", "USER", "SHELL"], ["FROM", "RUN"]
    stages = [*buildkit, "FROM", "WORKDIR", "COPY", "FROM", "RUN"]
    exact = [*of_base, "ENV", *stages]
    home, end = ["WORKDIR", "RUN"], ["ENV", "ENV", "COPY", "ENV", "USER"]
    venv = packages = overlay = apt = ["RUN"]
    checked = [*end[:-1], "RUN", "USER"]
    rattler = ["FROM", "RUN", "RUN"]
    bare = [*of_base, "ENV", *stages, "FROM", "RUN", "FROM", *home, *apt, *venv]
    toolkit = ["ENV"]
    assert seen == {
        "base": [*of_base, *stages, "FROM", *home, *venv, *packages, "ENV", *end],
        "exact": [*exact, "FROM", *home, *venv, *packages, "ENV", "ENV", *end],
        "variables": [*exact, "FROM", *home, *venv, *packages, "ENV", "ENV", *end],
        "carried": [*exact, "FROM", *home, *venv, *packages, *overlay, "ENV", "ENV", *end],
        "layers": [*exact, "FROM", *home, *apt, *venv, *packages * 3, "ENV", "ENV", *checked],
        "conda": [*exact, *rattler, "FROM", *home, *packages * 5, "ENV", "ENV", *end],
        "slim": [*bare, *packages * 3, "ENV", "ENV", *toolkit, *end],
        "cuda": [*bare, *packages, "ENV", "ENV", *toolkit, *end],
        "jetpack": [*bare, *packages, "ENV", "ENV", *toolkit, *end],
    }


def test_what_changes_seldom_comes_first_and_what_is_of_one_capture_last() -> None:
    text = dockerfile_of("layers").decode()

    order = (
        "FROM base\n",
        "apt-get install",
        "uv venv",
        "/mnt/lock/pylock.torch.toml",
        "/mnt/lock/pylock.pins.toml",
        "/mnt/lock/pylock.ultralytics.toml",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        "COPY snapenv.toml",
    )
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_a_step_sees_nothing_of_the_snapshot_but_its_own_packages() -> None:
    (ultralytics,) = (
        line
        for line in instructions(dockerfile_of("layers"))
        if line.startswith("RUN") and "pylock.ultralytics.toml" in line
    )

    sources = re.findall(r"type=bind,source=(\S+),target", ultralytics)
    assert sources == ["pylock.ultralytics.toml"]


def test_a_wheel_that_travels_is_lent_to_the_step_that_installs_it_alone() -> None:
    layers = [
        PinLayer(name="pins", file="staged/pylock.pins.toml", mounts=("staged/a-1.whl",)),
        PinLayer(name="vendored", file="staged/pylock.vendored.toml", mounts=("vendor/b-1.whl",)),
    ]

    lines = instructions(render_dockerfile(sample_lock(), layers))

    mounts = [
        re.findall(r"source=((?:staged|vendor)/\S+),target=/mnt/lock/", line) for line in lines
    ]
    assert [found for found in mounts if found] == [
        ["staged/pylock.pins.toml", "staged/a-1.whl"],
        ["staged/pylock.vendored.toml", "vendor/b-1.whl"],
    ]


@pytest.mark.parametrize(
    "place", ["vendor/a b.whl", "vendor/../a", "/a", "vendor/a,target=/", "a\nRUN id", "$(id)", ""]
)
def test_a_place_that_could_mean_something_else_is_refused(place: str) -> None:
    with pytest.raises(LockError, match=re.escape(repr(place))):
        render_dockerfile(sample_lock(), [PinLayer(name="pins", file="a", mounts=(place,))])
    with pytest.raises(LockError, match=re.escape(repr(place))):
        render_dockerfile(sample_lock(), [PinLayer(name="pins", file=place)])
    with pytest.raises(LockError, match=re.escape(repr(place))):
        render_dockerfile(sample_lock(), kept=[place])


def test_without_libraries_of_the_system_there_is_no_apt() -> None:
    assert b"apt-get" in dockerfile_of("layers")
    assert b"apt-get" not in dockerfile_of("exact")


@pytest.mark.parametrize("name", LOCKS)
def test_every_step_has_a_comment_that_says_why(name: str) -> None:
    lines = dockerfile_of(name).decode().splitlines()
    last = lines.index("FROM base")

    starts = [at for at in range(last + 2, len(lines)) if re.match("RUN|COPY|ENV", lines[at])]
    grouped = ("RUN chmod", "ENV VIRTUAL_ENV")
    bare = [lines[at] for at in starts if not lines[at - 1].startswith("#")]
    assert [line for line in bare if not line.startswith(grouped)] == []


@pytest.mark.parametrize("name", [name for name in LOCKS if name != "variables"])
def test_it_keeps_the_rules_of_hadolint(name: str, tmp_path: Path) -> None:
    # It cannot read the hardest of the variables, which BuildKit does.
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None and not os.environ.get("CI"):
        pytest.skip("no hadolint")
    assert program, "CI must have hadolint"
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_bytes(dockerfile_of(name))

    done = subprocess.run([program, dockerfile], capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("", 0)


def test_nothing_runs_as_root_or_floats() -> None:
    for name in LOCKS:
        lines = instructions(dockerfile_of(name))
        assert lines[-1] == "USER 1000:1000"
        assert not any("latest" in line or "sudo" in line for line in lines)


def test_only_on_its_own_base_does_an_environment_see_the_base_image_s_packages() -> None:
    base, exact = (dockerfile_of(name).decode() for name in ("base", "exact"))

    assert "--system-site-packages --python 3.12 /opt/snapenv/venv" in base
    assert "LD_LIBRARY_PATH" not in base
    assert "PYTHONPATH" not in base
    assert "--system-site-packages" not in exact
    assert 'ENV LD_LIBRARY_PATH="/usr/local/nvidia/lib:/usr/local/nvidia/lib64"' in exact
    assert 'BASH_ENV=""' in exact


@pytest.mark.parametrize("name", LOCKS)
def test_no_step_hangs_on_the_user_or_the_shell_that_a_base_ends_with(name: str) -> None:
    lines = instructions(dockerfile_of(name))

    _, user, shell, *_ = lines
    assert (user, shell) == ("USER 0:0", 'SHELL ["/bin/sh", "-c"]')
    later = [line for line in lines[3:] if line.startswith("FROM") and "scratch" not in line]
    assert {line.split()[1] for line in later} <= {"base", "tools"}


@pytest.mark.parametrize("name", LOCKS)
def test_the_first_step_that_runs_is_one_that_names_buildkit_where_it_is_off(name: str) -> None:
    lines = instructions(dockerfile_of(name))

    first = next(line for line in lines if line.split()[0] in {"RUN", "COPY", "WORKDIR"})
    assert first == "RUN --mount=type=tmpfs,target=/mnt true"
    assert not any("buildkit" in line for line in lines if line != "FROM base AS buildkit")


def test_an_entrypoint_that_starts_nothing_is_reset_with_its_arguments() -> None:
    plain, reset = (
        instructions(render_dockerfile(sample_lock(), resets_entrypoint=resets))
        for resets in (False, True)
    )

    assert [line for line in reset if line not in plain] == ["ENTRYPOINT []", 'CMD ["/bin/sh"]']
    assert [line for line in reset if line in plain] == plain


def test_a_variable_has_the_value_that_was_captured() -> None:
    (line,) = (
        line for line in instructions(dockerfile_of("variables")) if "OMP_NUM_THREADS" in line
    )

    assert environment_of(line) == {**NEUTRAL_VARIABLES, **VARIABLES}


@given(st.text().filter(str.isprintable))
def test_a_variable_has_its_value_whatever_it_holds(value: str) -> None:
    rendered = render_dockerfile(with_variables({"OMP_NUM_THREADS": value}))

    (line,) = (line for line in instructions(rendered) if "OMP_NUM_THREADS" in line)
    assert environment_of(line)["OMP_NUM_THREADS"] == value


def test_what_a_base_sets_and_the_capture_had_not_is_made_neutral() -> None:
    rendered = render_dockerfile(sample_lock()).decode()

    assert 'TORCH_ALLOW_TF32_CUBLAS_OVERRIDE="0"\n' in rendered


@fields
@pytest.mark.parametrize("end", BREAKS, ids=repr)
def test_a_line_break_is_refused_in_every_field(make: Callable[[str], Lock], end: str) -> None:
    with pytest.raises(LockError, match="value that no Dockerfile can") as caught:
        render_dockerfile(make(f"1{end}RUN id{end}"))

    assert "do not build" in caught.value.hint


@fields
@settings(max_examples=40)
@given(text=anything)
def test_no_text_in_any_field_adds_an_instruction(make: Callable[[str], Lock], text: str) -> None:
    plain = words(render_dockerfile(with_variables({"OMP_NUM_THREADS": "1"})))
    try:
        rendered = render_dockerfile(make(text))
    except LockError:
        return

    assert words(rendered) == plain


@fields
@settings(max_examples=40)
@given(text=anything)
def test_a_text_changes_no_command_but_by_a_grammar_without_meaning_to_a_shell(
    make: Callable[[str], Lock], text: str
) -> None:
    try:
        rendered = render_dockerfile(make(text))
    except LockError:
        return

    for line in instructions(rendered):
        if line.startswith("RUN"):
            assert bare(line) in COMMANDS


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/uv.whl; id",
        "https://example.com/$(id)",
        'https://example.com/"',
        "https://example.com/`id`",
        "https://example.com/uv.whl#sha256=0",
        "ftp://example.com/uv.whl",
        "uv.whl",
        "-r https://example.com/",
        "",
    ],
)
def test_a_url_is_refused_that_means_something_to_a_shell_or_to_pip(url: str) -> None:
    with pytest.raises(LockError, match=re.escape(repr(url))):
        render_dockerfile(with_installer(url=url))


def test_the_first_line_is_no_directive_to_the_parser() -> None:
    first = render_dockerfile(sample_lock()).decode().splitlines()[0]

    assert not re.match(r"#\s*\w+\s*=", first)


def test_a_reason_stays_in_its_comment() -> None:
    rendered = render_dockerfile(FIELDS["reason"]('say "$HOME" \\'))

    assert '\n#   - say "$HOME" \\\n#\n# Each step' in rendered.decode()


def environment_of(line: str) -> Mapping[str, str]:
    """Read an ENV line of double-quoted values, as BuildKit's shell lexer unquotes them."""
    pairs = line.removeprefix("ENV ")
    assert re.sub(PAIR, "", pairs) == ""
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in re.findall(PAIR, pairs)}


def bare(line: str) -> str:
    """Return a command without what the grammars of its values let through."""
    line = re.sub(r'"(https?|file)://[\w.~:/%+@=&?,-]+" /uv', "URL /uv", line)
    line = re.sub(r'"[0-9a-f]{64}  /uv', '"SHA  /uv', line)
    return re.sub(r"--python [\w.!+]+ /opt", "--python X /opt", line)


COMMANDS = {
    bare(line)
    for dockerfile in (*map(dockerfile_of, LOCKS), render_dockerfile(with_python("3")))
    for line in instructions(dockerfile)
    if line.startswith("RUN")
}
