"""
Every route of LiteLLM that can reach a provider: who decides on it, and what is recorded of it.

Shapes  A line of the table is one rule: its spellings, the first of which names it, then a note
        after a bar. `[/v1|/v2]/rerank` spells `/v1/rerank`, `/v2/rerank` and `/rerank`; `{x}` is
        one part of a path, `{x:path}` one or more. A spelling without parts outranks one with;
        then the first that fits holds.
Errors  None: a path that no rule knows is governed, and says so by `known`.
Source  Read in the endpoints of LiteLLM 1.106.2. `tests/proxy/test_routes.py` holds the table to
        LiteLLM's own lists and to what it serves; `docs/routes.md` is written from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tallygate.domain.policy.question import UNKNOWN_ROUTE
from tallygate.proxy.call_types import Metering
from tallygate.proxy.route_table import EVERY, PROVIDERS, TABLE, WEBSOCKET, DecidedIn


@dataclass(frozen=True, slots=True)
class RouteRule:
    """How the gate treats one route."""

    pattern: str
    governed: bool
    decided_in: DecidedIn
    """Means nothing where the route is not governed."""
    metering: Metering
    note: str
    methods: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()
    known: bool = True
    is_passed: bool = False
    """Whether the client gets the provider's own words, which are then read as they go by."""
    provider: str | None = None
    """Who is behind it, where the path says so."""
    is_own: bool = False
    """Whether it is LiteLLM's own doing, paid by whom the registry says (`own_calls`)."""


UNKNOWN: Final = RouteRule(
    pattern=UNKNOWN_ROUTE,
    governed=True,
    decided_in="auth",
    metering=Metering.COUNTED,
    note="no rule knows it: refused under enforce",
    known=False,
)
CUSTOM_PASS_THROUGH: Final = RouteRule(
    pattern="pass_through_endpoints",
    governed=True,
    decided_in="auth",
    metering=Metering.METERED,
    note="a path of the proxy's own config; with `auth: false` nobody is asked who calls",
    is_passed=True,
)
"""For paths that are only in the proxy's config: the table cannot know them, LiteLLM does."""
_PREFLIGHT: Final = RouteRule(
    pattern="preflight",
    governed=False,
    decided_in="auth",
    metering=Metering.FREE,
    note="a browser asks what it may send",
)


def _spellings(word: str) -> Iterator[str]:
    """Write out the bracket, if there is one; the bare spelling comes last."""
    if not word.startswith("["):
        yield word
        return
    prefixes, _, rest = word[1:].partition("]")
    for prefix in (*prefixes.split("|"), ""):
        yield prefix + rest


def _rules() -> Iterator[RouteRule]:
    for group in TABLE:
        for line in filter(None, map(str.strip, group.lines.splitlines())):
            written, _, note = line.partition(" | ")
            spellings = tuple(found for word in written.split() for found in _spellings(word))
            yield RouteRule(
                pattern=spellings[0],
                governed=group.decided_in is not None,
                decided_in=group.decided_in or "auth",
                metering=group.metering,
                note=note or group.note,
                methods=group.methods,
                spellings=spellings,
                is_passed=group.is_passed,
                is_own=group.is_own,
                provider=_provider(spellings[0]) if group.is_passed else None,
            )


_PROVIDER_NAMES: Final = {
    "openai_passthrough": "openai",
    "vertex-ai": "vertex_ai",
    "vllm": "hosted_vllm",
    "eu.assemblyai": "assemblyai",
}


def _provider(spelling: str) -> str | None:
    """Name the provider whose name the path begins with, as LiteLLM spells it."""
    first = spelling.split("/")[1]
    return _PROVIDER_NAMES.get(first, first) if first in {*PROVIDERS.split(), "gemini"} else None


def _compiled(spelling: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+(?::path)?)\}", spelling)
    written = [re.escape(part) for part in parts]
    written[1::2] = [r"[\s\S]+" if part.endswith(":path") else "[^/]+" for part in parts[1::2]]
    return re.compile("".join(written))


RULES: Final = tuple(_rules())
"""The whole table; of two rules that fit a path, the first holds."""

_EXACT: Final = {
    (method, spelling): rule
    for rule in reversed(RULES)
    for method in rule.methods
    for spelling in rule.spellings
    if "{" not in spelling
}
_PATTERNS: Final = {
    wanted: tuple(
        (_compiled(spelling), rule)
        for rule in RULES
        if wanted in rule.methods
        for spelling in rule.spellings
        if "{" in spelling
    )
    for wanted in (*EVERY, WEBSOCKET)
}


@lru_cache(maxsize=4096)
def rule_of(path: str, method: str) -> RouteRule:
    """Return the rule for a request's path (below the root path) and its method, or UNKNOWN."""
    if method == "OPTIONS":
        return _PREFLIGHT
    path, method = path.partition("?")[0], "GET" if method == "HEAD" else method
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact
    fitting = (rule for regex, rule in _PATTERNS.get(method, ()) if regex.fullmatch(path))
    return next(fitting, UNKNOWN)
