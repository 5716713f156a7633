from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fakes.contracts import CONTRACT, REGISTRY, a_contract, a_registry
from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.opa import verify_compiled
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.domain.attribution.contract import Principal, contract_from_data, registry_from_data
from tallygate.domain.attribution.ownership import Ownership, Source
from tallygate.domain.attribution.propagation import Trace
from tallygate.domain.kernel.instants import NS_PER_SECOND, ns_from_text
from tallygate.domain.policy.blind import decide_blind
from tallygate.domain.policy.decision import Action, Decision, Mode
from tallygate.domain.policy.question import CallShape, question_about, with_call_bucket

NOW: Final = "2026-11-21T10:00:00Z"
EARLIER: Final = "2026-10-01T00:00:00Z"
LONG_AGO: Final = "2026-01-01T00:00:00Z"
LATER: Final = "2026-12-01T00:00:00Z"
BOUND: Final = Principal(team="llm-support")
UNBOUND: Final = Principal(team="llm-unheard-of")
SHARED: Final = Principal(key_hash="key-platform")


def claiming(**values: str) -> Ownership:
    return Ownership(values, dict.fromkeys(values, Source.HEADER), (), ())


def decided(
    ownership: Ownership,
    principal: Principal = BOUND,
    contract: dict[str, Any] | None = None,
    registry: dict[str, Any] | None = None,
    now: str = NOW,
    call_bucket: int | None = None,
) -> Decision:
    known = a_registry(**registry or {})
    return decide_blind(
        ownership,
        known.binding_of(principal),
        a_contract(**contract or {}),
        known,
        ns_from_text(now),
        call_bucket,
    )


PROD = claiming(service="support-assistant", environment="prod", owner_team="team-support")
STAGING = claiming(service="support-assistant", environment="staging", owner_team="team-support")


def test_an_enforcing_service_is_refused_and_a_report_only_one_passes() -> None:
    refused, passed = decided(PROD), decided(STAGING)

    assert (refused.action, refused.would_action) == (Action.REJECT, Action.REJECT)
    assert (passed.action, passed.would_action) == (Action.ADMIT, Action.ADMIT)
    assert refused.mode_source == passed.mode_source == "blind"
    assert refused.violations == ()


def test_a_service_that_fails_open_by_contract_passes_and_says_what_enforce_would_do() -> None:
    decision = decided(PROD, contract={"fail_open": ["support-assistant"]})

    assert decision.action is Action.ADMIT
    assert decision.would_action is Action.REJECT
    assert decision.mode is Mode.ENFORCE


def test_nobody_passes_by_naming_somebody_elses_service_that_fails_open() -> None:
    claimed = claiming(service="search-api", environment="prod", owner_team="team-support")

    assert decided(claimed, contract={"fail_open": ["search-api"]}).action is Action.REJECT


@pytest.mark.parametrize(
    ("principal", "claimed", "payer"),
    [
        pytest.param(BOUND, "team-support", "team-support", id="the bound team"),
        pytest.param(BOUND, "team-search", None, id="another team"),
        pytest.param(SHARED, "team-support", "team-support", id="one that a shared key may charge"),
        pytest.param(SHARED, "team-platform", "team-platform", id="a shared key's own team"),
        pytest.param(SHARED, "team-search", None, id="one that it may not charge"),
        pytest.param(UNBOUND, "team-search", "team-search", id="an unproven claim"),
        pytest.param(UNBOUND, "team-unheard-of", None, id="a team that does not exist"),
        pytest.param(BOUND, None, None, id="no claim"),
    ],
)
def test_the_payer_is_the_claimed_team_where_the_principal_may_charge_it(
    principal: Principal, claimed: str | None, payer: str | None
) -> None:
    claims = {"owner_team": claimed} if claimed else {}

    decision = decided(claiming(**claims), principal)

    assert decision.ownership.get("owner_team") == payer


