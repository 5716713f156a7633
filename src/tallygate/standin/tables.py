"""Every table of routes that the stand-in serves; a new wire module adds its own here."""

from __future__ import annotations

from tallygate.standin import (
    anthropic_table,
    bedrock_invoke_wire,
    cohere_wire,
    gateway_wire,
    google_table,
    mcp_server,
    openai_table,
)
from tallygate.standin.routing import Table

TABLES: tuple[Table, ...] = (
    anthropic_table.table,
    openai_table.table,
    bedrock_invoke_wire.table,
    cohere_wire.table,
    google_table.table,
    mcp_server.table,
    gateway_wire.table,
)
