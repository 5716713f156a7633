"""Strategies for spool records: every field generated, from the dataclasses themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from tallygate.domain.ledger.events import SpoolRecord

_TEXT = st.text(max_size=40)
_INTEGER = st.integers(min_value=-(2**63), max_value=2**63 - 1)
_JSON = st.recursive(
    st.none() | st.booleans() | _INTEGER | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


_OWNERSHIP_LIKE = st.dictionaries(_TEXT, _TEXT, max_size=4)
_KNOWN: dict[object, st.SearchStrategy[Any]] = {
    str: _TEXT,
    int: _INTEGER,
    bool: st.booleans(),
    NoneType: st.none(),
    Mapping[str, Any]: st.dictionaries(_TEXT, _JSON, max_size=4),
    Mapping[str, str]: _OWNERSHIP_LIKE,
    tuple[Mapping[str, str], ...]: st.lists(_OWNERSHIP_LIKE, max_size=3).map(tuple),
}


def strategy_of(hint: object) -> st.SearchStrategy[Any]:
    """Return what generates values of a field's type."""
    if hint in _KNOWN:
        return _KNOWN[hint]
    if get_origin(hint) is UnionType:
        return st.one_of(*(strategy_of(each) for each in get_args(hint)))
    assert isinstance(hint, type), hint
    if dataclasses.is_dataclass(hint):
        fields = {name: strategy_of(each) for name, each in get_type_hints(hint).items()}
        return st.builds(hint, **fields)
    assert issubclass(hint, StrEnum), hint
    return st.sampled_from(list(hint))


records: st.SearchStrategy[SpoolRecord] = strategy_of(SpoolRecord)
