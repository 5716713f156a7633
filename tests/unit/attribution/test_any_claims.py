"""Whatever arrives: nothing is raised, and nothing passes that is not one clean word."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from fakes.contracts import a_contract, a_registry, hashed
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.ownership import (
    BAGGAGE,
    Claims,
    Ownership,
    Source,
    resolve_ownership,
)

CONTRACT: Final = a_contract()
REGISTRY: Final = a_registry()
RAW: Final = "RAWID"
"""Marks what a test sends under a raw name, and nothing else."""

words = st.text(max_size=12) | st.sampled_from(["team-a", "team-b", "a b", "x@y", "é", "\x00", ""])
unmarked = words.filter(lambda text: RAW not in text)
octets = st.binary(max_size=24).filter(lambda sent: RAW.encode() not in sent) | unmarked.map(
    lambda text: text.encode("utf-8", "surrogatepass")
)
header_names = sorted(CONTRACT.by_header)
raw_headers = [name for name, (_, is_raw) in CONTRACT.by_header.items() if is_raw]
baggage_names = sorted(name for name, (_, is_raw) in CONTRACT.by_baggage.items() if not is_raw)
metadata_names = sorted(name for name, (_, is_raw) in CONTRACT.by_metadata.items() if not is_raw)
raw_texts = unmarked.map(lambda text: RAW + text)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | unmarked,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(unmarked, inner, max_size=2),
    max_leaves=4,
)
headers = st.lists(
    st.tuples(st.sampled_from(header_names).map(str.encode), octets).filter(
        lambda header: header[0].decode() not in raw_headers
    )
    | st.tuples(
        st.sampled_from(raw_headers).map(str.encode),
        raw_texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
    )
    | st.tuples(st.just(b"baggage"), octets)
    | st.tuples(
        st.just(b"baggage"),
        st.builds(
            lambda name, value: f"{name}={quote(value, errors='replace')}".encode(),
            st.sampled_from(baggage_names),
            unmarked,
        ),
    )
    | st.tuples(
        st.just(b"baggage"),
        raw_texts.map(lambda text: f"tenant_id={quote(text, errors='replace')}".encode()),
    )
    | st.tuples(st.binary(max_size=12), octets),
    max_size=6,
)
metadata = st.builds(
    lambda plain, raw: {**plain, **raw},
    st.dictionaries(st.sampled_from(metadata_names), json_values, max_size=4),
    st.fixed_dictionaries({}, optional={"tenant_id": raw_texts}),
)
principals = st.builds(
    Principal,
    team=st.sampled_from([None, "llm-support", "llm-search", "llm-unheard-of"]),
    key_hash=st.sampled_from([None, "key-platform", "key-unheard-of"]),
    key_metadata=metadata,
    team_metadata=metadata,
)
claims = st.builds(Claims, headers=headers, metadata=metadata)
hashers = st.sampled_from([hashed, None])


def is_clean(value: str) -> bool:
    return (
        0 < len(value) <= CONTRACT.limits.value_chars
        and "@" not in value
        and unicodedata.is_normalized("NFC", value)
        and not any(unicodedata.category(c)[0] in "CZ" for c in value)
    )


def all_texts(ownership: Ownership) -> list[str]:
    return [*ownership.values.values(), *ownership.malformed, *ownership.conflicts]


@given(claims=claims, principal=principals, hasher=hashers)
def test_only_clean_words_pass(claims: Claims, principal: Principal, hasher: Any) -> None:
    ownership = resolve_ownership(claims, CONTRACT, REGISTRY, principal, hasher)

    assert all(is_clean(value) for value in ownership.values.values())


@given(claims=claims, principal=principals, hasher=hashers)
def test_a_raw_id_never_passes(claims: Claims, principal: Principal, hasher: Any) -> None:
    ownership = resolve_ownership(claims, CONTRACT, REGISTRY, principal, hasher)

    assert not [text for text in all_texts(ownership) if RAW in text]


@given(claims=claims, principal=principals)
def test_a_field_has_a_value_or_a_conflict_or_is_malformed_or_absent(
    claims: Claims, principal: Principal
) -> None:
    ownership = resolve_ownership(claims, CONTRACT, REGISTRY, principal, hashed)

    named = [*ownership.values, *ownership.conflicts, *ownership.malformed]
    assert len(named) == len(set(named))
    assert set(named) <= {*CONTRACT.fields, BAGGAGE}
    assert ownership.sources.keys() == ownership.values.keys()
    shapes: Mapping[bool, set[str]] = {True: {"ok"}, False: {"absent", "malformed"}}
    for name in CONTRACT.fields:
        assert ownership.shape_of(name) in shapes[name in ownership.values]


@given(claims=claims, principal=principals)
def test_the_order_in_which_headers_arrive_changes_nothing(
    claims: Claims, principal: Principal
) -> None:
    turned = Claims([*reversed(claims.headers)], claims.metadata)

    assert resolve_ownership(turned, CONTRACT, REGISTRY, principal, hashed) == resolve_ownership(
        claims, CONTRACT, REGISTRY, principal, hashed
    )


@given(claims=claims, principal=principals, value=st.sampled_from(["team-a", "a b"]))
def test_a_header_of_its_own_goes_before_everything_below(
    claims: Claims, principal: Principal, value: str
) -> None:
    below = [
        (name, sent)
        for name, sent in claims.headers
        if name not in {b"x-tallygate-owner-team", b"x-team-id"}
    ]
    above = Claims([*below, (b"x-tallygate-owner-team", value.encode())], claims.metadata)

    ownership = resolve_ownership(above, CONTRACT, REGISTRY, principal, hashed)

    if value == "team-a":
        assert ownership.values["owner_team"] == "team-a"
        assert ownership.sources["owner_team"] is Source.HEADER
    else:
        assert "owner_team" in ownership.malformed
