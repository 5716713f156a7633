"""
A refusal as LiteLLM can carry it: exact JSON, exact status, exact headers.

LiteLLM rebuilds most exceptions on their way out. A ProxyException with its own `to_dict` and
`status_code` keeps its shape; on Anthropic's route LiteLLM builds the body itself from `message`
and `provider_specific_fields`.
"""

from __future__ import annotations

from typing import Any

from litellm.proxy._types import ProxyException

from tallygate.domain.policy.refusal import Refusal


class RefusedByPolicy(ProxyException):  # type: ignore[misc]  # litellm is not typed for us
    """Raised in LiteLLM's hooks; the client sees it as an API error in its own dialect."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(
            message=refusal.message,
            type=refusal.type,
            param=refusal.param,
            code=refusal.http_status,
            openai_code=refusal.code,
            headers={"x-should-retry": "false"},  # the official clients retry a 503 otherwise
            provider_specific_fields={"code": refusal.code, "tallygate": refusal.extension},
        )
        self.refusal = refusal
        self.status_code = refusal.http_status

    def to_dict(self) -> dict[str, Any]:
        """Return OpenAI's error object."""
        return self.refusal.as_openai()
