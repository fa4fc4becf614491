"""Which Python uv is asked for, one after another, and what is said where none is found.

The texts are those of uv 0.13.9.
"""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot as wording

from snapenv.engine.venv_python import attempts, is_not_here, no_python
from tests.steady import steady

NOT_MANAGED = """error: No interpreter found for Python 3.11.7 in managed installations

hint: A managed Python download is available for Python 3.11.7, but {why}
"""
OFF = NOT_MANAGED.format(why="Python downloads are set to 'never'")
OFFLINE = NOT_MANAGED.format(why="uv is set to offline mode")
UNKNOWN = """error: No interpreter found for Python 3.11.99 in managed installations or search path

hint: uv embeds available Python downloads and may require an update to install new versions.
"""
NO_NETWORK = """error: Failed to download `https://example.com/cpython-3.11.7.tar.gz`
  cause: error sending request for url (https://example.com/cpython-3.11.7.tar.gz)
  cause: client error (Connect)
  cause: failed to lookup address information: Name or service not known
"""


@pytest.mark.parametrize(
    ("python", "asked"),
    [
        ("3.11.7", ["3.11.7", "3.11", "3.11"]),
        ("3.14.0rc1", ["3.14.0rc1", "3.14", "3.14"]),
        ("pypy@3.10.14", ["pypy@3.10.14", "pypy@3.10", "pypy@3.10"]),
        ("/opt/python3.11/bin/python3.11", ["/opt/python3.11/bin/python3.11"]),
        ("../env", ["../env"]),
    ],
)
def test_the_very_version_is_asked_for_first_and_a_path_alone(
    python: str, asked: list[str]
) -> None:
    assert [attempt.python for attempt in attempts(python)] == asked


def test_another_patch_that_is_here_is_taken_before_one_is_fetched() -> None:
    _, here, fetched = attempts("3.11.7")

    assert here.variables == {"UV_PYTHON_DOWNLOADS": "never"}
    assert fetched.variables == {}


@pytest.mark.parametrize("said", [OFF, OFFLINE, UNKNOWN, NO_NETWORK])
def test_uv_that_found_no_python_is_asked_again(said: str) -> None:
    assert is_not_here(said)
    assert not is_not_here("error: failed to create directory: Permission denied (os error 13)")


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (NO_NETWORK, "failed to lookup address information: Name or service not known"),
        (OFF, "Python downloads are set to 'never'"),
        (OFFLINE, "uv is set to offline mode"),
        (UNKNOWN, "uv knows of none"),
    ],
)
def test_why_there_is_none_is_said_with_where_uv_looked(last: str, why: str) -> None:
    error = no_python("3.11.7", [OFF, OFF, last])

    assert steady(error.message, why=why) == wording(
        "no Python 3.11.7 is here, nor another 3.11 (uv looked in managed installations), and none could be fetched: WHY"
    )
    assert "uv python install 3.11.7" in error.hint
    assert "--python PATH" in error.hint


def test_a_path_that_is_no_python_is_named() -> None:
    error = no_python("/opt/python", ["error: No interpreter found at path `/opt/python`"])

    assert error.message == wording("/opt/python is not a Python that a venv can be made with")
