"""
`tallygate doctor`: what is wrong with an installation, and how to mend it.

It reads files, opens the ledger and asks the OPA server where one decides; it asks no proxy and
imports no LiteLLM. What a running gate found out about its proxy stands in the files that each
worker writes (`<state>/gates/`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from tallygate.adapters.engines.opa import find_opa
from tallygate.adapters.engines.opa_server import PROBE, OpaServer
from tallygate.adapters.files.folder_content import read_content
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.strict_yaml import read_yaml
from tallygate.adapters.spool.folder import (
    MOUNTS,
    file_system_of,
    lock_path,
    prepared_folder,
    sizes_in,
    writers_in,
)
from tallygate.adapters.stores.opening import ledger_at
from tallygate.adapters.stores.sealing import SqlSealStore
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ports import Answer, EventFilter
from tallygate.application.sealing import seals_behind_ns
from tallygate.bootstrap.drain_child import LOCK_NAME
from tallygate.bootstrap.gate import opa_server_of
from tallygate.bootstrap.policies import check_folder
from tallygate.bootstrap.workers import (
    Worker,
    behind_the_folder,
    differing_revisions,
    is_free,
    published_workers,
)
from tallygate.errors import (
    EngineError,
    LedgerError,
    PoliciesInvalid,
    PoliciesUnsettled,
    SettingsInvalid,
    SpoolError,
)
from tallygate.settings import Settings

HANDLER: Final = "tallygate.proxy.handler"
_EPHEMERAL: Final = frozenset({"tmpfs", "ramfs", "overlay"})
_MOST_PROBLEMS: Final = 5
_NS_PER_MINUTE: Final = 60_000_000_000


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    remedy: str = ""


def examine(settings: Settings, base: Path, now: str) -> Iterator[Check]:
    """Look at everything that a gate and its books need; `base` is the config's folder."""
    yield from _config(base)
    yield from _policies(settings.policies_folder(base), now)
    yield _opa()
    yield from _opa_server(settings, base)
    yield from _spool(settings.spool_folder(base))
    yield from _ledger(settings.ledger(base))
    yield from _gates(
        settings.state_folder(base), settings.spool_folder(base), settings.policies_folder(base)
    )


def _config(base: Path) -> Iterator[Check]:
    configs = sorted(
        path for pattern in ("*config*.yaml", "*config*.yml") for path in base.glob(pattern)
    )
    named = False
    for path in configs:
        try:
            value = read_yaml(path).value
        except PoliciesInvalid:
            text = path.read_text(encoding="utf-8", errors="replace")
            if HANDLER in text:
                named = True
                yield Check("config", State.OK, f"{path} names {HANDLER}")
            continue
        if not isinstance(value, dict) or "model_list" not in value:
            continue
        named = True
        yield _callbacks(path, value.get("litellm_settings"))
    if not named:
        yield Check(
            "config",
            State.NOTE,
            f"no LiteLLM config in {base}",
            "Run doctor in the folder of the proxy's config file.",
        )


def _callbacks(path: Path, settings: object) -> Check:
    callbacks = settings.get("callbacks") if isinstance(settings, dict) else None
    remedy = f'In litellm_settings, write: callbacks: ["{HANDLER}"], a list with it first.'
    if callbacks == HANDLER:
        return Check("config", State.PROBLEM, f"{path}: callbacks is not a list", remedy)
    if not isinstance(callbacks, list) or HANDLER not in callbacks:
        return Check("config", State.PROBLEM, f"{path}: tallygate is not in callbacks", remedy)
    if callbacks[0] != HANDLER:
        return Check("config", State.WARNING, f"{path}: tallygate is not the first one", remedy)
    return Check("config", State.OK, f"{path} names {HANDLER} first")


