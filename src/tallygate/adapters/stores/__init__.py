"""Ledger stores: tables, their migrations, and the SQLite adapter of the `Ledger` port."""
