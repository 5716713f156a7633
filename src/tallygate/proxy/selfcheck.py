"""
What the gate found out about its proxy, written to a file that `tallygate doctor` reads.

Doctor never imports LiteLLM: it reads `<state>/gates/<writer id>.json`, one file per worker, which
the worker removes when it shuts down and which a killed one leaves behind. Each worker publishes
there which policy decides in it, so that they can be compared with each other and with the folder.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any, Final

import orjson

from tallygate.application.reloading import Refused
from tallygate.bootstrap.gate import GateParts
from tallygate.proxy.server_check import ServerCheck

log = logging.getLogger("tallygate.proxy")

_SHOWN: Final = 20
"""Problems of a refused folder that are published; the log and `policy check` have them all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the gate relies on, and what is lost without it."""

    name: str
    ok: bool
    lost: str = ""


class SelfCheck:
    """Collects findings and keeps the worker's file up to date."""

    def __init__(self, parts: GateParts, server: ServerCheck) -> None:
        self._line = parts.line
        self._file = parts.state_folder / "gates" / f"{self._line.spool.writer_id}.json"
        self._policy, self._reloader = parts.policy, parts.reloader
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
            "policy": self._policy_now(),
        }

    def _policy_now(self) -> dict[str, Any]:
        in_force, refused = self._policy.in_force, self._policy.refused
        return {
            **asdict(in_force),
            "refused": None if refused is None else _shown(refused),
            "failure": self._policy.failure,
            "watched": self._reloader is not None,
            "watch_fault": self._reloader.fault if self._reloader is not None else None,
        }


def _shown(refused: Refused) -> dict[str, Any]:
    shown = asdict(replace(refused, problems=refused.problems[:_SHOWN]))
    return {**shown, "problem_count": len(refused.problems)}