@pytest.mark.parametrize(
    ("ownership", "principal", "mode"),
    [
        pytest.param(claiming(), BOUND, Mode.ENFORCE, id="nothing said"),
        pytest.param(
            claiming(service="support-digest", environment="prod"),
            BOUND,
            Mode.REPORT_ONLY,
            id="its own lenient service",
        ),
        pytest.param(
            claiming(service="search-api", environment="staging"),
            BOUND,
            Mode.REPORT_ONLY,
            id="another's service where all of its own are lenient",
        ),
        pytest.param(
            claiming(service="search-api", environment="prod"),
            BOUND,
            Mode.ENFORCE,
            id="another's service where one of its own enforces",
        ),
        pytest.param(
            claiming(service="support-assistant", environment="moon"),
            BOUND,
            Mode.ENFORCE,
            id="an environment that does not exist",
        ),
        pytest.param(
            claiming(service="search-api", environment="staging"),
            Principal(team="llm-search"),
            Mode.REPORT_ONLY,
            id="an environment that is not its own, where its only service is lenient",
        ),
        pytest.param(
            claiming(service="support-digest", environment="prod", owner_team="team-search"),
            BOUND,
            Mode.ENFORCE,
            id="its own lenient service for another team",
        ),
        pytest.param(
            claiming(service="support-digest", environment="prod"),
            Principal(team="llm-open"),
            Mode.REPORT_ONLY,
            id="a service of the bound team, where the binding lists none",
        ),
        pytest.param(
            claiming(service="support-assistant", environment="prod"),
            SHARED,
            Mode.ENFORCE,
            id="a service of a team that a shared key may charge",
        ),
        pytest.param(
            claiming(service="support-assistant", environment="prod"),
            UNBOUND,
            Mode.REPORT_ONLY,
            id="nobody's principal is under the contract's own mode",
        ),
    ],
)
def test_nobody_reaches_a_lenient_mode_by_naming_what_is_not_theirs(
    ownership: Ownership, principal: Principal, mode: Mode
) -> None:
    assert decided(ownership, principal).mode is mode


@pytest.mark.parametrize(
    ("unbound", "ownership", "mode"),
    [
        pytest.param({"mode": "enforce"}, STAGING, Mode.ENFORCE, id="enforce"),
        pytest.param({"mode": "strict?"}, STAGING, Mode.ENFORCE, id="a mode nobody can read"),
        pytest.param({"mode": "by_service"}, STAGING, Mode.REPORT_ONLY, id="the service's own"),
        pytest.param({"mode": "by_service"}, PROD, Mode.ENFORCE, id="the service's own, prod"),
        pytest.param({"mode": "by_service"}, claiming(), Mode.ENFORCE, id="the strictest of all"),
        pytest.param(
            {"mode": "by_service", "services": ["support-assistant"]},
            claiming(service="support-digest", environment="prod"),
            Mode.ENFORCE,
            id="a lenient service that nobody unbound may name",
        ),
    ],
)
def test_an_unbound_principal_is_under_the_mode_that_the_contract_says(
    unbound: dict[str, Any], ownership: Ownership, mode: Mode
) -> None:
    assert decided(ownership, UNBOUND, contract={"unbound": unbound}).mode is mode


@pytest.mark.parametrize(
    ("schedule", "mode"),
    [
        pytest.param([{"from": NOW, "mode": "report_only"}], Mode.REPORT_ONLY, id="starts now"),
        pytest.param([{"from": LATER, "mode": "report_only"}], Mode.ENFORCE, id="not yet started"),
        pytest.param(
            [{"from": EARLIER, "mode": "report_only", "environment": "staging"}],
            Mode.ENFORCE,
            id="another environment's",
        ),
        pytest.param(
            [{"from": EARLIER, "mode": "report_only", "environment": "prod"}],
            Mode.REPORT_ONLY,
            id="this environment's",
        ),
        pytest.param(
            [{"from": LONG_AGO, "mode": "enforce"}, {"from": EARLIER, "mode": "report_only"}],
            Mode.REPORT_ONLY,
            id="the newest counts",
        ),
        pytest.param(
            [{"from": EARLIER, "mode": "report_only"}, {"from": EARLIER, "mode": "enforce"}],
            Mode.ENFORCE,
            id="of two with one date the strict one",
        ),
        pytest.param(
            [{"from": EARLIER, "mode": "report_only", "percent": 25}],
            Mode.ENFORCE,
            id="outside a lenient share the fixed mode holds",
        ),
        pytest.param(
            [
                {"from": LONG_AGO, "mode": "report_only"},
                {"from": EARLIER, "mode": "report_only", "percent": 25},
            ],
            Mode.REPORT_ONLY,
            id="lenient inside a share and outside",
        ),
        pytest.param(
            [
                {"from": LONG_AGO, "mode": "enforce"},
                {"from": EARLIER, "mode": "report_only", "percent": 25},
            ],
            Mode.ENFORCE,
            id="outside a lenient share an older strict step holds",
        ),
        pytest.param(
            [
                {"from": LONG_AGO, "mode": "enforce", "percent": 25},
                {"from": EARLIER, "mode": "report_only", "percent": 25},
                {"from": LONG_AGO, "mode": "report_only"},
            ],
            Mode.REPORT_ONLY,
            id="a strict share that a newer lenient one covers",
        ),
        pytest.param([{"from": EARLIER, "mode": "sometimes"}], Mode.ENFORCE, id="unreadable"),
    ],
)
def test_a_dated_step_that_has_started_goes_before_the_fixed_modes(
    schedule: list[dict[str, Any]], mode: Mode
) -> None:
    services = {"support-assistant": {"modes": {"prod": "enforce"}, "schedule": schedule}}

    assert decided(PROD, registry={"services": services}).mode is mode


