"""A policy engine that answers what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tallygate.errors import EngineFailed

ADMIT: Mapping[str, Any] = {
    "action": "admit",
    "would_action": "admit",
    "mode": "enforce",
    "mode_source": "service",
    "violations": [],
    "waived": [],
    "notices": [],
    "ownership": {},
    "valid_until": "9999-12-31T23:59:59Z",
}


class FakeEngine:
    """Answers from a function of the question; None is an undefined decision."""

    def __init__(
        self,
        answer: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] = lambda _: ADMIT,
        revision: str = "sha256:fake",
    ) -> None:
        self._answer = answer
        self._revision = revision
        self.questions: list[Mapping[str, Any]] = []

    @property
    def revision(self) -> str:
        return self._revision

    def decide(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        self.questions.append(question)
        answer = self._answer(question)
        if answer is None:
            raise EngineFailed("the policy engine's decision is undefined or not an object.")
        return answer
