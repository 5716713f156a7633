"""Explanations over policies that are not the shipped ones: odd entries, and none at all."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import verify_compiled
from tallygate.adapters.files.policies import read_cases, read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.files.strict_yaml import parse_yaml
from tallygate.application.asked import asked_from
from tallygate.application.explanation import Explanation, Rules, explain
from tallygate.application.mending import Way, ways_to_pass
from tallygate.application.policy_places import Places
from tallygate.application.remedies import remedy_by_registry

POLICIES = starter_policies()
CASES = {case.name: case.question for case in read_cases(POLICIES)}
TEXTS = {
    name: (POLICIES / name / "data.yaml").read_text()
    for name in ("contract", "registry", "overrides", "roles", "break_glass")
}
UNTOLD = Rules((), are_those_that_fired=False, told_by="nobody")
Edit = tuple[str, str, str]
"""Document, what stands there, what is put in its place."""


@dataclass(frozen=True, slots=True)
class World:
    engine: EmbeddedEngine
    places: Places
    data: Mapping[str, Any]

    def decide(self, question: Mapping[str, Any], data: Mapping[str, Any]) -> Mapping[str, Any]:
        self.engine.put_data(data)
        return self.engine.decide(question)

    def explain(self, question: Mapping[str, Any]) -> Explanation:
        return explain(question, self.decide(question, self.data), self.places, UNTOLD)

    def ways(self, question: Mapping[str, Any]) -> dict[str, Way]:
        found = ways_to_pass(question, self.data, self.places, self.decide)
        return {way.by: way for way in found}


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddedEngine]:
    policies = read_policies(POLICIES)
    wasm = verify_compiled(policies.rego, policies.wasm, policies.lock)
    opened = EmbeddedEngine(wasm, policies.data, policies.revision, deadline_s=10)
    yield opened
    opened.close()


@pytest.fixture
def world(engine: EmbeddedEngine) -> Callable[..., World]:
    def edited(*edits: Edit) -> World:
        texts = dict(TEXTS)
        for name, old, new in edits:
            assert old in texts[name], old
            texts[name] = texts[name].replace(old, new, 1)
        documents = {name: parse_yaml(text, f"{name}.yaml") for name, text in texts.items()}
        data = {name: document.value for name, document in documents.items()}
        return World(engine, Places(documents), data)

    return edited


def asked(case: str, **changes: Any) -> dict[str, Any]:
    question = copy.deepcopy(dict(CASES[case]))
    for part, value in changes.items():
        question[part] = {**question[part], **value} if isinstance(value, dict) else value
    return question


def entries_of(explanation: Explanation, code: str) -> list[tuple[str, str]]:
    parts = (*explanation.violations, *explanation.notices)
    return [(e.where, e.says) for part in parts if part.code == code for e in part.entries]


def changes_of(way: Way) -> list[str]:
    return [change.text for change in way.changes]


def test_a_required_field_that_nobody_described_is_traced_to_both_places(
    world: Callable[..., World],
) -> None:
    there = world(("contract", "prod: [workflow_id, feature]", "prod: [workflow_id, moon]"))
    question = asked("complete-call", malformed=[], shapes={"moon": "ok"})

    explanation = there.explain(question)

    assert entries_of(explanation, "ownership_unknown") == [
        ("required.environments.prod.1", ""),
        ("fields", "moon is not among them"),
    ]
    assert explanation.violations[0].sentence.endswith("the contract does not describe it.")
    assert set(there.ways(question)) == {"override"}


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        pytest.param(
            "approved_by: finops-lead",
            "approved_by: support-lead",
            "approved_by",
            "its requester approved it",
            id="its requester approved it",
        ),
        pytest.param(
            "codes: [ownership_missing]",
            "codes: [ownership_missing, ownership_conflict]",
            "codes.1",
            "is never waived",
            id="it names a conflict",
        ),
        pytest.param(
            "codes: [ownership_missing]",
            "codes: [ownership_lost]",
            "codes.0",
            "is no code that can be waived",
            id="it names no code",
        ),
    ],
)
def test_an_invalid_override_is_traced_to_its_fault(
    world: Callable[..., World], old: str, new: str, where: str, says: str
) -> None:
    explanation = world(("overrides", old, new)).explain(asked("override-active"))

    assert entries_of(explanation, "override_invalid") == [
        (f"support-assistant.ovr-2026-0007.{where}", says)
    ]


def test_a_service_without_a_mode_goes_by_the_contract(world: Callable[..., World]) -> None:
    there = world(
        (
            "registry",
            "    modes: {default: report_only, prod: enforce}\n    defaults: {feature",
            "    defaults: {feature",
        ),
    )

    mode = there.explain(asked("complete-call")).mode

    assert mode.code == "contract"
    assert [entry.where for entry in mode.entries] == ["modes.default"]


def test_a_principal_without_services_goes_by_the_contract(world: Callable[..., World]) -> None:
    there = world(
        (
            "registry",
            "litellm-team-search: {team: team-search}",
            "litellm-team-search: {team: team-quarantine}",
        )
    )

    mode = there.explain(asked("schedule-in-the-share")).mode

    assert mode.code == "contract"


def test_an_override_of_nobody_known_is_traced_to_nothing(world: Callable[..., World]) -> None:
    there = world()
    question = asked("override-active")
    decision = {
        **there.decide(question, there.data),
        "waived": [{"code": "ownership_missing", "field": "tenant_id_hash", "override": "bg-1"}],
    }

    explanation = explain(question, decision, there.places, UNTOLD)

    (part,) = explanation.waived
    assert [entry.where for entry in part.entries] == ["one_of.0.fields"]
    assert part.sentence.endswith("bg-1 excuses it.")


BREAK_GLASS = """\
bg-1:
  codes: [ownership_conflict]
  approved_by: platform-lead
  requested_by: support-lead
  expires_at: "2027-06-30T00:00:00Z"
