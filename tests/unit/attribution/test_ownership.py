from __future__ import annotations

from typing import Any

import pytest

from fakes.contracts import HASHED, a_contract, a_registry, hashed
from tallygate.domain.attribution.contract import Contract, Principal
from tallygate.domain.attribution.ownership import (
    BAGGAGE,
    Claims,
    Hasher,
    Ownership,
    Source,
    resolve_ownership,
)

Headers = list[tuple[bytes, bytes]]
NOBODY = Principal()
CONTRACT = a_contract()
REGISTRY = a_registry()


def resolved(
    headers: Headers | None = None,
    metadata: dict[str, Any] | None = None,
    principal: Principal = NOBODY,
    contract: Contract = CONTRACT,
    hasher: Hasher | None = hashed,
) -> Ownership:
    claims = Claims(headers or [], metadata or {})
    return resolve_ownership(claims, contract, REGISTRY, principal, hasher)


def header(name: str, value: str | bytes) -> tuple[bytes, bytes]:
    return name.encode(), value if isinstance(value, bytes) else value.encode()


def baggage(line: str) -> tuple[bytes, bytes]:
    return header("baggage", line)


OF_A_KEY = Principal(key_metadata={"feature": "key-says"})
OF_A_TEAM = Principal(team_metadata={"feature": "team-says"})
OF_BOTH = Principal(key_metadata={"feature": "key-says"}, team_metadata={"feature": "team-says"})
HEADER_SAYS = [header("x-tallygate-feature", "header-says")]
BAGGAGE_SAYS = [baggage("feature=baggage-says")]
METADATA_SAYS = {"feature": "metadata-says"}


@pytest.mark.parametrize(
    ("headers", "metadata", "principal", "expected", "source"),
    [
        pytest.param(
            [*BAGGAGE_SAYS, *HEADER_SAYS],
            METADATA_SAYS,
            OF_BOTH,
            "header-says",
            Source.HEADER,
            id="a header goes before all",
        ),
        pytest.param(
            BAGGAGE_SAYS,
            METADATA_SAYS,
            OF_BOTH,
            "baggage-says",
            Source.BAGGAGE,
            id="then baggage",
        ),
        pytest.param(
            [], METADATA_SAYS, OF_BOTH, "metadata-says", Source.METADATA, id="then the body"
        ),
        pytest.param([], {}, OF_BOTH, "key-says", Source.KEY_METADATA, id="then the key"),
        pytest.param([], {}, OF_A_KEY, "key-says", Source.KEY_METADATA, id="a key alone"),
        pytest.param([], {}, OF_A_TEAM, "team-says", Source.TEAM_METADATA, id="then its team"),
    ],
)
def test_the_highest_rank_that_speaks_wins(
    headers: Headers,
    metadata: dict[str, Any],
    principal: Principal,
    expected: str,
    source: Source,
) -> None:
    ownership = resolved(headers, metadata, principal)

    assert ownership.values["feature"] == expected
    assert ownership.sources["feature"] is source
    assert ownership.conflicts == ()


def test_what_is_bound_comes_after_every_claim_and_before_defaults() -> None:
    ownership = resolved(
        [header("x-tallygate-environment", "staging")], principal=Principal(team="llm-search")
    )

    assert ownership.values == {
        "owner_team": "team-search",
        "service": "search-api",
        "environment": "staging",
    }
    assert ownership.sources["owner_team"] is Source.BINDING
    assert ownership.sources["environment"] is Source.HEADER


def test_a_binding_that_leaves_a_choice_fills_nothing_in() -> None:
    ownership = resolved(principal=Principal(team="llm-support"))

    assert ownership.values == {"owner_team": "team-support"}


def test_a_shared_key_has_no_team_of_its_own_to_fill_in() -> None:
    assert resolved(principal=Principal(key_hash="key-platform")).values == {}


