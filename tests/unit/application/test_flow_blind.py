"""What the request line answers when it has itself failed."""

from __future__ import annotations

import pytest

from fakes.contracts import HASHED
from fakes.lines import a_line, a_request, decided
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.attribution.ownership import Claims


@pytest.mark.parametrize(
    ("principal", "is_admitted"),
    [
        pytest.param(Principal(), True, id="report-only by the contract"),
        pytest.param(Principal(team="llm-support"), False, id="a principal that is enforced"),
    ],
)
def test_a_line_that_fails_itself_answers_as_when_the_policy_does_not(
    principal: Principal, *, is_admitted: bool
) -> None:
    admission = a_line().admit_blind(a_request(principal=principal))

    assert admission.admitted is is_admitted
    assert admission.decision.status == "unavailable"
    assert admission.refusal is None or admission.refusal.http_status == 503


def test_what_nobody_could_judge_does_not_stand_on_the_event() -> None:
    """The policy gave no answer; of what was claimed, only what the gate itself knows is kept."""
    line = a_line(lambda _: None)
    claims = Claims(
        (
            (b"x-tallygate-service", b"support-assistant"),
            (b"x-tallygate-feature", b"sk-live-0123456789abcdef"),
            (b"x-tallygate-tenant-id-hash", HASHED.encode()),
        )
    )

    admission = decided(line, a_request(claims=claims))

    assert admission.decision.status == "unavailable"
    assert admission.ownership.service == "support-assistant"
    assert admission.ownership.tenant_id_hash == HASHED
    assert "sk-live" not in str(admission)