"""


def test_what_break_glass_excuses_is_traced_to_its_entry(world: Callable[..., World]) -> None:
    there = world()
    documents = {**there.places.documents, "break_glass": parse_yaml(BREAK_GLASS, "bg.yaml")}
    question = asked("override-active")
    decision = {
        **there.decide(question, there.data),
        "waived": [{"code": "ownership_missing", "field": "tenant_id_hash", "override": "bg-1"}],
        "notices": [{"code": "override_invalid", "subject": "bg-1"}],
    }

    explanation = explain(question, decision, Places(documents), UNTOLD)

    assert [(e.file, e.line) for e in explanation.waived[0].entries[1:]] == [
        ("bg.yaml", 1),
        ("bg.yaml", 5),
    ]
    assert entries_of(explanation, "override_invalid") == [("bg-1.codes.0", "is never waived")]


def test_an_instant_that_is_not_where_it_is_looked_for_is_found_where_it_stands(
    world: Callable[..., World],
) -> None:
    there = world()
    question = asked("override-active")
    decision = {**there.decide(question, there.data), "valid_until": "2027-01-15T00:00:00Z"}

    explanation = explain(question, decision, there.places, UNTOLD)

    assert [entry.where for entry in explanation.validity.entries] == [
        "services.knowledge-search.schedule.1.from"
    ]


def test_the_end_of_an_activation_is_said_to_be_one(world: Callable[..., World]) -> None:
    there = world()
    until = "2026-11-21T12:00:00Z"
    question = asked("complete-call")
    question["activations"] = [{"id": "bg-1", "from": "2026-11-21T09:00:00Z", "until": until}, 7]
    decision = {**there.decide(question, there.data), "valid_until": until}

    validity = explain(question, decision, there.places, UNTOLD).validity

    assert validity.sentence == "An activation of break-glass begins or ends then."
    assert validity.entries == ()


@pytest.mark.parametrize(
    ("case", "where"),
    [
        pytest.param("break-glass-before-it-starts", "bg-support-outage", id="it begins"),
        pytest.param("break-glass-active", "bg-support-outage", id="it ends"),
    ],
)
def test_an_activation_is_traced_to_the_entry_that_allows_it(
    world: Callable[..., World], case: str, where: str
) -> None:
    there, question = world(), asked(case)

    explanation = explain(question, there.decide(question, there.data), there.places, UNTOLD)

    assert [entry.where for entry in explanation.validity.entries] == [where]


def test_the_expiry_of_an_activated_entry_is_traced_to_its_line(
    world: Callable[..., World],
) -> None:
    there, question = world(), asked("break-glass-active")
    expiry = "2027-06-30T00:00:00Z"
    decision = {**there.decide(question, there.data), "valid_until": expiry}

    explanation = explain(question, decision, there.places, UNTOLD)

    assert [entry.where for entry in explanation.validity.entries] == [
        "bg-support-outage.expires_at"
    ]


BY_SERVICE = (
    "contract",
    '  mode: report_only\n  services: ["*"]',
    "  mode: by_service\n  services: [batch-summaries]",
)


def test_an_unbound_principal_is_traced_to_what_it_may_name(world: Callable[..., World]) -> None:
    there = world(BY_SERVICE)
    question = asked("unbound")

    explanation, ways = there.explain(question), there.ways(question)

    assert entries_of(explanation, "ownership_conflict")[0] == (
        "unbound.services",
        "nothing binds the principal",
    )
    registry = ways["registry"].changes[0]
    assert registry.puts == {("contract", "unbound", "services"): ["support-assistant"]}


def test_an_unbound_principal_that_pays_for_nobody_registers_no_service(
    world: Callable[..., World],
) -> None:
    there = world(BY_SERVICE)
    question = asked("unbound", ownership={"service": "ghost", "owner_team": "nobody"})

    registry = there.ways(question)["registry"]

    assert [path for change in registry.changes for path in change.puts] == [
        ("registry", "teams", "nobody")
    ]


def test_a_service_of_a_team_that_may_not_be_billed_is_registered_for_its_own(
    world: Callable[..., World],
) -> None:
    question = asked("service-unknown", ownership={"owner_team": "nobody"})

    registry = world().ways(question)["registry"]

    assert {path: put for change in registry.changes for path, put in change.puts.items()} == {
        ("registry", "services", "support-asistant"): {"owner_team": "team-support"},
        ("registry", "teams", "nobody"): {
            "name": "nobody",
            "cost_centers": [
                {"from": "0001-01-01T00:00:00Z", "cost_center": "?", "business_unit": "?"}
            ],
        },
        ("registry", "principals", "teams", "litellm-team-support", "may_charge"): ["nobody"],
    }


def test_a_key_with_a_list_of_services_gets_the_claimed_one_added(
    world: Callable[..., World],
) -> None:
    question = asked("key-goes-before-team", ownership={"service": "support-assistant"})

    registry = world().ways(question)["registry"]

    ((path, added),) = registry.changes[0].puts.items()
    assert (path[-1], added) == ("services", ["support-assistant"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("baggage", "send at most 8192 bytes of readable W3C baggage"),
        ("trace_id", "send one opaque trace id of at most 128 characters, without spaces"),
    ],
)
def test_what_is_no_field_can_be_mended_by_the_caller(
    world: Callable[..., World], name: str, text: str
) -> None:
    ways = world().ways(asked("complete-call", malformed=[name]))

    assert changes_of(ways["caller"]) == [text]


def test_an_identifier_without_a_pattern_takes_anything(world: Callable[..., World]) -> None:
    there = world(
        (
            "contract",
            '    kind: identifier\n    pattern: "^([0-9a-f]{16}|(sp|span)_[0-9a-f]{4,64})$"',
            "    kind: identifier",
        ),
        ("contract", "prod: [workflow_id, feature]", "prod: [workflow_id, span_id]"),
    )

    assert changes_of(there.ways(asked("complete-call"))["caller"]) == [
        "send the header x-tallygate-span-id"
    ]


def test_a_pattern_without_a_sample_has_no_way_by_the_caller(world: Callable[..., World]) -> None:
    there = world(("contract", '"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$"', '"^[é]$"'))

    assert set(there.ways(asked("field-missing"))) == {"override"}


def test_another_service_brings_its_own_defaults(world: Callable[..., World]) -> None:
    question = asked("service-unknown", sources={"feature": "default"})

    (change,) = world().ways(question)["caller"].changes

    assert change.sends == "support-assistant"


def test_more_changes_than_can_be_tried_in_every_order_are_proposed_together(
    world: Callable[..., World],
) -> None:
    identifiers = ["tenant_id_hash", "user_id_hash", "initiator", "parent_call_id", "span_id"]
    question = asked("nothing-said", shapes=dict.fromkeys(identifiers, "malformed"))

    way = world().ways(question)["caller"]

    assert len(way.changes) == 8
    assert way.then["would_action"] == "admit"


def test_an_override_that_is_asked_for_needs_a_registered_service(
    world: Callable[..., World],
) -> None:
    question = asked("service-unknown", ownership={"workflow_id": "Jane Doe"})

    assert "override" not in world().ways(question)


def test_the_strictest_mode_may_come_from_the_contract(world: Callable[..., World]) -> None:
    lenient = "    modes: {default: report_only, prod: enforce}\n    defaults: {feature"
    there = world(("registry", lenient, "    defaults: {feature"))

    mode = there.explain(asked("service-unknown")).mode

    assert mode.code == "strictest"
    assert [entry.where for entry in mode.entries] == [
        "modes.default",
        "services.batch-summaries.modes.default",
    ]


def test_a_contract_that_asks_for_nothing_is_named(world: Callable[..., World]) -> None:
    there = world(("contract", "default: [owner_team, service, environment]", "default: []"))
    question = asked("complete-call")

    explanation = there.explain(question)

    assert entries_of(explanation, "policy_unreadable") == [("required.default", "")]
    assert explanation.mode.entries == ()
    assert there.ways(question) == {}


def test_an_unbound_principal_with_one_mode_goes_by_no_service(
    world: Callable[..., World],
) -> None:
    question = asked("unbound", ownership={"service": "ghost", "owner_team": "team-finance"})

    explanation = world().explain(question)

    assert [entry.where for entry in explanation.mode.entries] == ["unbound.mode"]
    assert [entry.where for entry in explanation.validity.entries] == [
        "teams.team-finance.cost_centers.1.from"
    ]


def test_a_conflict_in_a_field_that_no_binding_has_is_not_made_up(
    world: Callable[..., World],
) -> None:
    there = world()
    question = asked("complete-call")
    decision = {
        **there.decide(question, there.data),
        "violations": [{"code": "ownership_conflict", "field": "workflow_id"}],
        "ownership": {"owner_team": "team-search"},
    }
    nobody = {**question, "principal": {"team": "", "key": ""}}

    explanation = explain(nobody, decision, there.places, UNTOLD)

    assert entries_of(explanation, "ownership_conflict") == [
        ("unbound.services", "nothing binds the principal")
    ]
    assert [entry.where for entry in explanation.payer.entries] == [
        "teams.team-search.cost_centers.1.cost_center"
    ]
    asked_now = asked_from(question, there.places)
    assert remedy_by_registry(asked_now, "ownership_conflict", "workflow_id", there.places) is None
