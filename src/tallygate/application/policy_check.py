"""
What a reviewer of policy data looks for: names that exist, dates in order, people who may.

Shapes  The JSON Schemas have been passed already; these are the rules that a schema cannot say.
Errors  Problems, all of them: an `error` where the policy would not do what the file says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tallygate.application.break_glass_check import review_break_glass
from tallygate.application.canary_check import review_canaries
from tallygate.application.override_check import review_overrides
from tallygate.application.policy_review import (
    MODES,
    Path,
    Review,
    Source,
    list_of,
    mapping_of,
    offer,
)
from tallygate.application.registry_lives import (
    review_lives,
    review_owner,
    review_reach_of_principal,
    review_schedule,
)
from tallygate.domain.policy.patterns import fault_of_pattern
from tallygate.errors import Problem

UNLISTED_GROUP: Final = "other"
UNBOUND_MODES: Final = (*MODES, "by_service")
FIELD_KINDS: Final = ("vocabulary", "pattern", "identifier")
# Under 20 characters each, so that no pattern takes long over them.
_PERSONAL: Final = ("jane@example.com", "Jane Doe")
CREDENTIALS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "x-litellm-api-key",
        "ocp-apim-subscription-key",
    }
)
"""Headers in which clients send keys to LiteLLM and to providers."""
REGISTERS: Final = {
    "owner_team": "teams",
    "service": "services",
    "environment": "environments",
    "feature": "features",
}
"""Which part of the registry lists a field's values; any other field looks under `values`."""


def check_policies(documents: Mapping[str, Source], now: str) -> tuple[Problem, ...]:
    """Judge the documents of a policies folder together, as of `now`."""
    review = Review(documents, now)
    _contract(review)
    _registry(review)
    review_canaries(review)
    review_overrides(review)
    review_break_glass(review)
    return tuple(review.problems)


def check_patterns(contract: Source) -> tuple[Problem, ...]:
    """Find the fields whose pattern the host or an engine could not use."""
    review = Review({"contract": contract}, "")
    for name, entry in review.entries("contract", "fields"):
        _pattern(review, name, entry)
    return tuple(review.problems)


def _contract(review: Review) -> None:
    fields = mapping_of(review.at("contract", "fields"))
    registers = {*mapping_of(review.at("registry", "values"))}
    for name, entry in review.entries("contract", "fields"):
        kind = entry.get("kind")
        if kind not in FIELD_KINDS:
            path = ("fields", name, "kind")
            review.say(
                "contract",
                path,
                "unknown_kind",
                f"{kind} is not a kind of field.",
                offer(kind, FIELD_KINDS),
            )
        if kind == "vocabulary" and name not in REGISTERS and name not in registers:
            review.say(
                "contract",
                ("fields", name),
                "no_vocabulary",
                f"the registry lists no values for {name}.",
                f"Add registry `values: {{{name}: {{...}}}}`, or make it a pattern.",
            )
        _pattern(review, name, entry)
    _alias_clashes(review)
    _requirements(review, fields)
    review.mode("contract", ("modes", "default"), review.at("contract", "modes", "default"))
    review.mode(
        "contract", ("unbound", "mode"), review.at("contract", "unbound", "mode"), UNBOUND_MODES
    )
    for index, service in enumerate(list_of(review.at("contract", "unbound", "services"))):
        if service != "*":
            review.registered(
                "contract", ("unbound", "services", index), service, "services", "service"
            )
    for index, service in enumerate(list_of(review.at("contract", "fail_open"))):
        review.registered("contract", ("fail_open", index), service, "services", "service")


