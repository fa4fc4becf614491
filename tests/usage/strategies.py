"""Any value of the ledger, for properties."""

from __future__ import annotations

import itertools
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from hypothesis import strategies as st
from msgspec import Struct

from snapenv.model.usage import BUCKETS

T = TypeVar("T", bound=Struct)


def any_of(kind: type[T]) -> st.SearchStrategy[T]:
    """Make values of a struct, with texts of any characters and numbers of 64 bits."""
    fields = {
        field.name: st.tuples(*itertools.repeat(_any_number(), BUCKETS))
        if field.name == "buckets"
        else _any(field.type)
        for field in msgspec.structs.fields(kind)
    }
    return st.builds(kind, **fields)


def _any_number() -> st.SearchStrategy[int]:
    return st.integers(-(2**63), 2**63 - 1)


def _any(kind: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401
    if kind is str:
        return st.text(st.characters(exclude_characters="\0", codec="utf-8"))
    if kind is int:
        return _any_number()
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return any_of(kind)
    if get_origin(kind) is tuple:
        return st.lists(_any(get_args(kind)[0]), max_size=3).map(tuple)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if options := get_args(kind):
        return st.one_of(*(_any(option) for option in options))
    return st.from_type(kind)
