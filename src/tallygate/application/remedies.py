"""
What could mend one violation: a value that the caller sends, an entry of the registry, an override.

Nothing here is tried; application/mending.py does that, and drops what does not help.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tallygate.application.asked import Asked
from tallygate.application.changes import Change
from tallygate.application.explained_faults import fault_of
from tallygate.application.policy_places import Places, values_of
from tallygate.application.policy_review import Path
from tallygate.domain.attribution.contract import FieldKind, FieldSpec
from tallygate.domain.attribution.ownership import BAGGAGE
from tallygate.domain.policy.pattern_samples import sample_of

_SHOWN: Final = 6
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
"""What the registry's schema takes for an id."""
_FOREVER: Final = "9999-12-31T23:59:59Z"
_TRIED_OVERRIDE: Final = "ovr-tried"


def values_to_send(asked: Asked, field: str, places: Places) -> list[str]:
    """List values of a field that may help, the likeliest first."""
    spec = asked.contract.fields.get(field)
    if spec is None:
        return [""] if field in asked.malformed else []
    if spec.kind is not FieldKind.VOCABULARY:
        sample = sample_of(spec.pattern.pattern) if spec.pattern is not None else "example"
        return [sample] if sample is not None else []
    names = [
        name
        for name in _allowed(asked, field, places)
        if not _has_ended(asked, field, name, places)
    ]
    close = difflib.get_close_matches(asked.claims.get(field, ""), names, n=1)
    return list(dict.fromkeys([*close, *_likely(asked, field, names), *names]))


def remedy_by_caller(asked: Asked, field: str, value: str, places: Places) -> Change:
    """Say what the caller would send, with the value that is tried."""
    spec = asked.contract.fields.get(field)
    if spec is None:
        most = asked.contract.limits.baggage_bytes
        text = (
            f"send at most {most} bytes of readable W3C baggage"
            if field == BAGGAGE
            else "send one opaque trace id of at most 128 characters, without spaces"
        )
        return Change(by="caller", about=field, text=text, sends=value)
    one = "one value in " if field in asked.conflicting else ""
    values = values_to_send(asked, field, places)
    text = f"send {one}the header {spec.header}{_expected(spec, values)}"
    if spec.hash_from.headers:
        text += f"; or the raw value in {spec.hash_from.headers[0]}, which the gate hashes"
    others = _others_of_group(asked, field, places)
    if others:
        text += f"; or instead {' or '.join(others)}"
    return Change(by="caller", about=field, text=text, sends=value)


def remedy_by_registry(asked: Asked, code: str, field: str, places: Places) -> Change | None:
    """Say what the data would have to list, where that could be right at all."""
    match fault_of(asked, code, field):
        case "unlisted":
            return _registering(asked, field, places)
        case "outside":
            return _binding(asked, field, places)
    return None


def remedy_by_override(
    asked: Asked, violations: Sequence[Mapping[str, str]], places: Places
) -> Change | None:
    """Say which override would excuse the violations; only a registered service can have one."""
    if asked.service not in asked.registry.services:
        return None
    codes = sorted({violation["code"] for violation in violations})
    fields = sorted({violation["field"] for violation in violations})
    environment = asked.environment
    is_registered = environment in asked.registry.values["environment"]
    entry: dict[str, Any] = {
        "codes": codes,
        "fields": fields,
        "starts_at": asked.now,
        "expires_at": _FOREVER,
        "requested_by": "requester",
        "approved_by": "approver",
        "reason": "tried",
        "ticket": "tried",
    }
    if is_registered:
        entry["environments"] = [environment]
    words = ["tallygate override request", f"--service {asked.service}"]
    words += [f"--code {code}" for code in codes] + [f"--field {name}" for name in fields]
    words += [f"--environment {environment}"] if is_registered else []
    approver = next(iter(places.items("roles", "approvers", "overrides")), "ROLE")
    words += ["--expires 30d --by ROLE", f"--approver {approver}", "--reason WHY --ticket TICKET"]
    place = places.entry("overrides", (asked.service,)) if "overrides" in places.documents else None
    return Change(
        by="override",
        about="",
        text=f"an override of {asked.service} that excuses {', '.join(codes)}"
        f" on {', '.join(fields)}, until it expires",
        puts={("overrides", asked.service, _TRIED_OVERRIDE): entry},
        entry=place,
        command=" ".join(words),
    )