def _pattern(review: Review, name: str, entry: Mapping[str, Any]) -> None:
    if entry.get("kind") not in ("pattern", "identifier"):
        return
    path = ("fields", name, "pattern")
    pattern = entry.get("pattern")
    if not isinstance(pattern, str):
        review.say(
            "contract", path, "bad_pattern", f"{name} needs a pattern.", 'Add pattern: "^...$".'
        )
        return
    fault = fault_of_pattern(pattern)
    if fault:
        review.say(
            "contract",
            path,
            "bad_pattern",
            f"the pattern {fault}.",
            "Expected what RE2 and Python read alike.",
        )
    elif not (pattern.startswith("^") and pattern.endswith("$")):
        review.say(
            "contract",
            path,
            "open_pattern",
            "the pattern matches a part of a value, so any text around it passes.",
            "Put ^ before and $ after it.",
            "warning",
        )
    else:
        admitted = next((text for text in _PERSONAL if re.search(pattern, text)), None)
        if admitted:
            review.say(
                "contract",
                path,
                "pattern_admits_person",
                f"the pattern lets {admitted!r} through, as it would a real person's.",
                "Expect a slug or a keyed hash: no @, no space, no capital.",
            )


def _alias_clashes(review: Review) -> None:
    """One header or key may stand for one field only."""
    taken: dict[tuple[str, str], str] = {}
    for name, entry in review.entries("contract", "fields"):
        for path, carrier, alias in _aliases(name, entry):
            if carrier == "headers" and alias in CREDENTIALS:
                review.say(
                    "contract",
                    path,
                    "credential_header",
                    f"{alias} carries a credential, and an ownership field stands on every event.",
                    "Let the field arrive under a header of its own.",
                )
            other = taken.setdefault((carrier, alias), name)
            if other != name:
                review.say(
                    "contract",
                    path,
                    "alias_taken",
                    f"{alias} already stands for the field {other}.",
                    "Give each field its own name on the way in.",
                )


def _requirements(review: Review, fields: Mapping[str, Any]) -> None:
    lists: list[tuple[Path, object]] = [
        (("required", "default"), review.at("contract", "required", "default"))
    ]
    for part, what in (("environments", "environment"), ("services", "service")):
        for name, wanted in mapping_of(review.at("contract", "required", part)).items():
            review.registered("contract", ("required", part, name), name, part, what)
            lists.append((("required", part, name), wanted))
    for index, group in enumerate(list_of(review.at("contract", "one_of"))):
        path: Path = ("one_of", index)
        lists.append(((*path, "fields"), mapping_of(group).get("fields")))
        review.names_in("contract", path, mapping_of(group), ("environments", "services"))
    for where, wanted in lists:
        for index, name in enumerate(list_of(wanted)):
            review.known("contract", (*where, index), name, fields, "field")
    if not list_of(review.at("contract", "required", "default")):
        review.say(
            "contract",
            ("required", "default"),
            "nothing_required",
            "no field is required, and a call that proves nothing is not admitted.",
            "Require at least owner_team.",
        )


def _registry(review: Review) -> None:
    for team, entry in review.entries("registry", "teams"):
        review.ascending(
            "registry",
            ("teams", team, "cost_centers"),
            entry.get("cost_centers"),
            strictly=True,
        )
    review_lives(review, REGISTERS.values())
    for service, entry in review.entries("registry", "services"):
        _service(review, service, entry)
    for kind in ("teams", "keys"):
        for name, entry in review.entries("registry", "principals", kind):
            path: Path = ("principals", kind, name)
            review.registered("registry", (*path, "team"), entry.get("team"), "teams", "team")
            for index, team in enumerate(list_of(entry.get("may_charge"))):
                review.registered("registry", (*path, "may_charge", index), team, "teams", "team")
            review.names_in("registry", path, entry, ("services", "environments"))
            review_reach_of_principal(review, path, entry)
    _model_groups(review)
    for name, value in mapping_of(review.at("registry", "own_calls")).items():
        _value_of_field(review, ("own_calls", name), name, value)


