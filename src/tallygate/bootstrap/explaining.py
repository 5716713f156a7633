"""
One question, put to a policies folder and explained: the engine, the data with its lines, the Rego.

Errors  PoliciesInvalid and EngineError leave it as they are; without `opa` the rules that fired
        are not known, and the explanation says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.loading import load_engine
from tallygate.adapters.engines.rego_rules import rules_behind
from tallygate.adapters.files.policies import PolicySet, read_policies
from tallygate.adapters.stores.decision_lines import SqlDecisionLines
from tallygate.application.asked import is_whole
from tallygate.application.explanation import Explanation, explain
from tallygate.application.mending import Way, ways_to_pass
from tallygate.application.policy_places import Places
from tallygate.application.recorded_decision import RecordedDecision, decision_from_row
from tallygate.bootstrap.books import open_ledger
from tallygate.domain.attribution.contract import contract_from_data, registry_from_data
from tallygate.domain.policy.recorded_input import question_from_recorded
from tallygate.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A decision of the folder as it is, why, and what would make the call pass."""

    revision: str
    question: Mapping[str, Any]
    explanation: Explanation
    ways: tuple[Way, ...] | None
    """None where the question lacks parts that the gate always gives, so nothing can be tried."""


class ExplainingFolder:
    """A policies folder, loaded once to be asked."""

    def __init__(self, folder: Path) -> None:
        self.policies: PolicySet = read_policies(folder)
        loaded = load_engine(lambda: self.policies, last_good=None)
        self._engine: EmbeddedEngine = loaded.engine
        self.warnings: tuple[str, ...] = loaded.warnings
        self._data: Mapping[str, Any] = self.policies.data

    def decide(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer as the gate would be answered over this folder."""
        return self.decide_over(question, self.policies.data)

    def explain(self, question: Mapping[str, Any]) -> Explained:
        """Decide and explain; the ways to pass are tried on this folder's data."""
        policies = self.policies
        decision = self.decide(question)
        rules = rules_behind(policies.rego, policies.data, question, decision, policies.folder)
        places = Places(policies.documents)
        ways = None
        if is_whole(question):
            ways = ways_to_pass(question, policies.data, places, self.decide_over)
        return Explained(
            revision=policies.revision,
            question=question,
            explanation=explain(question, decision, places, rules),
            ways=ways,
        )

    def close(self) -> None:
        self._engine.close()

    def decide_over(
        self, question: Mapping[str, Any], data: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Answer over other data than the folder's."""
        if data is not self._data:
            self._engine.put_data(data)
            self._data = data
        return self._engine.decide(question)


def find_decision(
    settings: Settings, ledger: str | None, decision_id: str, folder: ExplainingFolder
) -> RecordedDecision | None:
    """Look a decision up in the ledger, with its question as this folder's data would ask it."""
    with open_ledger(settings, ledger) as opened:
        line = SqlDecisionLines(opened).decision_line(decision_id)
    if line is None:
        return None
    data = folder.policies.data
    contract, registry = contract_from_data(data["contract"]), registry_from_data(data["registry"])
    question = None
    if line.recorded is not None:
        question = question_from_recorded(
            line.recorded,
            contract,
            registry,
            call_bucket=line.call_bucket,
            at_ns=line.decided_at_ns,
        )
    return decision_from_row(line.event, question, contract, registry)
