"""What the request line answers when it has itself failed."""

from __future__ import annotations

import pytest

from fakes.lines import a_line, a_request
from tallygate.domain.attribution.contract import Principal


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
