from __future__ import annotations

from typing import Any

import pytest

from fakes.contracts import a_contract
from tallygate.domain.attribution.onward import headers_onward, strip_metadata

RAW = b"x-tallygate-tenant-id"


@pytest.mark.parametrize(
    ("sent", "goes_on"),
    [
        pytest.param([(RAW, b"acme")], [], id="a raw header"),
        pytest.param(
            [(b"baggage", b"feature=a,tenant_id=acme;p=1, workflow_id=w")],
            [(b"baggage", b"feature=a, workflow_id=w")],
            id="a raw member of baggage",
        ),
        pytest.param([(b"baggage", b" tenant_id = acme")], [], id="baggage that is all raw"),
        pytest.param(
            [(b"baggage", b"tenant_id=a"), (b"baggage", b"feature=b")],
            [(b"baggage", b"feature=b")],
            id="two lines of baggage",
        ),
        pytest.param(
            [(b"baggage", b"tenant_id=a"), (b"baggage", "feature=j\uff20n,x=1".encode())],
            [(b"baggage", b"x=1")],
            id="what is no ASCII behind a raw line",
        ),
        pytest.param(
            [(b"x-tallygate-tenant-id-hash", b"hk1_0"), (b"authorization", b"Bearer k")],
            [(b"x-tallygate-tenant-id-hash", b"hk1_0"), (b"authorization", b"Bearer k")],
            id="nothing raw",
        ),
    ],
)
def test_raw_identifiers_in_headers_stay_behind(
    sent: list[tuple[bytes, bytes]], goes_on: list[tuple[bytes, bytes]]
) -> None:
    assert list(headers_onward(sent, a_contract())) == goes_on


def test_raw_identifiers_in_metadata_are_taken_out() -> None:
    metadata: dict[str, Any] = {"tenant_id": "acme", "feature": "a"}

    strip_metadata(metadata, a_contract())

    assert metadata == {"feature": "a"}
