"""What the contract suites share: one PostgreSQL server for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """Return the address of an empty database, as its owner."""
    return postgres_server.url(postgres_server.new_database())
