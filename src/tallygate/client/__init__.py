"""
Carry ownership from where work begins to each LLM call that it causes, without thinking.

For services, not for the proxy: nothing else of tallygate is imported, and nothing needs more than
the standard library. Where opentelemetry-api is installed, the values live in its baggage.
docs/client.md has the recipes.
"""

from __future__ import annotations

from tallygate.client.blocks import Block, Scope, current_scope, ownership
from tallygate.client.carriers import extract, inject
from tallygate.client.hooks import async_ownership_hooks, ownership_hooks
from tallygate.client.outgoing import default_headers, outgoing_headers

__all__ = [
    "Block",
    "Scope",
    "async_ownership_hooks",
    "current_scope",
    "default_headers",
    "extract",
    "inject",
    "outgoing_headers",
    "ownership",
    "ownership_hooks",
]
