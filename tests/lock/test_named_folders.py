from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snapenv.lock.named_folders import find_folders

FOLDERS = {"this environment's folder": ("/home/alice/env",), "your home folder": ("/home/alice",)}


def test_each_kind_of_folder_is_named_with_its_first_line() -> None:
    text = b"x = 1\nA = '/home/alice/env/lib'\nB = '/home/alice/data'\nC = '/home/alice/env'\n"

    found = find_folders("site/x.py", text, FOLDERS)

    assert [(one.line, one.what) for one in found] == [
        (2, "this environment's folder"),
        (3, "your home folder"),
    ]
    assert str(found[0]).startswith("site/x.py line 2 names this environment's folder")


@given(
    before=st.text("ab \n'", max_size=5),
    after=st.sampled_from(["", "/", "'", "\n", ":", " "]),
)
def test_a_folder_is_found_wherever_it_stands(before: str, after: str) -> None:
    text = f"{before}/home/alice/env{after}"

    (found,) = find_folders("x", text.encode(), FOLDERS)

    assert found.line == before.count("\n") + 1


def test_another_folder_and_machine_code_are_passed_over() -> None:
    assert find_folders("x", b"/home/alice2/x /home/alice-old /home/alice.bak", FOLDERS) == ()
    assert find_folders("x", b"\x7fELF\0/home/alice/env", FOLDERS) == ()
    assert find_folders("x", b"/home/alice/env", {}) == ()
