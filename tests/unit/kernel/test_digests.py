from __future__ import annotations

import hashlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.kernel.digests import canonical_json, digest_of_bytes, digest_of_value

names = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
numbers = st.integers(min_value=-(2**63), max_value=2**63 - 1)
values = st.recursive(
    st.none() | st.booleans() | numbers | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


def turned_around(value: object) -> object:
    """Write the same value with every object's keys in the opposite order."""
    if isinstance(value, dict):
        return {key: turned_around(inner) for key, inner in reversed(value.items())}
    if isinstance(value, list):
        return [turned_around(inner) for inner in value]
    return value


@given(value=values)
def test_the_order_of_keys_does_not_change_a_digest(value: object) -> None:
    assert digest_of_value(value) == digest_of_value(turned_around(value))


@given(value=values)
def test_canonical_json_is_the_value(value: object) -> None:
    assert orjson.loads(canonical_json(value)) == value


@given(one=values, other=values)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    same = canonical_json(one) == canonical_json(other)

    assert (digest_of_value(one) == digest_of_value(other)) == same


def test_true_is_not_one() -> None:
    assert digest_of_value({"on": True}) != digest_of_value({"on": 1})


def test_canonical_json_has_no_spaces_and_sorted_keys() -> None:
    assert canonical_json({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'.encode()


def test_a_lone_surrogate_cannot_be_digested() -> None:
    with pytest.raises(TypeError):
        canonical_json({"a": "\ud800"})


@given(content=st.binary(max_size=64))
def test_a_digest_names_its_algorithm(content: bytes) -> None:
    assert digest_of_bytes(content) == "sha256:" + hashlib.sha256(content).hexdigest()
