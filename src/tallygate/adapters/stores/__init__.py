"""Ledger stores: tables, their migrations, and the `Ledger` port on SQLite and on PostgreSQL."""
