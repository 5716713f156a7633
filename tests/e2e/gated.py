"""
What end-to-end tests share: a proxy's config, policies with an override, the books afterwards.

The override in the repository's policies has dates of its own; tests must not age, so they write
one that holds now and one that does not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.proxy_process import RunningProxy
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ports import EventFilter
from tallygate.domain.kernel.instants import NS_PER_SECOND, text_from_ns

REPOSITORY = Path(__file__).parents[2]

OWNED: Mapping[str, str] = {
    "x-tallygate-owner-team": "team-support",
    "x-tallygate-service": "support-assistant",
    "x-tallygate-environment": "prod",
    "x-tallygate-workflow-id": "refund-triage",
    "x-tallygate-feature": "ticket-triage",
    "x-tallygate-tenant-id-hash": "hk1_0123456789abcdef0123456789abcdef",
}
"""A call that fulfils the contract, for the keys of Support and of the platform."""


def without(*fields: str) -> dict[str, str]:
    """Return OWNED without some fields."""
    dropped = {f"x-tallygate-{field.replace('_', '-')}" for field in fields}
    return {name: value for name, value in OWNED.items() if name not in dropped}


def instant(seconds_from_now: float) -> str:
    return text_from_ns(time.time_ns() + int(seconds_from_now * NS_PER_SECOND))


def copy_policies(folder: Path, *, override_ends_s: float = 3600) -> Path:
    """Copy the repository's policies; Support is excused from its workflow for a while."""
    target = folder / "policies"
    shutil.copytree(REPOSITORY / "policies", target)
    (target / "overrides" / "data.yaml").write_text(
        "support-assistant:\n"
        "  ovr-test-active: {codes: [ownership_missing], fields: [workflow_id],\n"
        f'    starts_at: "{instant(-60)}", expires_at: "{instant(override_ends_s)}",\n'
        "    requested_by: support-lead, approved_by: finops-lead,\n"
        "    reason: needed by the tests, ticket: T-1}\n"
        "  ovr-test-expired: {codes: [ownership_missing], fields: [feature],\n"
        f'    starts_at: "{instant(-7200)}", expires_at: "{instant(-3600)}",\n'
        "    requested_by: support-lead, approved_by: finops-lead,\n"
        "    reason: needed by the tests, ticket: T-2}\n"
    )
    return target


def drain(proxy: RunningProxy, policies: Path) -> None:
    """Run `tallygate drain` by hand, as an operator does, on the proxy's spool."""
    subprocess.run(
        [sys.executable, "-m", "tallygate", "drain"],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "TALLYGATE_STATE": str(proxy.state),
            "TALLYGATE_POLICIES": str(policies),
        },
        check=True,
        capture_output=True,
        timeout=60,
    )


def rows(proxy: RunningProxy, trace_id: str | None = None, **equals: str) -> list[dict[str, Any]]:
    """Read what the ledger holds, oldest first."""
    ledger = SqliteLedger(proxy.state / "ledger.db", create=False)
    try:
        return [dict(row) for row in ledger.rows(EventFilter(trace_id=trace_id, equals=equals))]
    finally:
        ledger.close()


def settled_rows(
    proxy: RunningProxy,
    policies: Path,
    attempts: int,
    trace_id: str | None = None,
    patience_s: float = 20,
) -> list[dict[str, Any]]:
    """Drain until as many attempts are booked as expected: streams settle after the response."""
    deadline = time.monotonic() + patience_s
    while True:
        drain(proxy, policies)
        found = rows(proxy, trace_id)
        if sum(row["kind"] == "attempt" for row in found) >= attempts:
            return found
        assert time.monotonic() < deadline, [(row["kind"], row["status"]) for row in found]
        time.sleep(0.3)