@pytest.mark.parametrize("strict_share", [1, 99])
def test_a_strict_share_is_strict_for_all_while_nobody_can_ask(strict_share: int) -> None:
    step = {"from": EARLIER, "mode": "enforce", "percent": strict_share}
    services = {"support-assistant": {"modes": {"prod": "report_only"}, "schedule": [step]}}

    assert decided(PROD, registry={"services": services}).mode is Mode.ENFORCE


@pytest.mark.parametrize(
    ("default", "mode"),
    [
        pytest.param("report_only", Mode.REPORT_ONLY, id="report_only"),
        pytest.param("enforce", Mode.ENFORCE, id="enforce"),
        pytest.param("", Mode.ENFORCE, id="unreadable"),
    ],
)
def test_where_no_service_is_known_the_contracts_default_holds(default: str, mode: Mode) -> None:
    principal = Principal(team="llm-support")

    decision = decided(
        PROD, principal, contract={"modes": {"default": default}}, registry={"services": {}}
    )

    assert decision.mode is mode


CANARY: Final = {"modes": {"prod": "enforce"}, "canary": {"default": 30, "prod": 10}}


@pytest.mark.parametrize(
    ("service", "call_bucket", "mode"),
    [
        pytest.param(CANARY, None, Mode.ENFORCE, id="a call without a bucket"),
        pytest.param(CANARY, 9, Mode.ENFORCE, id="in the share"),
        pytest.param(CANARY, 10, Mode.REPORT_ONLY, id="out of it"),
        pytest.param({**CANARY, "canary": {"default": 30}}, 29, Mode.ENFORCE, id="in the default"),
        pytest.param(
            {**CANARY, "canary": {"default": 30}}, 30, Mode.REPORT_ONLY, id="out of the default"
        ),
        pytest.param({**CANARY, "canary": {"staging": 0}}, 99, Mode.ENFORCE, id="elsewhere"),
        pytest.param({**CANARY, "modes": {"prod": "off"}}, 99, Mode.ENFORCE, id="unreadable"),
        pytest.param(
            {**CANARY, "schedule": [{"from": EARLIER, "mode": "enforce"}]},
            99,
            Mode.ENFORCE,
            id="a step without a canary",
        ),
        pytest.param(
            {**CANARY, "schedule": [{"from": EARLIER, "mode": "enforce", "canary": 50}]},
            49,
            Mode.ENFORCE,
            id="in the step's share",
        ),
        pytest.param(
            {**CANARY, "schedule": [{"from": EARLIER, "mode": "enforce", "canary": 50}]},
            50,
            Mode.REPORT_ONLY,
            id="out of the step's share",
        ),
    ],
)
def test_a_canary_is_kept_while_nobody_can_ask(
    service: dict[str, Any], call_bucket: int | None, mode: Mode
) -> None:
    services = {"support-assistant": service}

    assert decided(PROD, registry={"services": services}, call_bucket=call_bucket).mode is mode


