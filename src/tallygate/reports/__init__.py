"""What the ledger's answers look like to people (text) and to programs (JSON, CSV)."""
