"""Every model that a request names may answer it, wherever in the request the name stands."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.proxy.asking import body_metadata, models_asked

UNREADABLE: Final = "?"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=20,
)


def asked(query: bytes = b"", **data: Any) -> tuple[str | None, ...]:
    return models_asked({"model": "frontier", **data}, query)


def test_the_model_asked_for_stands_first() -> None:
    assert asked() == ("frontier",)
    assert asked(fallbacks=["cheap", "frontier"]) == ("frontier", "cheap")


@pytest.mark.parametrize("model", [None, 7, ["frontier"], {"model": "frontier"}])
def test_a_request_that_names_no_model_asks_for_none(model: object) -> None:
    assert models_asked({"model": model}, b"") == (None,)
    assert models_asked({}, b"") == (None,)


@pytest.mark.parametrize(
    "key", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "models"]
)
@pytest.mark.parametrize(
    ("value", "added"),
    [
        pytest.param(None, (), id="none"),
        pytest.param([], (), id="an empty list"),
        pytest.param("cheap", ("cheap",), id="a name"),
        pytest.param(["cheap", "small"], ("cheap", "small"), id="names"),
        pytest.param([{"model": "cheap", "api_key": "sk-1"}], ("cheap",), id="what to send"),
        pytest.param({"model": "cheap", "temperature": 1}, ("cheap",), id="one of it"),
        pytest.param([{"frontier": ["cheap", "small"]}], ("cheap", "small"), id="the router's way"),
        pytest.param({"frontier": ["cheap"]}, ("cheap",), id="a mapping"),
        pytest.param([{"model": ["cheap"]}], ("cheap",), id="a group that is called model"),
        pytest.param("cheap, small", ("cheap", "small"), id="names between commas"),
        pytest.param(7, (UNREADABLE,), id="a number"),
        pytest.param([True], (UNREADABLE,), id="a truth"),
        pytest.param([[[["cheap"]]]], (UNREADABLE,), id="nested too deep"),
    ],
)
def test_further_models_are_found_in_every_shape_that_litellm_takes(
    key: str, value: object, added: tuple[str, ...]
) -> None:
    assert asked(**{key: value}) == ("frontier", *added)
    assert asked(proxy_server_request={"body": {key: value}}) == ("frontier", *added)


def test_a_comma_makes_several_models_of_one() -> None:
    assert models_asked({"model": "frontier, cheap"}, b"") == ("frontier", "cheap")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"model=cheap", ("frontier", "cheap")),
        (b"model=cheap&model=small&x=1", ("frontier", "cheap", "small")),
        (b"model=cheap%2Csmall", ("frontier", "cheap", "small")),
        (b"model=frontier", ("frontier",)),
        (b"models=cheap", ("frontier",)),
        (b"\xff\xfe=%zz", ("frontier",)),
    ],
)
def test_a_model_in_the_query_may_answer_too(query: bytes, expected: tuple[str, ...]) -> None:
    assert asked(query) == expected


def test_a_model_in_the_query_alone_is_the_one_asked_for() -> None:
    assert models_asked({}, b"model=cheap") == ("cheap",)


def test_nesting_without_end_costs_nothing_and_is_no_name() -> None:
    lists = orjson.loads(b"[" * 900 + b"]" * 900)
    mappings = orjson.loads(b'{"a":' * 900 + b'"cheap"' + b"}" * 900)

    assert asked(fallbacks=lists) == ("frontier", UNREADABLE)
    assert asked(models=mappings) == ("frontier", UNREADABLE)


@given(value=json_values, place=json_values)
def test_no_body_is_too_odd_and_every_answer_is_a_name(value: object, place: object) -> None:
    found = models_asked({"fallbacks": value, "proxy_server_request": place}, b"")

    assert found
    assert found == (None,) or all(isinstance(name, str) for name in found)


@given(names=st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=5))
def test_no_name_gets_lost_and_none_stands_twice(names: list[str]) -> None:
    found = asked(fallbacks=names)

    assert set(found) == {"frontier", *names}
    assert len(set(found)) == len(found)


def test_the_clients_metadata_is_read_from_its_own_body() -> None:
    own = {"service": "support"}

    assert body_metadata({"proxy_server_request": {"body": {"metadata": own}}}) == own
    assert body_metadata({"metadata": own}) == {}
    assert body_metadata({"proxy_server_request": {"body": {"metadata": "text"}}}) == {}