STEPPED: Final = {
    **REGISTRY["services"],
    "stepped": {
        "owner_team": "team-support",
        "modes": {"staging": "enforce", "default": "report_only"},
        "schedule": [
            {"from": LONG_AGO, "mode": "enforce", "percent": 40},
            {"from": EARLIER, "mode": "report_only", "percent": 60, "environment": "prod"},
            {"from": NOW, "mode": "report_only", "environment": "staging"},
            {"from": LATER, "mode": "enforce", "percent": 10},
            {"from": LATER, "mode": "report_only", "percent": 90},
        ],
    },
    "shared": {
        "owner_team": "team-support",
        "modes": {"default": "enforce"},
        "canary": {"default": 30, "prod": 10},
        "schedule": [
            {"from": EARLIER, "mode": "enforce", "percent": 40, "canary": 50},
            {"from": NOW, "mode": "enforce", "percent": 70, "canary": 20},
            {"from": NOW, "mode": "enforce", "percent": 20, "canary": 60},
            {"from": LATER, "mode": "report_only", "percent": 10},
        ],
    },
}
CONTRACTS: Final = [
    {**CONTRACT, "unbound": unbound, "modes": {"default": default}}
    for default, unbound in [
        ("report_only", {"mode": "report_only", "services": ["*"]}),
        ("enforce", {"mode": "by_service", "services": ["support-digest", "search-api"]}),
        ("report_only", {"mode": "by_service", "services": ["*"]}),
    ]
]
REGISTERED: Final = {
    **REGISTRY,
    "services": STEPPED,
    "principals": {
        "teams": {
            **REGISTRY["principals"]["teams"],
            "llm-stepped": {"team": "team-support", "services": ["stepped", "support-digest"]},
            "llm-shared": {"team": "team-support", "services": ["shared", "support-digest"]},
        },
        "keys": REGISTRY["principals"]["keys"],
    },
}


@pytest.fixture(scope="module")
def engines() -> list[EmbeddedEngine]:
    policies = read_policies(starter_policies())
    wasm = verify_compiled(policies.rego, policies.wasm, policies.lock)
    return [
        EmbeddedEngine(
            wasm,
            {"contract": contract, "registry": REGISTERED, "overrides": {}, "roles": {}},
            f"sha256:{number}",
        )
        for number, contract in enumerate(CONTRACTS)
    ]


def optional(*values: str) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from([*values, "unheard-of"])


owners = st.builds(
    lambda **values: claiming(**{name: value for name, value in values.items() if value}),
    owner_team=optional(*REGISTRY["teams"]),
    service=optional(*STEPPED),
    environment=optional("prod", "staging"),
    workflow_id=st.sampled_from([f"wf-{n}" for n in range(40)]),
)
callers = st.builds(
    Principal,
    team=optional(*REGISTERED["principals"]["teams"]),
    key_hash=st.sampled_from([None, None, "key-platform"]),
)


@hypothesis_settings(max_examples=300)
@given(
    which=st.integers(0, len(CONTRACTS) - 1),
    ownership=owners,
    principal=callers,
    moment=st.sampled_from([LONG_AGO, EARLIER, NOW, LATER]),
    seconds=st.integers(-1, 1),
    call_bucket=st.sampled_from([None, 0, 9, 10, 19, 20, 29, 30, 49, 50, 59, 60, 99]),
)
def test_the_blind_gate_is_never_laxer_than_the_policy(
    engines: list[EmbeddedEngine],
    which: int,
    ownership: Ownership,
    principal: Principal,
    moment: str,
    seconds: int,
    call_bucket: int | None,
) -> None:
    contract, registry = contract_from_data(CONTRACTS[which]), registry_from_data(REGISTERED)
    at_ns = ns_from_text(moment) + seconds * NS_PER_SECOND
    call = CallShape("/v1/chat/completions", "acompletion", "gpt-5.4", stream=False)
    trace = Trace("tr", "received", "1" * 32)
    question = question_about(call, ownership, trace, principal, contract, registry, at_ns)

    if call_bucket is not None:
        question = with_call_bucket(question, call_bucket, principal, contract, registry)
    answer = engines[which].decide(question)
    binding = registry.binding_of(principal)
    blind = decide_blind(ownership, binding, contract, registry, at_ns, call_bucket)

    if answer["mode"] == "enforce":
        assert blind.mode is Mode.ENFORCE, answer["mode_source"]
