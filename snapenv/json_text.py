"""JSON of somebody else: whatever it holds, it is a value of the wanted form, or refused."""

from __future__ import annotations

from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
def read_json(content: bytes | str, kind: type[T]) -> T: ...


@overload
def read_json(content: bytes | str, kind: Any) -> Any: ...  # noqa: ANN401 - such as ``A | None``


def read_json(content: bytes | str, kind: Any) -> Any:
    """Read a document of a known form.

    Raises:
        ValueError: It is no JSON, is nested too deep, or is of another form; the place is named.
    """
    import msgspec  # imported late: what starts quickest reads none

    try:
        return msgspec.json.decode(content, type=kind)  # noqa: TID251 - the one place
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