def _policies(folder: Path, now: str) -> Iterator[Check]:
    try:
        checked = check_folder(folder, now)
    except EngineError as error:
        yield Check("policies", State.PROBLEM, str(error), "Run: tallygate policy build")
        return
    errors = [problem for problem in checked.problems if problem.severity == "error"]
    for problem in errors[:_MOST_PROBLEMS]:
        yield Check("policies", State.PROBLEM, str(problem))
    if len(errors) > _MOST_PROBLEMS:
        more = f"and {len(errors) - _MOST_PROBLEMS} more"
        yield Check("policies", State.PROBLEM, more, f"tallygate policy check --policies {folder}")
    if checked.untold:
        yield Check("policies", State.WARNING, checked.untold)
    if not errors:
        found = f"{folder}, revision {checked.revision}, {checked.cases_run} cases"
        yield Check("policies", State.OK, found)
        for problem in (p for p in checked.problems if p.severity != "error"):
            yield Check("policies", State.NOTE, str(problem))


def _opa() -> Check:
    try:
        opa = find_opa()
    except EngineError as error:
        return Check("opa", State.WARNING, str(error))
    return Check(
        "opa",
        State.OK if opa else State.NOTE,
        f"OPA {opa.version}" if opa else "no opa on the PATH; it is needed to change Rego only",
    )


def _opa_server(settings: Settings, base: Path) -> Iterator[Check]:
    """Ask the server that decides, as a worker does; nothing where the embedded engine decides."""
    try:
        server = opa_server_of(settings)
        if server is None:
            return
        answer, took_ms = asyncio.run(_asked(server))
    except (EngineError, SettingsInvalid) as error:
        remedy = "Until it answers, services in enforce are refused with 503 (docs/operating.md)."
        yield Check("opa server", State.PROBLEM, f"{settings.opa_url}: {error}", remedy)
        return
    logged = "with" if answer.decision_id else "without"
    found = f"{server.url} answers in {took_ms:.1f} ms, {logged} a decision log"
    yield Check("opa server", State.OK, f"{found}, revision {answer.revision}")
    if answer.revision is None:
        yield Check(
            "opa server",
            State.WARNING,
            "it does not say by which revision it decides, so events do not either",
            "Give it what `tallygate policy bundle` writes; of several bundles, name ours in "
            "TALLYGATE_OPA_BUNDLE.",
        )
        return
    with suppress(PoliciesInvalid):
        own = read_policies(settings.policies_folder(base)).revision
        if own != answer.revision:
            yield Check(
                "opa server",
                State.WARNING,
                f"it decides by another revision than the policies folder's, {own}",
                "Deploy both from one commit: the folder reads the claims, and decides when the "
                "server is gone.",
            )


async def _asked(server: OpaServer) -> tuple[Answer, float]:
    try:
        await server.ask({}, PROBE)  # which also connects
        began = time.perf_counter()
        return await server.ask({}, PROBE), (time.perf_counter() - began) * 1000
    finally:
        await server.close()


def _spool(folder: Path) -> Iterator[Check]:
    if not folder.exists():
        yield Check("spool", State.NOTE, f"{folder} is not there yet; the gate makes it")
        return
    try:
        resolved = prepared_folder(folder)
    except SpoolError as error:
        yield Check("spool", State.PROBLEM, str(error))
        return
    file_system = file_system_of(resolved, MOUNTS.read_text()) if MOUNTS.exists() else ""
    if file_system in _EPHEMERAL:
        yield Check(
            "spool",
            State.WARNING,
            f"{folder} lies on {file_system}, which may go with its container",
            "Put it on a persistent volume: TALLYGATE_SPOOL.",
        )
    writers = writers_in(resolved)
    gone = [writer for writer in writers if is_free(lock_path(resolved, writer))]
    waiting = sum(sizes_in(resolved).values())
    drained = not is_free(resolved / LOCK_NAME)
    found = f"{folder}: {len(writers) - len(gone)} proxies write, {waiting} bytes held"
    yield Check("spool", State.OK, found)
    if drained:
        yield Check("drain", State.OK, "running")
    elif writers:
        waits = f"no drain runs, and {len(gone)} ended and {len(writers) - len(gone)} live proxies"
        yield Check(
            "drain",
            State.PROBLEM,
            f"{waits} have written here",
            "See drain.log in the state folder, or run: tallygate drain --follow",
        )
    else:
        yield Check("drain", State.OK, "not running; nothing waits")


