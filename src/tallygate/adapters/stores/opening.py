"""
The store that a ledger's address names.

Errors  SettingsInvalid for an address that names none; it quotes nothing of the address.
"""

from __future__ import annotations

from typing import TypeAlias

from tallygate.adapters.stores.postgres import PostgresLedger, is_postgres
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.errors import SettingsInvalid

StoredLedger: TypeAlias = SqliteLedger | PostgresLedger


def ledger_at(url: str, *, create: bool = True, unhurried: bool = False) -> StoredLedger:
    """
    Return the ledger, not opened yet; with `create` it is made when it is not there.

    With `unhurried` a server may take as long for a statement as it needs.
    """
    if is_postgres(url):
        return PostgresLedger(url, create=create, unhurried=unhurried)
    scheme, separator, _ = url.partition("://")
    if separator and not scheme.startswith("sqlite"):
        raise SettingsInvalid(
            "the ledger's address is of a kind that tallygate does not know; write "
            "sqlite:///path or postgresql://role@host:5432/database "
            "(TALLYGATE_LEDGER_URL or --ledger)."
        )
    if not separator and ("@" in url or url.lower().startswith("postgres")):
        raise SettingsInvalid(  # a mistyped server's address would become the name of a file
            "the ledger's address has no :// and looks like that of a server; write "
            "postgresql://role@host:5432/database, or sqlite:///path for a file of such a name "
            "(TALLYGATE_LEDGER_URL or --ledger)."
        )
    return SqliteLedger(url, create=create)