def test_the_services_defaults_fill_in_known_fields_that_nobody_claimed() -> None:
    ownership = resolved([header("x-tallygate-service", "support-assistant")])

    assert ownership.values == {"service": "support-assistant", "feature": "ticket-triage"}
    assert ownership.sources["feature"] is Source.DEFAULT


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([*HEADER_SAYS, header("x-tallygate-feature", "other")], id="one header twice"),
        pytest.param([baggage("feature=a,feature=b")], id="one baggage member twice"),
        pytest.param([baggage("feature=a"), baggage("feature=b")], id="two baggage headers"),
    ],
)
def test_two_values_in_one_rank_are_a_conflict_and_no_rank_below_settles_it(sent: Headers) -> None:
    ownership = resolved(
        [*sent, header("x-tallygate-service", "support-assistant")], METADATA_SAYS, OF_BOTH
    )

    assert ownership.conflicts == ("feature",)
    assert "feature" not in ownership.values


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(
            [header("x-tallygate-owner-team", "a"), header("x-team-id", "b")], id="header and alias"
        ),
        pytest.param([baggage("owner_team=a,team_id=b")], id="baggage and alias"),
    ],
)
def test_a_name_and_its_alias_that_disagree_are_a_conflict(sent: Headers) -> None:
    ownership = resolved(sent, principal=Principal(team="llm-search"))

    assert ownership.conflicts == ("owner_team",)
    assert "owner_team" not in ownership.values


def test_the_same_value_twice_is_one_value() -> None:
    sent = [header("x-team-id", "team-a"), header("x-tallygate-owner-team", " team-a ")]

    assert resolved(sent).values == {"owner_team": "team-a"}


def test_a_raw_id_beside_its_own_hash_agrees_with_it() -> None:
    sent = [
        header("x-tallygate-tenant-id", "acme"),
        header("x-tallygate-tenant-id-hash", hashed("acme")),
    ]

    assert resolved(sent).values == {"tenant_id_hash": hashed("acme")}


@pytest.mark.parametrize(
    ("headers", "metadata"),
    [
        pytest.param([header("x-tallygate-tenant-id", "acme")], {}, id="header"),
        pytest.param([baggage("tenant_id=acme")], {}, id="baggage"),
        pytest.param([], {"tenant_id": "acme"}, id="metadata"),
    ],
)
def test_a_raw_id_is_hashed_and_goes_no_further(headers: Headers, metadata: dict[str, Any]) -> None:
    ownership = resolved(headers, metadata)

    assert ownership.values == {"tenant_id_hash": hashed("acme")}
    assert "acme" not in repr(ownership)


def test_without_a_key_a_raw_id_is_dropped_and_the_field_is_absent() -> None:
    ownership = resolved([header("x-tallygate-tenant-id", "acme")], hasher=None)

    assert ownership.values == {}
    assert ownership.shape_of("tenant_id_hash") == "absent"


def test_a_hash_that_does_not_look_like_one_is_malformed() -> None:
    ownership = resolved([header("x-tallygate-tenant-id", "acme")], hasher=lambda raw: raw)

    assert ownership.malformed == ("tenant_id_hash",)
    assert "acme" not in repr(ownership)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Team Support", id="a blank"),
        pytest.param("jane@example.com", id="an address"),
        pytest.param("jane%40example.com", id="an address in percent-encoding"),
        pytest.param("jane\uff20example.com", id="an address with a wide @"),
        pytest.param("team\u00a0support", id="a no-break space"),
        pytest.param("team\tsupport", id="a tab"),
        pytest.param("team\x00", id="a NUL"),
        pytest.param("team\x1b[31m", id="an escape sequence"),
        pytest.param("a\r\nx-evil: 1", id="a line break"),
        pytest.param("team\u202esupport", id="a direction mark"),
        pytest.param("team\u200bsupport", id="a zero-width space"),
        pytest.param("\ufeffteam", id="a byte order mark"),
        pytest.param("team\u2028b", id="a line separator"),
        pytest.param("\ue000", id="private use"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"\xed\xa0\x80", id="a surrogate in UTF-8"),
        pytest.param("a" * 65, id="one character too long"),
        pytest.param("a" * 5000, id="far too long"),
        pytest.param("\u0958" * 40, id="too long once it is normalised"),
    ],
)
def test_a_value_that_is_no_plain_word_is_malformed_and_hides_what_is_below(
    value: str | bytes,
) -> None:
    ownership = resolved([header("x-tallygate-feature", value)], METADATA_SAYS, OF_BOTH)

    assert ownership.malformed == ("feature",)
    assert ownership.values == {}
    assert ownership.shape_of("feature") == "malformed"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(17, id="a number"),
        pytest.param(True, id="a truth value"),
        pytest.param(["a"], id="a list"),
        pytest.param({"a": "b"}, id="an object"),
        pytest.param("\ud800", id="a lone surrogate"),
    ],
)
def test_metadata_that_is_no_text_is_malformed(value: object) -> None:
    assert resolved(metadata={"feature": value}).malformed == ("feature",)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(None, id="null"),
        pytest.param(" \t\n", id="blanks"),
    ],
)
def test_nothing_said_is_absent_and_the_next_rank_speaks(value: object) -> None:
    ownership = resolved(metadata={"feature": value}, principal=OF_A_KEY)

    assert ownership.values["feature"] == "key-says"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(" team-a ", "team-a", id="blanks around are cut"),
        pytest.param("cafe\u0301", "caf\u00e9", id="one form of one word"),
        pytest.param("a" * 64, "a" * 64, id="as long as it may be"),
        pytest.param("\U0001f4b8", "\U0001f4b8", id="a picture is printable"),
    ],
)
def test_values_are_trimmed_and_normalised(value: str, expected: str) -> None:
    assert resolved([header("x-tallygate-feature", value)]).values == {"feature": expected}


