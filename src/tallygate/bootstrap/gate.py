"""
The gate's wiring: from settings to a request line with a spool under it. No ledger, no LiteLLM.

Errors  SettingsInvalid, PoliciesInvalid, EngineError, SpoolUnusable: all before the first call.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa_server import OpaServer
from tallygate.adapters.files.activations import ActivationFolder
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.adapters.telemetry.metrics import metrics_of_process
from tallygate.application.flow import PolicyInForce, RequestLine
from tallygate.application.metrics import Metrics
from tallygate.application.reloading import InForce, Refused, Reloading
from tallygate.bootstrap.drain_child import DrainChild
from tallygate.bootstrap.policy_reading import StartingPolicy, read_at_start
from tallygate.bootstrap.reloading import PolicyReloader, ReloadParts
from tallygate.domain.attribution.contract import contract_from_data, registry_from_data
from tallygate.domain.attribution.ownership import Hasher
from tallygate.domain.kernel.ids import uuid7
from tallygate.domain.policy.break_glass import break_glass_from_data
from tallygate.domain.policy.terms import terms_from_data
from tallygate.errors import SettingsInvalid
from tallygate.settings import Settings

ACTIVATIONS: Final = "activations"
"""Where in the state folder activations of break-glass are kept."""


class SystemClock:
    """UTC now, from the machine."""

    def now_ns(self) -> int:
        return time.time_ns()


@dataclass(frozen=True, slots=True)
class GateParts:
    """What a proxy process runs on."""

    line: RequestLine
    drain: DrainChild | None
    state_folder: Path
    spool_folder: Path
    policies_folder: Path
    policy: Reloading
    """What decides, what was refused, and what the operator must hear of it."""
    reloader: PolicyReloader | None
    metrics: Metrics
    warnings: tuple[str, ...]
    """What the operator must hear at start, in whole sentences."""
    activations: ActivationFolder


def build_gate(settings: Settings, base: Path) -> GateParts:
    """Build everything; `base` is the folder of the proxy's config file."""
    clock = SystemClock()
    policies_folder = settings.policies_folder(base).absolute()
    state_folder = settings.state_folder(base).absolute()
    spool_folder = settings.spool_folder(base).absolute()
    started_ns = clock.now_ns()
    starting = read_at_start(policies_folder, state_folder / "policies", started_ns)
    policy = policy_of(starting.loaded.engine, starting.loaded.data)
    server = opa_server_of(settings)
    spool = SegmentSpool(
        spool_folder,
        limit_bytes=settings.spool_limit_mb * 1024 * 1024,
        sync_interval_s=settings.sync_interval_ms / 1000,
        clock=clock,
    )
    hasher = hasher_of(settings)
    activations = ActivationFolder(state_folder / ACTIVATIONS)
    line = RequestLine(
        policy=policy,
        spool=spool,
        clock=clock,
        new_id=new_id,
        hasher=hasher,
        server=server,
        activations=activations.current,
    )
    metrics = metrics_of_process()
    state = _state_of(starting, started_ns)
    unfit = _hash_warning(policy, hasher)
    state.warn(*unfit)
    metrics.policy_in_force(state.in_force)
    metrics.policies_refused(is_refused=state.refused is not None)
    parts = ReloadParts(
        folder=policies_folder,
        last_good=state_folder / "policies",
        line=line,
        state=state,
        metrics=metrics,
        build=policy_of,
        warn_about=lambda policy: _hash_warning(policy, hasher),
    )
    return GateParts(
        line=line,
        drain=_drain_of(settings, base, policies_folder),
        state_folder=state_folder,
        spool_folder=spool_folder,
        policies_folder=policies_folder,
        policy=state,
        reloader=PolicyReloader(parts) if settings.reload == "watch" else None,
        metrics=metrics,
        warnings=(*starting.loaded.warnings, *unfit),
        activations=activations,
    )


def _drain_of(settings: Settings, base: Path, policies_folder: Path) -> DrainChild | None:
    if settings.drain != "child":
        return None
    return DrainChild(
        spool_folder=settings.spool_folder(base).absolute(),
        ledger_url=settings.ledger(base),
        policies_folder=policies_folder,
        log_file=settings.state_folder(base).absolute() / "drain.log",
    )


def policy_of(engine: EmbeddedEngine, data: Mapping[str, Any]) -> PolicyInForce:
    """Make what decides of an engine and the data that it answers from."""
    return PolicyInForce(
        engine=engine,
        contract=contract_from_data(data["contract"]),
        registry=registry_from_data(data["registry"]),
        is_remembered=True,
        break_glass=break_glass_from_data(data),
        terms=terms_from_data(data),
    )


def _state_of(starting: StartingPolicy, now_ns: int) -> Reloading:
    loaded, reading = starting.loaded, starting.reading
    in_force = InForce(
        revision=loaded.engine.revision,
        content="" if loaded.is_last_good else reading.content,
        loaded_at_ns=now_ns,
        is_last_good=loaded.is_last_good,
        # That it fell back is told with what is refused, and is over when that is mended.
        warnings=() if loaded.is_last_good else loaded.warnings,
    )
    if not loaded.is_last_good:
        return Reloading(in_force)
    refused = Refused(content=reading.content, at_ns=now_ns, problems=reading.problems)
    return Reloading(in_force, refused)


def new_id() -> str:
    """Mint a UUIDv7."""
    return uuid7(time.time_ns(), os.urandom(8))


def opa_server_of(settings: Settings) -> OpaServer | None:
    """Build the engine that an OPA server is; None where the embedded one decides."""
    if settings.opa_url is None:
        return None
    token = settings.opa_token
    try:
        return OpaServer(
            settings.opa_url,
            timeout_s=settings.opa_timeout_ms / 1000,
            token=None if token is None else token.get_secret_value(),
            ca_file=settings.opa_ca_file,
            bundle=settings.opa_bundle,
        )
    except OSError as error:  # ssl's errors among them
        raise SettingsInvalid(
            f"TALLYGATE_OPA_CA_FILE {settings.opa_ca_file} cannot be used: {error.strerror}. "
            "Expected a file of certificates in PEM."
        ) from error


def hasher_of(settings: Settings) -> Hasher | None:
    """Build the keyed hash for raw tenant and user ids; None without a key."""
    if settings.hash_key is None:
        return None
    key = settings.hash_key.get_secret_value().encode()
    prefix = settings.hash_key_id

    def hashed(raw: str) -> str:
        digest = hmac.new(key, raw.encode(), hashlib.sha256).hexdigest()
        return f"{prefix}_{digest[:32]}"

    return hashed


def _hash_warning(policy: PolicyInForce, hasher: Hasher | None) -> tuple[str, ...]:
    raw = sorted(
        name
        for name, spec in policy.contract.fields.items()
        if spec.hash_from.headers or spec.hash_from.baggage or spec.hash_from.metadata
    )
    if hasher is not None or not raw:
        return ()
    warning = (
        f"The contract lets services send a raw id for {', '.join(raw)}, but TALLYGATE_HASH_KEY is "
        "not set, so raw ids are dropped and the field counts as missing."
    )
    return (warning,)
