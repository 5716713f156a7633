"""
What the gate does when it cannot ask the policy.

An enforcing service is refused (503), a report-only one passes, and either way an event says so.
The table of modes comes from the last policy data that was good; fail_open is a reviewed choice.

Exact  On the strict side: shares of workflows are the policy's to work out, so a call gets the
       strictest mode of any share, and one that names what is not its principal's gets the
       strictest mode that the principal could be under. A canary spares a call whose bucket is
       known. So the mode is never laxer than the policy's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallygate.domain.attribution.contract import Binding, Contract, Registry
from tallygate.domain.attribution.ownership import Ownership
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.decision import Action, Decision, Mode
from tallygate.domain.policy.reach import is_inside, may_charge, may_speak_for

_ALL: Final = 100
"""Percent."""


def decide_blind(
    ownership: Ownership,
    binding: Binding | None,
    contract: Contract,
    registry: Registry,
    at_ns: int,
    call_bucket: int | None = None,
) -> Decision:
    """Answer from the table alone."""
    service = ownership.values.get("service", "")
    moment = _Moment(text_from_ns(at_ns), 0 if call_bucket is None else call_bucket)
    mode = _mode(ownership, binding, contract, registry, moment)
    fails_open = service in contract.fail_open and may_speak_for(
        service, binding, contract, registry
    )
    passes = mode is Mode.REPORT_ONLY or fails_open
    derived = {}
    if (team := ownership.values.get("owner_team")) and may_charge(team, binding, registry):
        derived["owner_team"] = team
    return Decision(
        action=Action.ADMIT if passes else Action.REJECT,
        would_action=Action.REJECT if mode is Mode.ENFORCE else Action.ADMIT,
        mode=mode,
        mode_source="blind",
        ownership=derived,
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    """When the call came, and its place in a canary; 0 is in every one."""

    now: str
    call_bucket: int


def _mode(
    ownership: Ownership,
    binding: Binding | None,
    contract: Contract,
    registry: Registry,
    moment: _Moment,
) -> Mode:
    if binding is None and contract.unbound_mode != "by_service":
        return _strict(contract.unbound_mode)
    inside = is_inside(ownership.values, binding, contract, registry)
    services = (
        (ownership.values["service"],)
        if inside
        else [
            name for name in registry.services if may_speak_for(name, binding, contract, registry)
        ]
    )
    modes = {
        _mode_of(registry.services[service], environment, contract, moment)
        for service in services
        for environment in _environments_of(ownership, binding, registry)
    }
    if not modes:
        return _strict(contract.default_mode)
    return Mode.ENFORCE if Mode.ENFORCE in modes else Mode.REPORT_ONLY


def _environments_of(
    ownership: Ownership, binding: Binding | None, registry: Registry
) -> tuple[str, ...]:
    """List the claimed one, or where that is not the principal's, all it could be."""
    known = registry.values["environment"]
    own = (binding.environments if binding else ()) or known
    claimed = ownership.values.get("environment", "")
    return (claimed,) if claimed in known and claimed in own else own


def _mode_of(
    entry: Mapping[str, Any], environment: str, contract: Contract, moment: _Moment
) -> Mode:
    started = [
        step
        for step in entry.get("schedule", ())
        if step["from"] <= moment.now and step.get("environment", environment) == environment
    ]
    decided = 0  # of 100 buckets of workflows, by newer steps
    for date in sorted({step["from"] for step in started}, reverse=True):
        steps = [step for step in started if step["from"] == date and _share(step) > decided]
        if any(_enforces(step["mode"], step.get("canary", _ALL), moment) for step in steps):
            return Mode.ENFORCE
        decided = max([decided, *(_share(step) for step in steps)])
    if decided >= _ALL:
        return Mode.REPORT_ONLY
    modes, canary = entry.get("modes", {}), entry.get("canary", {})
    chosen = modes.get(environment, modes.get("default")) or contract.default_mode
    percent = canary.get(environment, canary.get("default", _ALL))
    return Mode.ENFORCE if _enforces(chosen, percent, moment) else Mode.REPORT_ONLY


def _enforces(mode: str, canary: int, moment: _Moment) -> bool:
    return _strict(mode) is Mode.ENFORCE and (mode != Mode.ENFORCE or moment.call_bucket < canary)


def _share(step: Mapping[str, Any]) -> int:
    return int(step.get("percent", _ALL))


def _strict(mode: str) -> Mode:
    """Read a mode; one that cannot be read is enforce."""
    return Mode.REPORT_ONLY if mode == Mode.REPORT_ONLY else Mode.ENFORCE
