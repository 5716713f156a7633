"""Every table of routes that the stand-in serves; a new wire module adds its own here."""

from __future__ import annotations

from tallygate.standin import anthropic_wire, openai_table
from tallygate.standin.routing import Table

TABLES: tuple[Table, ...] = (anthropic_wire.table, openai_table.table)