def test_one_good_and_one_bad_value_in_a_rank_are_malformed_not_a_choice() -> None:
    sent = [*HEADER_SAYS, header("x-tallygate-feature", "two words")]

    assert resolved(sent).malformed == ("feature",)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        pytest.param(None, "absent", id="not sent"),
        pytest.param(HASHED, "ok", id="a hash"),
        pytest.param("jane.doe", "malformed", id="a name"),
        pytest.param(HASHED + "0", "malformed", id="a digit too many"),
        pytest.param(HASHED + "\n", "ok", id="a line end is trimmed"),
    ],
)
def test_an_identifier_is_known_by_its_shape_alone(value: str | None, shape: str) -> None:
    ownership = resolved(metadata={"user_id_hash": value})

    assert ownership.shape_of("user_id_hash") == shape


def test_two_different_identifiers_have_the_shape_malformed() -> None:
    ownership = resolved([header("x-tallygate-span-id", c * 16) for c in "ab"])

    assert ownership.conflicts == ("span_id",)
    assert ownership.shape_of("span_id") == "malformed"


def test_a_pattern_fields_text_is_the_policys_to_match() -> None:
    sent = [header("x-tallygate-workflow-id", "Not_Of_The_Pattern")]

    assert resolved(sent).values == {"workflow_id": "Not_Of_The_Pattern"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("feature=a", "a", id="one member"),
        pytest.param(" feature = a ;ttl=3;x , other=b", "a", id="blanks and properties"),
        pytest.param("feature=caf%C3%A9", "café", id="percent-encoded UTF-8"),
        pytest.param("feature=a=b", "a=b", id="an equals sign in the value"),
        pytest.param("x,,y=1,feature=a", "a", id="members that are somebody else's"),
    ],
)
def test_baggage_is_read_as_the_standard_writes_it(line: str, expected: str) -> None:
    ownership = resolved([baggage(line)])

    assert ownership.values == {"feature": expected}
    assert ownership.malformed == ()


def test_a_member_of_ours_without_a_value_makes_baggage_malformed_and_the_rest_is_read() -> None:
    ownership = resolved([baggage("service,feature=a")])

    assert ownership.malformed == (BAGGAGE,)
    assert ownership.values == {"feature": "a"}


@pytest.mark.parametrize(
    ("size", "is_read"), [pytest.param(512, True, id="at"), pytest.param(513, False, id="past")]
)
def test_baggage_up_to_its_limit_is_read_and_none_of_it_past(size: int, is_read: bool) -> None:
    start = "feature=a,pad="
    ownership = resolved([baggage(start + "x" * (size - len(start)))], METADATA_SAYS)

    assert ownership.values["feature"] == ("a" if is_read else "metadata-says")
    assert ownership.malformed == (() if is_read else (BAGGAGE,))


def test_headers_that_are_not_the_contracts_are_not_looked_at() -> None:
    assert resolved([(b"x-secret", b"\xff"), (b"\xff", b"x")]).malformed == ()
