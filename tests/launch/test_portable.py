from __future__ import annotations

from typing import Any

import pytest
from inline_snapshot import snapshot as wording

from snapenv.errors import UsageError
from snapenv.launch.portable import PortableRequest, portable_launch
from snapenv.model.launch import Launch, Mount
from tests.render.workloads import IMAGE, LABEL

NO_UTF8 = b"a\xff".decode(errors="surrogateescape")


def launch(**wishes: Any) -> Launch:  # noqa: ANN401 - the fields of a PortableRequest
    return portable_launch(PortableRequest(**wishes), image=IMAGE, label=LABEL)


@pytest.mark.parametrize(
    "wishes",
    [
        {"argv": ("echo", NO_UTF8)},
        {"variables": {"A": NO_UTF8}},
        {"variables": {"A B": "c"}},
        {"variables": {"1A": "c"}},
        {"folder": f"/{NO_UTF8}"},
        {"folder": "/a\nb: c"},
        {"runs": "/a\x7f"},
        {"data": ("/a\tb",)},
        {"mounts": (Mount(source="/a\rb", target="/c"),)},
        {"mounts": (Mount(source="/a", target="/c\x85"),)},
    ],
)
def test_what_no_text_file_holds_is_a_usage_error(wishes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        launch(**wishes)


def test_the_errors_name_what_cannot_be_written() -> None:
    errors = []
    for wishes in ({"argv": (NO_UTF8,)}, {"variables": {"A B": ""}}, {"folder": "/a\nb"}):
        with pytest.raises(UsageError) as raised:
            launch(**wishes)
        errors.append((raised.value.message, raised.value.hint))

    assert errors == wording(
        [
            (
                "'a\\xff' is not UTF-8, and the files are",
                "Name it in UTF-8, or put it into a file that the command reads.",
            ),
            (
                "--env 'A B' is no name of a variable",
                "Use letters, digits and _, with no digit first.",
            ),
            (
                "the path '/a\\nb' has control characters, or is not UTF-8",
                "Name another path: these cannot be written into the files.",
            ),
        ]
    )


def test_any_other_text_is_taken_as_it_is() -> None:
    made = launch(argv=("sh", "-c", "a\nb"), variables={"_A1": "é\n😀"}, folder="/data/a b é")

    assert made.argv == ("sh", "-c", "a\nb")
    assert made.variables["_A1"] == "é\n😀"
    assert made.folder == "/data/a b é"
