from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.attribution.propagation import Trace, read_trace

MINTED = "0" * 31 + "1"
W3C = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
TRACEPARENT = f"00-{W3C}-{SPAN}-01".encode()


def headers(**sent: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]


def test_without_a_trace_one_is_minted() -> None:
    trace = read_trace([], MINTED)

    assert trace == Trace(MINTED, "minted", MINTED)
    assert not trace.is_opaque


def test_a_w3c_trace_is_taken_with_its_span_and_flags() -> None:
    trace = read_trace([(b"traceparent", f"00-{W3C}-{SPAN}-00".encode())], MINTED)

    assert trace == Trace(W3C, "received", W3C, SPAN, "00")
    assert not trace.is_opaque
    assert trace.traceparent("1" * 16) == f"00-{W3C}-{'1' * 16}-00"


def test_an_opaque_id_names_the_trace_and_gets_a_stable_w3c_id() -> None:
    trace = read_trace(headers(x_tallygate_trace_id="tr_9f4c"), MINTED)
    again = read_trace(headers(x_trace_id=" tr_9f4c "), MINTED)

    assert trace.trace_id == "tr_9f4c"
    assert trace.source == "received"
    assert trace.is_opaque
    assert len(trace.w3c_trace_id) == 32
    assert again == trace


def test_an_opaque_id_beside_a_w3c_one_names_the_trace_and_both_go_on() -> None:
    trace = read_trace([*headers(x_trace_id="tr_9f4c"), (b"traceparent", TRACEPARENT)], MINTED)

    assert (trace.trace_id, trace.w3c_trace_id) == ("tr_9f4c", W3C)
    assert trace.parent_span_id == SPAN
    assert trace.is_opaque


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([(b"x-trace-id", b"two words")], id="a blank inside"),
        pytest.param([(b"x-trace-id", b"jane@example.com")], id="an address"),
        pytest.param([(b"x-trace-id", b"a" * 129)], id="too long"),
        pytest.param([(b"x-trace-id", b"-leading")], id="does not begin with a letter or digit"),
        pytest.param([(b"x-trace-id", b"a\r\nx-evil: 1")], id="a line break"),
        pytest.param([(b"x-trace-id", "é".encode())], id="not ASCII"),
        pytest.param([(b"x-trace-id", b"a"), (b"x-trace-id", b"b")], id="two that differ"),
        pytest.param(
            [(b"x-trace-id", b"a"), (b"x-tallygate-trace-id", b"b")], id="two names that differ"
        ),
    ],
)
@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        pytest.param([], MINTED, id="nothing else"),
        pytest.param([(b"traceparent", TRACEPARENT)], W3C, id="beside a W3C trace"),
    ],
)
def test_an_id_that_cannot_be_taken_is_said_to_be_malformed_and_not_used(
    sent: list[tuple[bytes, bytes]], beside: list[tuple[bytes, bytes]], expected: str
) -> None:
    trace = read_trace([*sent, *beside], MINTED)

    assert trace.trace_id == expected
    assert trace.malformed


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([(b"x-trace-id", b"")], id="an empty header"),
        pytest.param([(b"x-trace-id", b"  \t")], id="a header of blanks"),
    ],
)
def test_an_empty_id_is_no_id(sent: list[tuple[bytes, bytes]]) -> None:
    trace = read_trace(sent, MINTED)

    assert trace.source == "minted"
    assert not trace.malformed


def test_the_same_id_under_both_names_is_one_id() -> None:
    trace = read_trace(headers(x_trace_id="tr_1", x_tallygate_trace_id="tr_1"), MINTED)

    assert trace.trace_id == "tr_1"
    assert not trace.malformed


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"ff-{W3C}-{SPAN}-01", id="version ff"),
        pytest.param(f"00-{'0' * 32}-{SPAN}-01", id="a trace id of zeros"),
        pytest.param(f"00-{W3C}-{'0' * 16}-01", id="a span id of zeros"),
        pytest.param(f"00-{W3C.upper()}-{SPAN}-01", id="upper case"),
        pytest.param(f"00-{W3C}-{SPAN}", id="no flags"),
        pytest.param(f"00-{W3C}-{SPAN}-01x", id="something stuck to the flags"),
        pytest.param(f"00-{W3C}-{SPAN}-01-more", id="version 00 has four parts"),
        pytest.param("", id="empty"),
    ],
)
def test_a_traceparent_that_the_standard_refuses_is_as_good_as_none(line: str) -> None:
    trace = read_trace([(b"traceparent", line.encode())], MINTED)

    assert trace.source == "minted"
    assert trace.trace_id == MINTED


def test_two_traceparents_are_as_good_as_none() -> None:
    trace = read_trace([(b"traceparent", TRACEPARENT)] * 2, MINTED)

    assert trace.source == "minted"


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    trace = read_trace([(b"traceparent", f"cc-{W3C}-{SPAN}-01-what-is-next".encode())], MINTED)

    assert (trace.trace_id, trace.parent_span_id) == (W3C, SPAN)
    assert trace.traceparent("2" * 16).startswith("00-")


@given(
    sent=st.lists(
        st.tuples(
            st.sampled_from([b"traceparent", b"x-trace-id", b"x-tallygate-trace-id", b"cookie"]),
            st.binary(max_size=80) | st.just(TRACEPARENT) | st.sampled_from([b"tr_1", b"tr_2"]),
        ),
        max_size=4,
    )
)
def test_whatever_arrives_the_trace_can_be_sent_on_as_two_headers(
    sent: list[tuple[bytes, bytes]],
) -> None:
    trace = read_trace(sent, MINTED)

    assert 1 <= len(trace.trace_id) <= 128
    assert trace.trace_id.isascii()
    assert trace.trace_id.isprintable()
    assert " " not in trace.trace_id
    onward = read_trace([(b"traceparent", trace.traceparent(SPAN).encode())], MINTED)
    assert onward.w3c_trace_id == trace.w3c_trace_id
    assert trace.source == ("minted" if trace.trace_id == MINTED else "received")
