"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from snapenv.errors import SnapenvError
from snapenv.model.fingerprint import Tier
from snapenv.verify.fingerprint import tier_limits
from tests.command import COMMANDS

README = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    told = re.findall(r"^\| (\d+) \| (\S+) \|", README, re.MULTILINE)

    errors: list[type[SnapenvError]] = [SnapenvError, *SnapenvError.__subclasses__()]
    assert sorted(told) == sorted((str(error.exit_code), error.slug) for error in errors)


def test_every_option_that_it_names_is_one() -> None:
    params = [param for command in COMMANDS.values() for param in command.params]
    options = {word for param in params for word in (*param.opts, *param.secondary_opts)}
    commands = "\n".join(line for line in README.splitlines() if "snapenv " in line)

    named = set(re.findall(r"(--[a-z][a-z-]+)", commands))
    assert named - {"--json"} <= options


def test_every_command_is_told() -> None:
    table = "\n".join(
        line for line in README.splitlines() if line.startswith(("    snapenv ", "| `"))
    )

    assert [name for name in COMMANDS if not re.search(rf"[ `]{name}\b", table)] == []


def test_the_tiers_are_those_of_the_comparison() -> None:
    told = re.findall(r"^\| ([a-z ]+) \| .* \| (.*) \|$", README, re.MULTILINE)

    limits = {tier: tier_limits(tier) for tier in get_args(Tier)}
    assert {tier: _limits(every_loss) for tier, every_loss in told if tier in limits} == limits


def _limits(text: str) -> tuple[float, ...] | None:
    """Read ``within 1e-6 at step 1, 1e-4 after it``; None where no limit stands."""
    return tuple(map(float, re.findall(r"\d+e-\d+", text))) or None
