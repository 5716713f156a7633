"""Questions as the gate asks them, and as nobody should: wrong types, odd text, boundaries."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

ODD_TEXTS: Final = (
    "",
    " ",
    "*",
    "*.rego",
    "null",
    "True",
    "team-support ",
    "TEAM-SUPPORT",
    "team-support\u0000",
    "team-support\n",
    "\\u0022}, {",
    '"],"admit":true,"x":["',
    "data.registry",
    "${now}",
    "%s%n",
    "é",
    "e\u0301",
    "\u202esupport",
    "\u2028",
    "\U0001f4b8",
    "\ufeffprod",
    "ﬀ",
    "\x7f\x1b[31m",
    "a" * 128,
    "b" * 20_000,
)
ODD_VALUES: Final = (
    None,
    True,
    False,
    0,
    -1,
    99,
    100,
    0.5,
    1e300,
    2**53 + 1,
    [],
    [[]],
    ["team-support"],
    {},
    {"team-support": {}},
    {"": ""},
)


def good_questions(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """For each bound principal and each service that it may name: a call as it should be."""
    registry, fields = data["registry"], data["contract"]["fields"]
    for kind, place in (("teams", "team"), ("keys", "key")):
        for principal, binding in registry["principals"].get(kind, {}).items():
            services = binding.get("services") or list(registry["services"])
            for service in services:
                yield {
                    "call": {
                        "route": "/v1/chat/completions",
                        "call_type": "acompletion",
                        "model_group": "standard",
                        "stream": False,
                    },
                    "ownership": {
                        "owner_team": binding["team"],
                        "service": service,
                        "environment": binding.get("environments", ["prod"])[0],
                        "feature": next(iter(registry["features"])),
                        "workflow_id": "nightly-digest",
                    },
                    "sources": {"owner_team": "header", "service": "header"},
                    "shapes": {
                        name: "ok"
                        for name, field in fields.items()
                        if field["kind"] == "identifier"
                    },
                    "conflicts": [],
                    "malformed": [],
                    "principal": {"team": "", "key": "", place: principal},
                    "bucket": 17,
                    "call_bucket": 57,
                    "now": "2026-11-21T10:00:00Z",
                }


def generated_questions(
    data: Mapping[str, Any], count: int, seed: int
) -> Iterator[Mapping[str, Any]]:
    """Good questions with one to four things changed; the same ones for the same seed."""
    dice = random.Random(seed)
    good = list(good_questions(data))
    known = _texts_of(data)
    instants = [text for text in known if len(text) == 20 and text.endswith("Z")]
    for _ in range(count):
        question = copy.deepcopy(dice.choice(good))
        for _ in range(dice.randint(1, 4)):
            _change(question, dice, known, instants)
        if dice.random() < 0.2:
            question["activations"] = _activations(dice, known, instants)
        yield question


def _change(
    question: dict[str, Any], dice: random.Random, known: list[str], instants: list[str]
) -> None:
    fields = ["owner_team", "service", "environment", "feature", "workflow_id", "tenant_id_hash"]
    match dice.randrange(9):
        case 0 | 1:
            _put(question, "ownership", dice.choice(fields), dice.choice(known))
        case 2:
            _put(question, "ownership", dice.choice(fields), _odd(dice))
        case 3:
            part = question.get("ownership")
            if isinstance(part, dict):
                part.pop(dice.choice(fields), None)
        case 4:
            shape = dice.choice(["absent", "ok", "malformed", "ok ", 7, None])
            _put(question, "shapes", dice.choice(["tenant_id_hash", "user_id_hash"]), shape)
        case 5:
            question[dice.choice(["conflicts", "malformed"])] = dice.choice(
                [[dice.choice(fields)], fields, [None, 7, []], {"owner_team": True}, "owner_team"]
            )
        case 6:
            question["now"] = _near(dice, instants) if dice.random() < 0.8 else _odd(dice)
            question["bucket"] = dice.choice([0, 24, 25, 99, *ODD_VALUES])
            question["call_bucket"] = dice.choice([0, 9, 10, 49, 50, 99, *ODD_VALUES])
        case 7:
            name = dice.choice(["team", "key", "org"])
            _put(question, "principal", name, dice.choice([*known, "", _odd(dice)]))
        case _:
            name = dice.choice([*question, "call"])
            if dice.random() < 0.5:
                question.pop(name, None)
            else:
                question[name] = _odd(dice)


def _activations(dice: random.Random, known: list[str], instants: list[str]) -> object:
    """Activations of what the data names, mostly of break-glass entries, or something odd."""
    if dice.random() < 0.2:
        return dice.choice([_odd(dice), [_odd(dice)], {"bg": _odd(dice)}])
    entries = [text for text in known if text.startswith("bg-")]
    return [
        {
            "id": dice.choice([*entries, *entries, dice.choice(known), _odd(dice)]),
            "from": dice.choice([instants[0], _near(dice, instants), _odd(dice)]),
            "until": dice.choice(["2027-06-30T00:00:01Z", _near(dice, instants), _odd(dice)]),
        }
        for _ in range(dice.randint(1, 2))
    ]


def _put(question: dict[str, Any], part: str, name: str, value: object) -> None:
    if isinstance(question.get(part), dict):
        question[part][name] = value


def _odd(dice: random.Random) -> object:
    return dice.choice(ODD_TEXTS) if dice.random() < 0.5 else copy.deepcopy(dice.choice(ODD_VALUES))


def _near(dice: random.Random, instants: list[str]) -> str:
    """Pick an instant of the data itself, or one a second or a year beside it."""
    at = dice.choice(instants)
    changed = dice.choice([at, at.replace("00:00:00", "00:00:01"), at.replace("2026", "2025")])
    return dice.choice([changed, "2026-11-21T10:00:00Z", "9999-12-31T23:59:59Z"])


def _texts_of(data: object) -> list[str]:
    found: set[str] = set()
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            found.update(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            found.add(value)
    return sorted(found)
