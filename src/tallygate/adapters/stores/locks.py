"""
Advisory locks of a PostgreSQL ledger, by number; SQLite has one writer at a time anyway.

Shapes  Two-key locks in a space of our own, so that they meet no other program's.
"""

from __future__ import annotations

from typing import Final

SPACE: Final = 0x7A11
"""First key of all of them."""

APPEND: Final = 1
"""Held shared by each append until it commits. Who holds it exclusively knows that every line
with a `seq` up to the greatest is committed, and that no lower one will appear."""
MIGRATE: Final = 2
"""Held exclusively by whoever migrates."""
SEAL: Final = 3
"""Held exclusively by the one sealer."""
