from __future__ import annotations

import hashlib
import hmac
import re

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from fakes.contracts import HASH_PATTERN
from tallygate.bootstrap.gate import hasher_of
from tallygate.domain.attribution.ownership import Hasher
from tallygate.settings import Settings

raw_ids = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


def hasher(key: str = "a key", key_id: str = "hk1") -> Hasher:
    made = hasher_of(Settings(hash_key=SecretStr(key), hash_key_id=key_id))
    assert made is not None
    return made


@given(raw=raw_ids)
def test_a_hash_has_the_shape_that_the_contract_asks_for(raw: str) -> None:
    assert re.fullmatch(HASH_PATTERN, hasher()(raw))


@given(one=raw_ids, other=raw_ids)
def test_one_id_has_one_hash_and_two_have_two(one: str, other: str) -> None:
    assert (hasher()(one) == hasher()(other)) == (one == other)


@given(raw=raw_ids)
def test_another_key_or_key_id_makes_another_hash(raw: str) -> None:
    assert hasher("a key")(raw) != hasher("another key")(raw)
    assert hasher(key_id="hk2")(raw).startswith("hk2_")


def test_a_hash_is_the_first_half_of_an_hmac_so_that_others_can_make_it_too() -> None:
    expected = hmac.new(b"a key", b"acme", hashlib.sha256).hexdigest()[:32]

    assert hasher()("acme") == f"hk1_{expected}"


def test_without_a_key_there_is_no_hash() -> None:
    assert hasher_of(Settings()) is None
