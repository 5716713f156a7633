"""
Keys for the demo, for people to try out, and for tests: `general_settings.custom_auth`.

They are public, so they are no keys: a proxy that others can reach needs LiteLLM's own.
Shapes: key -> the LiteLLM team that policies/registry binds under `principals.teams`.
Errors: any other key gets LiteLLM's 401.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fastapi import Request
from litellm.proxy._types import LitellmUserRoles, ProxyException, UserAPIKeyAuth

DEMO_TEAMS: Mapping[str, str | None] = MappingProxyType(
    {
        "sk-demo-support": "litellm-team-support",
        "sk-demo-search": "litellm-team-search",
        "sk-demo-finance": "litellm-team-finance",
        "sk-demo-research": "litellm-team-research",
        "sk-demo-platform": "litellm-team-platform",
        "sk-demo-unbound": None,
    }
)
"""The team of each key; None for one that no binding knows, as a plain master key is."""


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Say whose call it is. LiteLLM gives the key as it came, with or without `Bearer`."""
    del request
    key = api_key.removeprefix("Bearer ").strip()
    if key not in DEMO_TEAMS:
        raise ProxyException(
            message=f"Unknown key. This proxy knows the demo keys: {', '.join(DEMO_TEAMS)}.",
            type="auth_error",
            param="key",
            code=401,
        )
    team = DEMO_TEAMS[key]
    return UserAPIKeyAuth(
        api_key=key,  # LiteLLM hashes it before anything else sees it
        key_alias=key.removeprefix("sk-"),
        team_id=team,
        team_alias=team,
        user_role=LitellmUserRoles.INTERNAL_USER,
    )
