"""
Requests that no honest client sends, made from a seed, as the bytes that go over the wire.

Shapes  `attacks(seed, count)` -> Attack; the same seed gives the same bytes.
        Every secret in one holds CANARY, so that it can be looked for where it must not be.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

CANARY: Final = "cnry7f3a"
PLAIN_KEY: Final = f"{CANARY}-key-of-a-custom-auth"
HEX_KEY: Final = "c4a7" * 16
"""A key that looks like the hash of one; looked for as it is."""
FORGER_KEY: Final = f"sk-{CANARY}-forger"
FORGED: Final = {"owner_team": "team-finance", "service": "billing-bot"}
"""What the forger has written into the metadata of its own key."""
TRACE_HEADER: Final = b"x-tallygate-trace-id"
OTHER_TEAMS: Final = {
    "sk-demo-support": ("team-search", "team-finance", "team-legacy-chat", "team-quarantine"),
    "sk-demo-finance": ("team-support", "team-platform", "team-quarantine"),
    "sk-demo-research": ("team-search", "team-support"),
    "sk-demo-platform": ("team-finance", "team-research", "team-quarantine"),
}
"""Registered teams outside the binding of each key that speaks for a service in enforce."""

_TENANT: Final = "hk1_0123456789abcdef0123456789abcdef"
_HOMES: Final = {
    "sk-demo-support": ("team-support", "support-assistant", "prod", "ticket-triage"),
    "sk-demo-finance": ("team-finance", "billing-bot", "prod", "invoice-matching"),
    "sk-demo-research": ("team-research", "research-notebook", "dev", "experiment"),
    "sk-demo-platform": ("team-platform", "platform-gateway", "prod", "evaluation"),
    "sk-demo-search": ("team-search", "knowledge-search", "prod", "semantic-search"),
    "sk-demo-unbound": ("team-support", "support-assistant", "prod", "reply-draft"),
    PLAIN_KEY: ("team-support", "support-assistant", "prod", "ticket-triage"),
    HEX_KEY: ("team-support", "support-assistant", "prod", "ticket-triage"),
    FORGER_KEY: ("team-search", "knowledge-search", "prod", "semantic-search"),
}
_KEYS: Final = (*_HOMES, "sk-demo-support", "sk-demo-support", f"sk-{CANARY}-wrong")
_FIELDS: Final = (
    *(b"owner-team", b"service", b"environment", b"feature", b"workflow-id", b"tenant-id-hash"),
    *(b"user-id-hash", b"initiator", b"parent-call-id", b"span-id"),
)
_JUNK: Final = (
    *(b"a\x01b", b"\x7f", b"a\tb", b"\x1b[31mred", b"\x0b", b"", b" ", b"~" * 129),
    *(b"caf\xe9", b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xc0\xaf", b"\xef\xbb\xbfteam"),
    *("team\u202esupport".encode(), "\ud55c\uad6d".encode(), b"null", b"*", b"{}", b"../../etc"),
    *(b"x\r\nx-injected: 1", b"x\nx-injected: 1", b"x\rx-injected: 1", b"x\r\n x-injected: 1"),
    *(b"x\x00y", b"x\r\n\r\nGET /v1/models HTTP/1.1", b"A" * 9000, b"A" * 50_000),
    *(b"%0d%0ax-injected:%201", b"team%00", b"%zz", b"team-support, team-search"),
)
_MAILS: Final = ("{}@example.com", "{}%40example.com", "{}\uff20example.com", "<{}@x.org>")
_TRACES: Final = (
    *(b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"ff-" + b"a" * 32 + b"-" + b"1" * 16),
    *(b"00-" + b"A" * 32 + b"-" + b"1" * 16 + b"-01", b"00--", b"\xff", b"00-" + b"a" * 900),
    b"00-" + b"a" * 32 + b"-" + b"1" * 16 + b"-01-more",
)
_BAGGAGE: Final = (
    *(b"owner_team=team%2Dsupport", b"owner_team=%zz", b"feature=%00", b"feature=a%0d%0ax:1"),
    *(b"owner_team", b"=,=,=;;,", b"owner_team=team-search;p=1,team_id=team-support", b"," * 3000),
    *(b"feature=%ff%fe", b"k=v," * 16_384, b"feature=" + b"%41" * 2000, b"tenant_id=%20"),
)
_LITELLM_HEADERS: Final = (
    *((b"x-litellm-call-id", b"../../" + b"x" * 500), (b"x-litellm-call-id", b"same")),
    *((b"x-litellm-spend-logs-metadata", b"{not json"), (b"x-litellm-tags", b"a,\xff,,")),
    *((b"x-litellm-spend-logs-metadata", b'{"owner_team": "team-search"}'),),
    *((b"x-litellm-spend-logs-metadata", b"[" * 500), (b"x-litellm-num-retries", b"1")),
    *((b"x-litellm-disable-callbacks", b"_PROXY_Gate,tallygate.proxy.handler,_proxy_gate"),),
    *((b"x-litellm-trace-id", b"t"), (b"x-litellm-session-id", b"\xe9"), (b"no-log", b"true")),
    *((b"x-litellm-customer-id", b"{}"), (b"x-litellm-enable-message-redaction", b"maybe")),
    *((b"x-stainless-retry-count", b"99999999"), (b"x-stainless-retry-count", b"-1")),
    *((b"content-type", b"text/plain"), (b"content-type", b"multipart/form-data; boundary=x")),
    *((b"content-encoding", b"gzip"), (b"transfer-encoding", b"chunked"), (b"expect", b"100")),
    *((b"content-length", b"5"), (b"x_tallygate_owner_team", b"team-search"), (b"forwarded", b"")),
)
_WISHES: Final = (
    *("status=429 fail=1", "status=500", "cut=1", "malformed", "no_usage", "status=400"),
    *("input=7 output=9", "answers_as=other-model", "tier=flex", "nonsense"),
)
_MEMBERS: Final = (
    *r"""
