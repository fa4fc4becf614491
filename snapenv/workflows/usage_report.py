"""Report what a month's runs have used."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import UsageError, WriteError
from snapenv.model.outcome import Outcome
from snapenv.model.usage_report import By, UsageReportResult
from snapenv.ownership.staging import replace_file
from snapenv.report.document import outcome_json
from snapenv.report.usage_csv import usage_csv
from snapenv.report.usage_text import usage_lines
from snapenv.report.usage_view import usage_html
from snapenv.secrets.refuse import refuse_leaking_files
from snapenv.sizes import counted
from snapenv.steps.price_list import find_prices
from snapenv.steps.usage_records import read_records
from snapenv.usage.charges import of_month
from snapenv.usage.emissions import emissions_csv
from snapenv.usage.focus import focus_csv
from snapenv.usage.months import is_month, month_of
from snapenv.usage.sums import ReportOptions, all_costs, first_month
from snapenv.usage.sums import report_usage as sum_up

if TYPE_CHECKING:
    from snapenv.ports import Services
    from snapenv.usage.charges import UsageRecords
    from snapenv.usage.prices import PriceList

_COMMAND = "usage report"

Form = Literal["text", "json", "csv", "html", "focus", "emissions"]


class UsageReport(Struct, frozen=True, kw_only=True):
    """What a user may ask of a report."""

    month: str | None = None  # the current one
    by: By = "project"
    prices: Path | None = None
    form: Form = "text"
    output: Path | None = None  # stdout


def report_usage(request: UsageReport, services: Services) -> Outcome[UsageReportResult]:
    """Sum up a month, and write it in the form that is asked for.

    Raises:
        LedgerError: The ledger cannot be read.
        LedgerVersionError: A newer snapenv made the ledger.
        TeamLedgerError: The team's server does not answer, or refuses.
        PriceListError: The price list is wrong, or has a hole.
        UsageError: There is no such month, the form needs a price list and has none, or the
            user's role in the team does not see what is asked for.
        WriteError: The file cannot be written.
    """
    now_ms = time.time_ns() // 1_000_000
    month = _month(request.month, now_ms)
    prices = find_prices(request.prices, Path.cwd())
    view = read_records(services, first_month(month), month)
    options = ReportOptions(
        month=month, by=request.by, now_ms=now_ms, source=view.source, role=view.role
    )
    _check_role(request, options)
    result = sum_up(view.records, prices, options)
    outcome = Outcome(
        command=_COMMAND, result=result, lines=usage_lines(result), warnings=view.warnings
    )
    if request.form == "text" and request.output is None:
        return outcome
    if request.form in ("focus", "emissions"):
        document, warnings = _for_programs(request.form, view.records, prices, options)
        outcome = replace(outcome, warnings=(*view.warnings, *warnings))
    else:
        document = _document(request.form, outcome)
    if request.output is None:
        return replace(outcome, lines=(), document=document)
    _write(request.output, document, services)
    return replace(outcome, lines=(f"wrote {request.output}",))


def _month(named: str | None, now_ms: int) -> str:
    current = month_of(now_ms)
    month = named or current
    if not is_month(month) or month > current:
        raise UsageError(
            f"{month!r} is not a month such as 2026-11, up to the current one",
            hint=f"The current month is {current}, in UTC.",
        )
    return month


def _check_role(request: UsageReport, options: ReportOptions) -> None:
    """Refuse what a view does not hold.

    Raises:
        UsageError: It holds no such thing.
    """
    if options.role == "finance" and request.by not in ("project", "gpu"):
        raise UsageError(
            f"finance is told of projects and GPUs, and not by {request.by}",
            hint="Use --by project or --by gpu.",
        )
    if options.role in ("manager", "finance") and request.form == "emissions":
        raise UsageError(
            f"--format emissions has a line for each run, which {options.role} is not shown",
            hint="Use another --format: text, csv or html have the sums.",
        )


def _for_programs(
    form: Form, records: UsageRecords, prices: PriceList | None, options: ReportOptions
) -> tuple[bytes, tuple[str, ...]]:
    """Return a dataset of charges or of emissions, with what is missing in it.

    Raises:
        UsageError: There is no price list, or it lacks what the form needs.
    """
    if prices is None or (form == "emissions" and not prices.co2):
        needs = "a price list" if prices is None else "a price list with [[co2]]"
        raise UsageError(
            f"--format {form} needs {needs}",
            hint="Name one: --prices FILE.toml; see docs/usage.md.",
        )
    own = of_month(records, options.month)
    costs = all_costs(own, prices, options)[options.month]
    if form == "focus":
        uncorrected = all_costs(replace(own, corrections=()), prices, options)[options.month]
        return focus_csv(options.month, costs, uncorrected, prices).encode(), ()
    text, left_out = emissions_csv(costs, prices)
    noted = f"{counted(left_out, 'run')} without measured energy left out"
    return text.encode(), (noted,) if left_out else ()


def _document(form: Form, outcome: Outcome[UsageReportResult]) -> bytes:
    match form:
        case "text":
            return "".join(f"{line}\n" for line in outcome.lines).encode()
        case "json":
            return f"{outcome_json(outcome)}\n".encode()
        case "html":
            return usage_html(outcome.result)
        case _:
            return usage_csv(outcome.result).encode()


def _write(path: Path, document: bytes, services: Services) -> None:
    refuse_leaking_files({str(path): document}, services.secrets())
    try:
        replace_file(path, document, mode=0o666)
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror}", hint="Name another place with --output."
        ) from error
