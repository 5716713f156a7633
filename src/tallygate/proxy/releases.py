"""
Which LiteLLM this is: tried or not, and what of it the gate does not find or does not know.

Shapes  `Seen` is what the installed LiteLLM shows of itself; `findings_about` judges it.
Errors  None: a hook, call type or route that is not as expected is a finding, with what it costs.
Source  docs/compatibility.md says how each release was tried and what differs on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import LiteLLMRoutes
from litellm.types.utils import CallTypes

from tallygate.proxy.call_types import CALL_TYPES
from tallygate.proxy.route_table import WEBSOCKET
from tallygate.proxy.routes import rule_of
from tallygate.proxy.selfcheck import Finding

LOCKED_RELEASE: Final = "1.106.2"
"""The one that requirements.lock has, in which the tables of routes and call types were read."""
TRIED_RELEASES: Final = frozenset({"1.100.5", "1.105.3", LOCKED_RELEASE, "1.109.1"})
OLDEST_RELEASE: Final = "1.100.5"
COMPROMISED_RELEASES: Final = frozenset({"1.82.7", "1.82.8", "1.107.0"})

LLM_ROUTE_LISTS: Final = (
    "openai_routes",
    "anthropic_routes",
    "google_routes",
    "mapped_pass_through_routes",
    "passthrough_routes_wildcard",
    "mcp_inference_routes",
    "agent_inference_routes",
    "litellm_native_routes",
    "llm_api_routes",
)
"""LiteLLM's own lists, from which it tells whether a route can reach a provider."""

LOST_WITHOUT_HOOK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "async_pre_call_hook": "most calls are not decided",
        "async_pre_call_deployment_hook": (
            "retries and fallbacks are not told apart, and no provider gets the trace"
        ),
        "log_pre_api_call": "no attempt is opened",
        "async_post_call_success_deployment_hook": "answers are settled late, when they are logged",
        "async_post_call_failure_deployment_hook": (
            "of a call that is tried several times, failed tries but one are booked as unknown"
        ),
        "async_logging_hook": "streams and cache hits are booked as unknown",
        "async_log_failure_event": "streams that break off are booked as unknown",
    }
)
"""Each hook of the gate's, and what is lost on a LiteLLM that does not know it."""

_NOT_TESTED: Final = (
    "not tested on it: that every provider call is one attempt in the ledger, over retries, "
    "fallbacks, timeouts, broken streams, clients that leave, SIGTERM and kill -9; that a refusal "
    "keeps its status and its JSON on every route; that nothing of a prompt or key is kept"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that a tried release does otherwise than the locked one."""

    before: str
    """The first release that was seen without it."""
    what: str


DIFFERENCES: Final = (
    Difference(
        "1.101.6",
        "a refusal on /v1/messages has OpenAI's error object, not Anthropic's; status, code and "
        "headers are the same",
    ),
    Difference(
        "1.105.3",
        "callbacks are not told which service tier served a stream of a chat, so its price rests "
        "on the tier that was asked for, nor which dated model answered where LiteLLM converts it",
    ),
)
"""What tests showed; docs/compatibility.md has it in full."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the installed LiteLLM shows of itself."""

    release: str
    hooks: frozenset[str]
    """Those of LOST_WITHOUT_HOOK that it knows."""
    call_types: frozenset[str]
    llm_routes: frozenset[str]
    """In LiteLLM's spelling."""


def look_at_litellm(release: str) -> Seen:
    """Read the hooks, call types and route lists of the LiteLLM that is installed."""
    return Seen(
        release=release,
        hooks=frozenset(name for name in LOST_WITHOUT_HOOK if hasattr(CustomLogger, name)),
        call_types=frozenset(member.value for member in CallTypes),
        llm_routes=frozenset(route for name in LLM_ROUTE_LISTS for route in _listed(name)),
    )


def findings_about(seen: Seen) -> list[Finding]:
    """Judge a release by its number and by what it shows of itself."""
    missing = [
        f"{name}: {lost}" for name, lost in LOST_WITHOUT_HOOK.items() if name not in seen.hooks
    ]
    call_types = sorted(seen.call_types - set(CALL_TYPES))
    routes = sorted(route for route in seen.llm_routes if not has_rule(route))
    return [
        _about_release(seen.release),
        _named("litellm_differences", "on this release: ", _differences(seen.release)),
        _named("litellm_hooks", "LiteLLM lacks hooks. ", missing),
        _named("litellm_call_types", "not known, so counted and not priced: ", call_types),
        _named("litellm_routes", "not known, so refused under enforce: ", routes),
    ]


def has_rule(route: str) -> bool:
    """Whether a rule fits a route in LiteLLM's spelling, with any method."""
    path = example_of(route)
    methods = ("POST", "GET", "DELETE", "PUT", "PATCH", WEBSOCKET)
    return any(rule_of(path, method).known for method in methods)


def example_of(route: str) -> str:
    """Return a path that LiteLLM's spelling of a route stands for."""
    return re.sub(r"\{[^}]*\}|\*", "x", route.partition("?")[0])


def _about_release(release: str) -> Finding:
    if release in TRIED_RELEASES:
        return Finding("litellm_release", ok=True)
    if release in COMPROMISED_RELEASES:
        lost = f"LiteLLM {release} was compromised: stop the proxy and renew every key it has seen"
    elif _ordered(release) < _ordered(OLDEST_RELEASE):
        lost = (
            f"LiteLLM {release} is older than {OLDEST_RELEASE}, the oldest that tallygate "
            f"supports; {_NOT_TESTED}"
        )
    else:
        tried = ", ".join(sorted(TRIED_RELEASES, key=_ordered))
        lost = f"LiteLLM {release} was not tried with this tallygate ({tried} were); {_NOT_TESTED}"
    return Finding("litellm_release", ok=False, lost=lost)


def _differences(release: str) -> list[str]:
    number = _ordered(release)
    return [found.what for found in DIFFERENCES if number < _ordered(found.before)]


def _named(name: str, meaning: str, found: list[str]) -> Finding:
    return Finding(name, ok=not found, lost=meaning + "; ".join(found) if found else "")


def _listed(name: str) -> Iterable[str]:
    member: Any = getattr(LiteLLMRoutes, name, None)  # another release may have renamed it
    return member.value if member is not None else ()


def _ordered(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:3])