"metadata": ["@"]
"metadata": 7
"metadata": "@"
"metadata": null
"metadata": {"owner_team": ["team-search"], "feature": {"a": 1}, "service": NaN}
"metadata": {"owner_team": 7, "service": true, "environment": 1e999}
"metadata": {"feature": "\ud800"}
"metadata": {"feature": "a\u0000b"}
"metadata": {"owner_team": "a"}, "metadata": {"team_id": "b"}
"metadata": {"tenant_id": "@", "user_id_hash": "@"}
"metadata": {"no-log": true, "client_disconnected": true, "model_group": "no-such-group"}
"litellm_metadata": {"model_info": {"id": "no-such-deployment"}, "tags": "x"}
"litellm_metadata": {"user_api_key_team_id": "team-search", "owner_team": "team-search"}
"litellm_metadata": [1]
"no-log": true
"mock_response": "@"
"user": "@@example.com"
"model_info": {"id": "no-such-deployment"}
"extra_headers": {"Traceparent": "00-@", "X-Tallygate-Trace-Id": "@", "x-a": "@"}
"extra_headers": ["@"]
"extra_headers": {"x": null, "y": 7}
"extra_headers": {"x": "a\r\nx-injected: 1"}
"extra_headers": {"x": "\u00e9\u6f22"}
"headers": {"authorization": "Bearer @"}
"extra_body": {"@": 1}
"model": ["gpt-5.4"]
"model": "gpt-5.4,gpt-5.4-mini"
"model": "no-such-model"
"model": 7
"model": null
"stream": "true"
"stream": 1
"stream": true
"stream": {}
"n": 3
"api_base": "http://127.0.0.1:9/@"
"base_url": "http://127.0.0.1:9"
"api_key": "sk-@"
"service_tier": "@ is what I ask for"
"service_tier": 7
"cache_hit": true
"litellm_no_upstream_llm_call": true
"call_type": "afile_list"
"litellm_call_id": ["@"]
"litellm_params": {"metadata": "@"}
"litellm_logging_obj": "@"
"proxy_server_request": {"body": {"metadata": {"owner_team": "team-search"}}}
"kwargs": {"a": 1}
"custom_llm_provider": "no-such-provider"
"num_retries": 4
"max_retries": 2
"fallbacks": ["claude-sonnet-5-5"]
"fallbacks": "@"
"timeout": "@"
"aws_region_name": "@ region"
"callbacks": []
"litellm_disabled_callbacks": ["_PROXY_Gate"]
"tags": {"@": 1}
"id": "@"
"": 1
"__class__": 1
"self": 1
"max_tokens": 1e30
"messages": [[{"role": "user", "content": "@"}]]
"messages": "@"
"input": [[1, 2], "@"]
"azure": true
"specific_deployment": true
"original_function": "@"
"prompt_id": "@"
""".replace("@", CANARY)
    .strip()
    .splitlines(),
    '"metadata": {"a": ' + "[" * 200 + "]" * 200 + "}",
    '"metadata": ' + "[" * 9000,
    '"metadata": {"x": ' + "9" * 400 + "}",
    '"service_tier": "' + CANARY * 1000 + '"',
)
_BODIES: Final = (b"", b"null", b"[]", b'"x"', b"{", b"\xef\xbb\xbf{}", b"\xff\xfe{", b"7", b"{}{}")

_CHAT: Final = b"/v1/chat/completions"
_ROUTES: Final = (
    *(
        _CHAT,
        _CHAT,
        _CHAT,
        b"/v1/messages",
        b"/v1/responses",
        b"/v1/embeddings",
        b"/v1/completions",
    ),
    *(b"/openai/chat/completions", b"/anthropic/v1/messages", b"/queue/chat/completions"),
    *(b"/openai/deployments/gpt-5.4-mini/chat/completions", b"/engines/gpt-5.4/chat/completions"),
    *(b"/v1beta/models/gpt-5.4-mini:generateContent", b"/v1/images/generations", b"/v1/rerank"),
    *(b"/v1/chat/completions%0a", b"/v1/messages%0A", b"/v1/chat/completions/", b"//v1/messages"),
    *(b"/v1/chat/completions%00", b"/v1/chat/completions;a", b"/v1/chat/completions?model=gpt-5.4"),
    *(b"/v1/chat/completions%3fa", b"/v1/chat%2fcompletions", b"/openai/v1/threads"),
    *(b"/openai/v1/never/heard/of", b"/vertex_ai/x", b"/v1/nothing", b"/V1/chat/completions"),
    *(b"/bedrock/model/x/invoke", b"/cursor/chat/completions", b"/v1/ocr", b"/../v1/messages"),
)


@dataclass(slots=True)
class Attack:
    """One request, and what is known about it beforehand."""

    number: int
    key: str
    path: bytes
    headers: list[tuple[bytes, bytes]]
    body: dict[str, Any]
    members: list[str] = field(default_factory=list)
    """Members that are added to the body as text: they need not be JSON, nor be new."""
    raw_body: bytes | None = None
    methods: tuple[str, ...] = ()
    """What was done to it, for whoever has to read a failure."""
    is_spoof: bool = False
    """Claims a team that its key may not charge, for a service in enforce."""
    leaves: bool = False
    """The client goes away without reading the answer."""

    @property
    def trace_id(self) -> str:
        return f"hostile-{self.number}"

    def wire(self) -> bytes:
        body = self.raw_body
        if body is None:
            body = json.dumps(self.body).encode()
            if self.members:
                body = body[:-1] + b", " + ", ".join(self.members).encode() + b"}"
        own = [
            (b"host", b"proxy"),
            (b"connection", b"close"),
            (b"authorization", b"Bearer " + self.key.encode()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        named = {name for name, _ in self.headers}
        kept = [(name, value) for name, value in own if name not in named - {b"content-length"}]
        if b"transfer-encoding" in named:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        head = b"".join(name + b": " + value + b"\r\n" for name, value in kept + self.headers)
        return b"POST " + self.path + b" HTTP/1.1\r\n" + head + b"\r\n" + body


Method = Callable[[random.Random, Attack], None]


def attacks(seed: int, count: int) -> Iterator[Attack]:
    """Make requests; about one in six is a spoof, one in twelve is left alone."""
    rng = random.Random(seed)
    for number in range(count):
        attack = _honest(rng, number, rng.choice(_KEYS), rng.choice(_ROUTES))
        spoofs = attack.key in OTHER_TEAMS and rng.random() < 0.25
        others = _ON_THE_BODY if spoofs else (*_ON_THE_HEADERS, *_ON_THE_BODY)
        used = rng.choices(others, k=rng.choice((0, 1, 1, 1, 2, 2, 3)))
        for method in used:
            method(rng, attack)
        if spoofs:
            _spoof(rng, attack)
        attack.methods = tuple(method.__name__ for method in used)
        attack.leaves = rng.random() < 0.03
        yield attack


def warm_up() -> Iterator[Attack]:
    """
    Make an honest request of each kind, streamed and not.

    Until the gate has seen one of a kind leave, it opens attempts early, so that one that fails
    before its first byte is booked although no provider saw it.
    """
    rng = random.Random(0)
    for number, (path, stream) in enumerate(itertools.product(_ROUTES, ("false", "true"))):
        honest = _honest(rng, -1 - number, "sk-demo-support", path)
        honest.members.append(f'"stream": {stream}')
        yield honest


def _honest(rng: random.Random, number: int, key: str, path: bytes) -> Attack:
    values = (*_HOMES.get(key, _HOMES["sk-demo-support"]), "refund-triage", _TENANT)
    claims = zip(_FIELDS, values, strict=False)
    headers = [(b"x-tallygate-" + name, value.encode()) for name, value in claims]
    wish = f"[[standin: {rng.choice(_WISHES)}]] " if rng.random() < 0.15 and number >= 0 else ""
    text = f"{wish}{CANARY} prompt {number}"
    attack = Attack(number, key, path, headers, _body(path, text))
    headers.append((TRACE_HEADER, attack.trace_id.encode()))
    if path.startswith(b"/anthropic"):
        headers.append((b"anthropic-version", b"2023-06-01"))
    return attack


def _body(path: bytes, text: str) -> dict[str, Any]:
    if b"embeddings" in path:
        return {"model": "text-embedding-3-small", "input": text}
    if b"responses" in path:
        return {"model": "gpt-5.4-mini", "input": text}
    if b"generateContent" in path:
        return {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    model = "claude-sonnet-5-5" if b"messages" in path else "gpt-5.4-mini"
    messages = [{"role": "user", "content": text}]
    body = {"model": model, "messages": messages, "prompt": text, "max_tokens": 16, "priority": 0}
    wanted = {"model", "messages", "max_tokens"}
    if b"/queue" in path:
        wanted.add("priority")
    if path == b"/v1/completions" or b"images" in path:
        wanted = {"model", "prompt"}
    return {name: value for name, value in body.items() if name in wanted}


def _replace(attack: Attack, name: bytes, value: bytes) -> None:
    attack.headers = [(n, v) for n, v in attack.headers if n != name] + [(name, value)]


def _a_field(rng: random.Random) -> bytes:
    return b"x-tallygate-" + rng.choice(_FIELDS)


def _garble(rng: random.Random, attack: Attack) -> None:
    _replace(attack, _a_field(rng), rng.choice(_JUNK))


def _say_twice(rng: random.Random, attack: Attack) -> None:
    name = rng.choice((_a_field(rng), b"x-team-id", b"x-customer-id-hash", b"X-TALLYGATE-Service"))
    attack.headers += [(name, rng.choice(_JUNK)), (name, rng.choice((b"team-search", b"prod")))]


def _leave_out(rng: random.Random, attack: Attack) -> None:
    dropped = {_a_field(rng), _a_field(rng), _a_field(rng)}
    attack.headers = [(name, value) for name, value in attack.headers if name not in dropped]


def _address(rng: random.Random, attack: Attack) -> None:
    person = f"jane.{CANARY}"
    mail = rng.choice(_MAILS).format(person)
    if rng.random() < 0.3:
        attack.headers.append((b"baggage", b"feature=" + mail.encode()))
    elif rng.random() < 0.4:
        _replace(attack, b"x-tallygate-" + rng.choice(_FIELDS[:5]), person.encode())
    else:
        name = b"x-tallygate-" + rng.choice((*_FIELDS[:5], b"user-id-hash", b"trace-id"))
        _replace(attack, name, mail.encode())


def _raw_tenant(rng: random.Random, attack: Attack) -> None:
    _replace(attack, b"x-tallygate-tenant-id-hash", b"")
    name = rng.choice((b"x-tallygate-tenant-id", b"x-tallygate-tenant-id", b"x-customer-id-hash"))
    attack.headers.append((name, f"{CANARY}-tenant-{rng.randrange(4)}".encode()))
    if rng.random() < 0.2:
        attack.headers.append((b"baggage", f"tenant_id={CANARY}-other".encode()))


def _baggage(rng: random.Random, attack: Attack) -> None:
    dropped = _a_field(rng)
    attack.headers = [(name, value) for name, value in attack.headers if name != dropped]
    attack.headers += [(b"baggage", line) for line in rng.choices(_BAGGAGE, k=rng.choice((1, 2)))]


def _trace(rng: random.Random, attack: Attack) -> None:
    if rng.random() < 0.5:
        attack.headers += [(b"traceparent", line) for line in rng.choices(_TRACES, k=2)]
    else:
        _replace(attack, rng.choice((TRACE_HEADER, b"x-trace-id")), rng.choice(_JUNK))


def _litellm_header(rng: random.Random, attack: Attack) -> None:
    drawn = rng.choices(_LITELLM_HEADERS, k=2)
    if attack.path.startswith(b"/anthropic"):  # LiteLLM passes the first on, and waits for ever
        drawn = [pair for pair in drawn if pair[0] not in {b"transfer-encoding", b"content-length"}]
    attack.headers += drawn


def _many(rng: random.Random, attack: Attack) -> None:
    amount = rng.choice((100, 800))
    attack.headers += [(f"x-filler-{i}".encode(), CANARY.encode()) for i in range(amount)]


def _member(_rng: random.Random, attack: Attack) -> None:
    member = _MEMBERS[(attack.number + 31 * len(attack.members)) % len(_MEMBERS)]
    if b"/queue" not in attack.path or "mock_response" not in member:
        attack.members.append(member)  # LiteLLM mocks there for everybody, and no provider is asked


def _claim_in_body(rng: random.Random, attack: Attack) -> None:
    moved = {name: value for name, value in attack.headers if rng.random() < 0.5}
    attack.headers = [(name, value) for name, value in attack.headers if name not in moved]
    text = {name.decode(): value.decode("latin-1") for name, value in moved.items()}
    attack.body["metadata"] = {
        name.removeprefix("x-tallygate-").replace("-", "_"): value for name, value in text.items()
    }


def _other_body(rng: random.Random, attack: Attack) -> None:
    attack.raw_body = rng.choice(_BODIES)


def _spoof(rng: random.Random, attack: Attack) -> None:
    """Claim another's team where nothing of higher rank says otherwise."""
    attack.is_spoof = True
    team = rng.choice(OTHER_TEAMS[attack.key]).encode()
    own = b"x-tallygate-owner-team"
    attack.headers = [(name, value) for name, value in attack.headers if name != own]
    match rng.randrange(4):
        case 0:
            attack.headers.append((own, team))
        case 1:
            attack.headers.append((b"x-team-id", team))
        case 2:
            attack.headers.append((b"baggage", b"team_id=" + team.replace(b"-", b"%2D")))
        case _:
            attack.members.append(f'"metadata": {{"owner_team": "{team.decode()}"}}')


_ON_THE_HEADERS: Final[tuple[Method, ...]] = (
    *(_garble, _garble, _say_twice, _leave_out, _address, _raw_tenant, _baggage, _trace),
    *(_litellm_header, _litellm_header, _many, _claim_in_body),
)
_ON_THE_BODY: Final[tuple[Method, ...]] = (_member, _member, _member, _member, _other_body)
