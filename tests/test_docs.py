"""The documentation says what the code does: links, commands, and what is generated of it."""

from __future__ import annotations

import hashlib
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from docs.record import COMMANDS as RUN
from docs.record import RECORDED
from snapenv.model.fingerprint import Tier
from snapenv.verify.fingerprint import tier_limits
from tests.command import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *ROOT.glob("examples/*.md"),
)
# https://www.apache.org/licenses/LICENSE-2.0.txt
APACHE_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
LARGEST_PICTURE = 200_000  # bytes

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_what_is_generated_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_each_recorded_output_is_of_its_command_and_is_shown() -> None:
    first_lines = {
        path.stem: path.read_text(encoding="utf-8").partition("\n")[0]
        for path in RECORDED.iterdir()
    }
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

    assert first_lines == {name: f"$ snapenv {words}" for name, words in RUN.items()}
    assert {name for name in RUN if f"<!-- generated: {name} -->" not in text} == set()


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


@pages
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8"))

    assert [
        (name, anchor)
        for name, anchor in links
        if anchor not in _anchors(page.parent / name if name else page)
    ] == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

    assert [page.name for page in PAGES if page.name not in {"README.md", *_linked(text)}] == []


def _linked(text: str) -> set[str]:
    return {Path(link).name for link in re.findall(r"\]\(([^)#:]+)", text)}


@pages
def test_every_command_that_is_shown_can_be_typed(page: Path) -> None:
    for line in _commands(page.read_text(encoding="utf-8")):
        words = [word for word in shlex.split(line, comments=True) if word != "--json"]
        end = next((at for at, word in enumerate(words) if word in {"|", ">"}), len(words))

        if "..." not in words[:end]:
            parse(words[1:end])


def _commands(text: str) -> Iterator[str]:
    for lines in re.findall(
        r"^(?:    |\$ )(snapenv .*)$|`(snapenv [a-z]+ [^`]+)`", text, re.MULTILINE
    ):
        line = "".join(lines)
        if line.split()[1] in {"--version", "[OPTIONS]"} or "[OPTIONS]" in line:
            continue
        yield line


@pages
def test_every_import_that_is_shown_can_be_done(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for module, name in re.findall(r"from (snapenv[\w.]*) import (\w+)", text):
        assert hasattr(importlib.import_module(module), name)


def test_the_tiers_are_those_of_the_comparison() -> None:
    text = (ROOT / "docs" / "restoring.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| ([a-z ]+) \| .* \| (.*) \|$", text, re.MULTILINE)

    limits = {tier: tier_limits(tier) for tier in get_args(Tier)}
    assert {tier: _limits(every_loss) for tier, every_loss in told if tier in limits} == limits


def _limits(text: str) -> tuple[float, ...] | None:
    """Read ``within 1e-6 at step 1, 1e-4 after it``; None where no limit stands."""
    return tuple(map(float, re.findall(r"\d+e-\d+", text))) or None


def test_the_readme_opens_with_two_commands_that_do_all_the_set_up() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert re.findall(r"^    (.+?)(?:  +#.*)?$", text, re.MULTILINE)[:2] == [
        "make demo",
        "make test",
    ]


def test_the_license_is_apaches_own_text() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_SHA256


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs").glob("*.png"))

    assert pictures
    assert all(picture.stat().st_size < LARGEST_PICTURE for picture in pictures)
