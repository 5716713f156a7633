"""
What the gate knows of the OPA server that decides for it: said in the log once, kept for `doctor`.

The policies folder stays in use beside a server: it reads the claims, and decides when the server
is gone. Another revision there than the server's is normal for the minutes of a deployment, and a
mistake when it stays.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from tallygate.adapters.engines.opa_server import PROBE
from tallygate.application.flow import RequestLine
from tallygate.errors import EngineFailed

log = logging.getLogger("tallygate.proxy")


class ServerCheck:
    """Looks at the server of one line; without one there is nothing to say."""

    def __init__(self, line: RequestLine) -> None:
        self._line = line
        self._is_asked = False
        self._said: tuple[str | None, str | None, str | None] | None = None

    async def look(self) -> None:
        """Ask once, so that a server that is not there is known before the first call needs it."""
        server = self._line.server
        if server is None:
            return
        if not self._is_asked:
            self._is_asked = True
            with suppress(EngineFailed):
                await server.ask({}, PROBE)
        own = self._line.policy.engine.revision
        said = server.failure, server.revision, own
        if said == self._said:
            return
        self._said = said
        if server.failure is not None:
            log.error("opa_server_failed reason=%s", server.failure)
        elif server.revision != own:
            log.warning("opa_server_revision_differs server=%s folder=%s", server.revision, own)
        else:
            log.info("opa_server_answers revision=%s", server.revision)

    def content(self) -> dict[str, Any] | None:
        """Return what `doctor` is told; None where the embedded engine decides."""
        server = self._line.server
        if server is None:
            return None
        return {"url": server.url, "revision": server.revision, "failure": server.failure}
