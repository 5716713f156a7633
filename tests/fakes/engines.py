"""A policy engine that answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from tallygate.application.ports import Answer
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


class FakeServer:
    """Answers as an OPA server does; None is a server that is not there."""

    def __init__(
        self,
        answer: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] = lambda _: ADMIT,
        *,
        decision_id: str | None = "opa-1",
        answers_when: asyncio.Event | None = None,
    ) -> None:
        self._answer = answer
        self._decision_id = decision_id
        self._answers_when = answers_when
        self.url = "http://127.0.0.1:8181"
        self.revision: str | None = None
        self.failure: str | None = None
        self.asked: list[str] = []

    async def ask(self, question: Mapping[str, Any], call_id: str) -> Answer:
        self.asked.append(call_id)
        if self._answers_when is not None:
            await self._answers_when.wait()
        answer = self._answer(question)
        if answer is None:
            self.failure = "the OPA server could not be asked (ClientConnectorError)."
            raise EngineFailed(self.failure)
        self.revision, self.failure = "sha256:server", None
        return Answer(answer, self.revision, self._decision_id)

    async def close(self) -> None:
        """Hold nothing, so let nothing go."""