def _service(review: Review, service: str, entry: Mapping[str, Any]) -> None:
    path: Path = ("services", service)
    environments = mapping_of(review.at("registry", "environments"))
    review_owner(review, path, entry)
    for environment, mode in mapping_of(entry.get("modes")).items():
        if environment != "default":
            review.known(
                "registry",
                (*path, "modes", environment),
                environment,
                environments,
                "environment",
            )
        review.mode("registry", (*path, "modes", environment), mode)
    review.ascending("registry", (*path, "schedule"), entry.get("schedule"), strictly=False)
    for index, step in enumerate(list_of(entry.get("schedule"))):
        where: Path = (*path, "schedule", index)
        review.mode("registry", (*where, "mode"), mapping_of(step).get("mode"))
        if "environment" in mapping_of(step):
            name = mapping_of(step)["environment"]
            review.known("registry", (*where, "environment"), name, environments, "environment")
    review_schedule(review, path, entry)
    for name, value in mapping_of(entry.get("defaults")).items():
        _value_of_field(review, (*path, "defaults", name), name, value)
    if entry.get("on_violation") == "quarantine" and not review.at(
        "registry", "quarantine", "owner_team"
    ):
        review.say(
            "registry",
            (*path, "on_violation"),
            "no_quarantine_owner",
            "nobody owns the quarantine, so nothing can be quarantined.",
            "Add registry `quarantine: {owner_team: ...}`.",
        )


def _value_of_field(review: Review, path: Path, name: str, value: object) -> None:
    """Judge a value that the registry gives to a field."""
    fields = mapping_of(review.at("contract", "fields"))
    if not review.known("registry", path, name, fields, "field"):
        return
    field = mapping_of(fields[name])
    if field.get("kind") == "vocabulary":
        part = REGISTERS.get(name)
        if part:
            review.registered("registry", path, value, part, name)
        else:
            review.known(
                "registry", path, value, mapping_of(review.at("registry", "values", name)), name
            )
        _ends(review, path, name, value)
        return
    pattern = field.get("pattern")
    is_usable = isinstance(pattern, str) and not fault_of_pattern(pattern)
    if is_usable and isinstance(value, str) and not re.search(str(pattern), value):
        review.say(
            "registry",
            path,
            "value_malformed",
            f"{value} does not match the pattern of {name}: {pattern}.",
            "Every call that gets this value would be ownership_malformed.",
        )


def _ends(review: Review, path: Path, name: str, value: object) -> None:
    """Warn of a value that is good today and ends at a date that the registry has already."""
    part = (REGISTERS[name],) if name in REGISTERS else ("values", name)
    ends = mapping_of(review.at("registry", *part, str(value))).get("retired_at")
    if isinstance(ends, str) and ends > review.now:
        review.say(
            "registry",
            path,
            "retired_reference",
            f"the {name} {value} will be retired at {ends}; from then on its calls are refused.",
            "Name one that stays.",
            "warning",
        )


def _model_groups(review: Review) -> None:
    groups = mapping_of(review.at("registry", "model_groups"))
    count = Counter(str(model) for models in groups.values() for model in list_of(models))
    for group, models in groups.items():
        for index, model in enumerate(list_of(models)):
            if count[str(model)] > 1:
                review.say(
                    "registry",
                    ("model_groups", group, index),
                    "model_in_two_groups",
                    f"the model {model} stands in more than one place.",
                    "Keep it in one group.",
                )
    owner = review.at("registry", "quarantine", "owner_team")
    if owner is not None:
        review.registered("registry", ("quarantine", "owner_team"), owner, "teams", "team")
    for index, group in enumerate(list_of(review.at("registry", "quarantine", "model_groups"))):
        review.known(
            "registry",
            ("quarantine", "model_groups", index),
            group,
            {*groups, UNLISTED_GROUP},
            "model group",
        )
    if UNLISTED_GROUP in groups:
        review.say(
            "registry",
            ("model_groups", UNLISTED_GROUP),
            "reserved_name",
            f"{UNLISTED_GROUP} is the group of every model that is in none.",
            "Give the group another name.",
        )


def _aliases(name: str, entry: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    path: Path = ("fields", name)
    yield path, "headers", f"x-tallygate-{name.replace('_', '-')}"
    yield path, "baggage", name
    yield path, "metadata", name
    for holder, where in (
        (entry, path),
        (mapping_of(entry.get("hash_from")), (*path, "hash_from")),
    ):
        for carrier in ("headers", "baggage", "metadata"):
            for index, alias in enumerate(list_of(holder.get(carrier))):
                text = str(alias).lower() if carrier == "headers" else str(alias)
                yield (*where, carrier, index), carrier, text
