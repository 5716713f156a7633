"""A policy that is swapped while a call is on its way: each call keeps to the one that decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakes.contracts import a_contract, a_registry
from fakes.engines import ADMIT, FakeEngine
from fakes.entries import an_attempt
from fakes.lines import a_line, decided, stages_in
from fakes.spool import FakeSpool, FakeSpoolFolder
from tallygate.application.flow import PolicyInForce


def test_a_call_is_decided_by_one_policy_though_another_comes_into_force_meanwhile() -> None:
    def answer(_: Mapping[str, Any]) -> Mapping[str, Any]:
        line.policy = PolicyInForce(
            FakeEngine(revision="sha256:newer"), a_contract(spool_full="pass"), a_registry(), False
        )
        return ADMIT

    line = a_line(answer, spool=FakeSpool(FakeSpoolFolder(limit=0)))

    first, second = decided(line), decided(line)

    assert first.decision.policy_revision == "sha256:fake"
    assert first.refusal is not None
    assert first.refusal.code == "spool_full"
    assert (second.decision.policy_revision, second.refusal) == ("sha256:newer", None)


def test_what_a_call_was_promised_holds_under_the_policy_that_admitted_it() -> None:
    spool = FakeSpool(FakeSpoolFolder(limit=1))
    line = a_line(spool=spool, contract={"spool_full": "refuse"})
    admission = decided(line)
    line.policy = PolicyInForce(FakeEngine(), a_contract(spool_full="pass"), a_registry(), False)

    for _ in range(2):
        line.open(admission, an_attempt())

    assert stages_in(line) == ["opened", "opened"]
    assert line.uncounted == 0