def _ledger(url: str) -> Iterator[Check]:
    try:
        ledger = ledger_at(url, create=False, unhurried=True)
        if isinstance(ledger, SqliteLedger) and not Path(ledger.place).exists():
            remedy = "The drain makes it with the first event."
            yield Check("ledger", State.NOTE, f"{ledger.place} is not there yet", remedy)
            return
        with closing(ledger):
            total, rejected = ledger.total(EventFilter()), ledger.count_rejected()
            store = SqlSealStore(ledger)
            behind_ns = seals_behind_ns(store, store.last_seal())
    except (SettingsInvalid, LedgerError) as error:
        yield Check("ledger", State.PROBLEM, str(error))
    else:
        found = f"{ledger.place}: {total.events} events, {total.unpriced} unpriced"
        yield Check("ledger", State.OK, found)
        if rejected:
            kept = f"{rejected} entries break a rule of the ledger and are not among its events"
            remedy = "Look at the table rejected_entries, and report what is in it."
            yield Check("ledger", State.PROBLEM, kept, remedy)
        if behind_ns is not None:
            waits = f"an event has no seal {behind_ns // _NS_PER_MINUTE} minutes after booking"
            remedy = (
                "Look for events_not_sealed in drain.log: the drain's role needs INSERT on seals "
                "(docs/operating.md). Then run: tallygate ledger seal"
            )
            yield Check("seals", State.PROBLEM, waits, remedy)


def _gates(state: Path, spool: Path, policies: Path) -> Iterator[Check]:
    workers = published_workers(state, spool)
    for worker in workers:
        if not worker.is_alive:
            ended = f"worker {worker.pid} ended without shutting down"
            yield Check("gate", State.NOTE, ended)
            continue
        if (failure := (worker.said.get("opa_server") or {}).get("failure")) is not None:
            yield Check("gate", State.PROBLEM, f"worker {worker.pid}: {failure}")
        missing = [finding for finding in worker.said["findings"] if not finding["ok"]]
        for finding in missing:
            lost = f"worker {worker.pid}: {finding['name']}: {finding['lost']}"
            yield Check("gate", State.WARNING, lost)
        for warning in worker.policy.get("warnings", ()):
            yield Check("gate", State.WARNING, f"worker {worker.pid}: {warning}")
        if worker.said["uncounted_attempts"]:
            uncounted = f"worker {worker.pid}: {worker.said['uncounted_attempts']} attempts"
            yield Check(
                "gate", State.PROBLEM, f"{uncounted} not counted", "Make room for the spool."
            )
        if not missing:
            release = worker.said["litellm"]
            found = f"worker {worker.pid} on LiteLLM {release}: all it relies on is there"
            yield Check("gate", State.OK, found)
    yield from _agreement(workers, policies)
    if not workers:
        yield Check("gate", State.NOTE, "no proxy with tallygate runs with this state folder")


def _agreement(workers: Sequence[Worker], policies: Path) -> Iterator[Check]:
    """Compare what the workers decide by with each other and with the folder."""
    content = None
    if any(worker.is_alive and worker.policy for worker in workers):
        try:
            content = read_content(policies.absolute())
        except PoliciesUnsettled as error:
            yield Check("gate", State.NOTE, str(error))
    now_ns = time.time_ns()
    found_of_each = (
        found
        for worker in workers
        if worker.is_alive
        for found in behind_the_folder(worker, content, now_ns)
    )
    for found in (*found_of_each, *differing_revisions(workers, now_ns)):
        state = State.NOTE if found.is_passing else State.PROBLEM
        yield Check("gate", state, found.found, found.remedy)