def _expected(spec: FieldSpec, values: Sequence[str]) -> str:
    if spec.kind is FieldKind.VOCABULARY:
        more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
        listed = ", ".join(values[:_SHOWN])
        return f": {listed}" if len(values) == 1 else f", one of {listed}{more}"
    if spec.pattern is not None:
        return f", matching {spec.pattern.pattern}"
    return ""


def _allowed(asked: Asked, field: str, places: Places) -> Sequence[str]:
    """List the registered values that the principal may claim."""
    known = asked.registry.values.get(field, ())
    match field:
        case "service":
            return [name for name in known if asked.may_speak_for(name)]
        case "owner_team":
            waiting = places.at("registry", "quarantine", "owner_team")
            binding = asked.binding
            own = {*known} if binding is None else {binding.team, *binding.may_charge}
            return [name for name in known if name in own and name != waiting]
        case "environment":
            return [name for name in known if name in asked.own_environments()]
    return known


def _likely(asked: Asked, field: str, names: Sequence[str]) -> list[str]:
    """Put what goes with the rest of the call before what merely exists."""
    services = asked.registry.services
    if field == "service":
        return [name for name in names if services[name].get("owner_team") == asked.owner_team]
    likely = [asked.registry.service_defaults.get(asked.service, {}).get(field)]
    if field == "owner_team":
        likely.append(services.get(asked.service, {}).get("owner_team"))
        likely.append(asked.binding.team if asked.binding else None)
    return [name for name in likely if name is not None and name in names]


def _has_ended(asked: Asked, field: str, name: str, places: Places) -> bool:
    retired_at = places.at("registry", *values_of(field), name, "retired_at")
    return retired_at is not None and str(retired_at) <= asked.now


def _others_of_group(asked: Asked, field: str, places: Places) -> list[str]:
    """List the headers that would do as well, where one of several fields is asked for."""
    for group in places.items("contract", "one_of"):
        fields = group.get("fields", []) if isinstance(group, dict) else []
        if fields[:1] == [field] and field not in asked.present:
            specs = [asked.contract.fields[name] for name in fields[1:]]
            return [spec.header for spec in specs]
    return []


def _registering(asked: Asked, field: str, places: Places) -> Change | None:
    value = asked.claims.get(field, "")
    if not _ID.fullmatch(value):
        return None
    path: Path = ("registry", *values_of(field), value)
    puts: dict[Path, Any] = {path: {}}
    match field:
        case "owner_team":
            center = {"from": "0001-01-01T00:00:00Z", "cost_center": "?", "business_unit": "?"}
            puts[path] = {"name": value, "cost_centers": [center]}
        case "service":
            team = asked.owner_team if asked.may_charge(asked.owner_team) else None
            if team is None and asked.binding is not None:
                team = asked.binding.team
            if team is None:
                return None
            puts[path] = {"owner_team": team}
    puts.update(_bound_too(asked, field, value))
    where = ".".join(str(step) for step in path[1:-1])
    beside = ", and let the principal claim it" if len(puts) > 1 else ""
    return Change(
        by="registry",
        about=field,
        text=f"add {value} to {where}{beside}",
        puts=puts,
        entry=places.entry("registry", values_of(field)),
    )


def _binding(asked: Asked, field: str, places: Places) -> Change | None:
    puts = _bound_too(asked, field, asked.claims.get(field, ""))
    if not puts:
        return None
    ((document, *path),) = ((str(step) for step in path) for path in puts)
    return Change(
        by="registry",
        about=field,
        text=f"let the principal claim {asked.claims[field]}: {'.'.join(path)}",
        puts=puts,
        entry=places.entry(document, tuple(path)),
    )


def _bound_too(asked: Asked, field: str, value: str) -> dict[Path, Any]:
    """Return what the principal's entry needs so that it may claim a value; nothing if it may."""
    binding = asked.binding
    if asked.principal is None or binding is None:
        is_open = field != "service" or bool(asked.contract.unbound_services & {"*", value})
        return {} if is_open else {("contract", "unbound", "services"): [value]}
    added: dict[str, list[str]] = {}
    if field == "owner_team" and not asked.may_charge(value):
        added = {"may_charge": [value]}
    elif field == "service" and binding.services and value not in binding.services:
        added = {"services": [value]}
    elif field == "service" and value in asked.registry.services and not asked.may_speak_for(value):
        added = {"may_charge": [asked.registry.services[value]["owner_team"]]}
    elif field == "environment" and binding.environments and value not in binding.environments:
        added = {"environments": [value]}
    return {("registry", *asked.principal, part): items for part, items in added.items()}
