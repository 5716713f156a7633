"""
What the gate found out about its proxy, written to a file that `tallygate doctor` reads.

Doctor never imports LiteLLM: it reads `<state>/gates/<writer id>.json`, one file per worker, which
the worker removes when it shuts down and which a killed one leaves behind.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from tallygate.application.flow import RequestLine
from tallygate.proxy.server_check import ServerCheck

log = logging.getLogger("tallygate.proxy")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the gate relies on, and what is lost without it."""

    name: str
    ok: bool
    lost: str = ""


class SelfCheck:
    """Collects findings and keeps the worker's file up to date."""

    def __init__(self, state_folder: Path, line: RequestLine, server: ServerCheck) -> None:
        self._file = state_folder / "gates" / f"{line.spool.writer_id}.json"
        self._line = line
        self._server = server
        self._findings: list[Finding] = []
        self._written: dict[str, Any] = {}
        self._releases = {name: version(name) for name in ("tallygate", "litellm")}

    def note(self, *findings: Finding) -> None:
        """Keep findings; one that is not ok is logged."""
        for finding in findings:
            self._findings.append(finding)
            if not finding.ok:
                log.warning("self_check name=%s lost=%s", finding.name, finding.lost)

    def write_if_changed(self) -> None:
        if self._content() != self._written:
            self.write()

    def write(self) -> None:
        content = self._content()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".tmp")
        temporary.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        temporary.replace(self._file)
        self._written = content

    def remove(self) -> None:
        self._file.unlink(missing_ok=True)

    def _content(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "writer_id": self._line.spool.writer_id,
            **self._releases,
            "policy_revision": self._line.policy.engine.revision,
            "opa_server": self._server.content(),
            "uncounted_attempts": self._line.uncounted,
            "findings": [asdict(finding) for finding in self._findings],
        }
