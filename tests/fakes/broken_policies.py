"""
A hundred ways to break the shipped policies, each another one, all of them to be refused.

Each is a function of a fresh copy of the folder. They are refused without an `opa` on the PATH; a
compiler at hand mends some of them (a stale policy.wasm is then compiled for the process).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from tallygate.adapters.engines.opa import lock_of
from tallygate.adapters.files.policies import read_policies

Break = Callable[[Path], object]

CONTRACT: Final = Path("contract") / "data.yaml"
REGISTRY: Final = Path("registry") / "data.yaml"
OVERRIDES: Final = Path("overrides") / "data.yaml"
ROLES: Final = Path("roles") / "data.yaml"
DOCUMENTS: Final = {"contract": CONTRACT, "registry": REGISTRY}
ALL_DOCUMENTS: Final = {**DOCUMENTS, "overrides": OVERRIDES, "roles": ROLES}
ADMISSION: Final = Path("tallygate") / "admission" / "admission.rego"
MODES: Final = Path("tallygate") / "admission" / "modes.rego"
CASE: Final = Path("cases") / "complete-call"
WASM: Final = Path("policy.wasm")
LOCK: Final = Path("policy.lock")


def added(path: Path, text: str) -> Break:
    def change(folder: Path) -> None:
        with (folder / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return change


def said(path: Path, old: str, new: str) -> Break:
    def change(folder: Path) -> None:
        text = (folder / path).read_text(encoding="utf-8")
        assert old in text, f"{path} does not say {old}"
        (folder / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def written(path: Path, content: bytes | str) -> Break:
    def change(folder: Path) -> None:
        whole = content.encode() if isinstance(content, str) else content
        (folder / path).write_bytes(whole)

    return change


def cut(path: Path, share: float) -> Break:
    def change(folder: Path) -> None:
        whole = (folder / path).read_bytes()
        (folder / path).write_bytes(whole[: int(len(whole) * share)])

    return change


def removed(path: Path) -> Break:
    def change(folder: Path) -> None:
        target = folder / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return change


def put(path: Path, make: Callable[[Path], object]) -> Break:
    """Put something that is no file in a file's place."""

    def change(folder: Path) -> None:
        removed(path)(folder)
        make(folder / path)

    return change


def compiled_as(wasm: Callable[[bytes], bytes]) -> Break:
    """Change policy.wasm and let policy.lock name what came of it."""

    def change(folder: Path) -> None:
        policies = read_policies(folder)
        assert policies.wasm is not None
        changed = wasm(policies.wasm)
        (folder / WASM).write_bytes(changed)
        (folder / LOCK).write_bytes(lock_of(policies.rego, changed, "1.22.0"))

    return change


def locked(**changes: object) -> Break:
    def change(folder: Path) -> None:
        noted = orjson.loads((folder / LOCK).read_bytes())
        (folder / LOCK).write_bytes(orjson.dumps({**noted, **changes}))

    return change


def emptied(folder: Path) -> None:
    for entry in list(folder.iterdir()):
        removed(entry.relative_to(folder))(folder)


# An exported function of another name, of the same length: all loads, and nobody can be asked.
NO_ENTRYPOINT: Final = (b"tallygate/admission/decision", b"tallygate/admission/decisiom")

BREAKS: Final[dict[str, Break]] = {
    # What is no YAML, or YAML that readers read differently: in each file.
    **{f"{n}: syntax": added(p, "a: [\n") for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: a tab": added(p, "a:\n\tb: 1\n") for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: not UTF-8": written(p, b"a: \xff\xfe\n") for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: an octal": added(p, "zz: 010\n") for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: a bare no": added(p, "zz: no\n") for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: a bare date": added(p, "zz: 2026-12-31\n") for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: an anchor": added(p, "zy: &a x\nzz: *a\n") for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: a control character": added(p, "zz: \x01\n") for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: a list": written(p, "- a\n") for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: too deep": written(p, "[" * 200 + "]" * 200) for n, p in ALL_DOCUMENTS.items()},
    **{f"{n}: a directory": put(p, Path.mkdir) for n, p in ALL_DOCUMENTS.items() if n in DOCUMENTS},
    **{f"{n}: a named pipe": put(p, os.mkfifo) for n, p in DOCUMENTS.items()},
    **{
        f"{n}: a link to itself": put(p, lambda x: x.symlink_to(x.name))
        for n, p in DOCUMENTS.items()
    },
    **{
        f"{n}: a link to nothing": put(p, lambda x: x.symlink_to("gone"))
        for n, p in DOCUMENTS.items()
    },
    **{f"{n}: not there": removed(p) for n, p in DOCUMENTS.items()},
    **{f"{n}: empty": written(p, "") for n, p in DOCUMENTS.items()},
    "contract: cut in the middle": cut(CONTRACT, 0.47),
    "registry: cut in the middle": cut(REGISTRY, 0.62),
    "contract: a key twice": added(CONTRACT, "disclose: none\n"),
    "registry: a key twice": added(REGISTRY, "teams: {}\n"),
    "overrides: a key twice": added(OVERRIDES, "billing-bot: {}\n"),
    "contract: two documents": added(CONTRACT, "---\na: 1\n"),
    # What the schemas refuse.
    "contract: an unknown part": added(CONTRACT, "colour: blue\n"),
    "registry: an unknown part": added(REGISTRY, "colour: blue\n"),
    "contract: a mode that is none": said(CONTRACT, "default: report_only", "default: soft"),
    "contract: a kind that is none": said(CONTRACT, "\n    kind: pattern", "\n    kind: regex"),
    "contract: a number as text": said(CONTRACT, "max_days: 90", 'max_days: "90"'),
    "contract: a disclosure that is none": said(CONTRACT, "disclose: own_team", "disclose: all"),
    "contract: another spool_full": said(CONTRACT, "spool_full: refuse", "spool_full: wait"),
    "contract: no fields": said(CONTRACT, "fields:\n", "felder:\n"),
    "registry: a service without a team": said(REGISTRY, "    owner_team: team-support\n", ""),
    "registry: a percent past 100": said(REGISTRY, "percent: 25", "percent: 250"),
    "registry: a date that is none": said(REGISTRY, "2026-12-01T00:00:00Z", "2026-12-01"),
    "registry: a violation's end that is none": said(
        REGISTRY, "on_violation: quarantine\n", "on_violation: shrug\n"
    ),
    "overrides: no expiry": said(OVERRIDES, '    expires_at: "2027-01-31T00:00:00Z"\n', ""),
    "overrides: no reason": said(OVERRIDES, "    ticket: FIN-1042\n", ""),
    # What does not hang together.
    "contract: a pattern that does not compile": said(CONTRACT, '"^[a-z][a-z0-9]*(', '"^[a-z*(('),
    "contract: a field that nobody knows": said(CONTRACT, "prod: [workflow_id", "prod: [wrkflow"),
    "contract: a service that nobody knows": said(CONTRACT, "batch-summaries:", "batch-sums:"),
    "contract: fails open for nobody": said(CONTRACT, "fail_open: []", "fail_open: [nobody]"),
    "registry: a team that nobody knows": said(
        REGISTRY, "owner_team: team-search", "owner_team: x"
    ),
    "registry: a feature that nobody knows": said(REGISTRY, "feature: experiment", "feature: exp"),
    "registry: an environment that nobody knows": said(
        REGISTRY, "environment: prod,", "environment: p,"
    ),
    "registry: a principal of nobody": said(REGISTRY, "{team: team-search}", "{team: team-serch}"),
    "registry: may charge nobody": said(
        REGISTRY, "may_charge: [team-search", "may_charge: [team-s"
    ),
    "registry: quarantined with nobody": said(
        REGISTRY, "  owner_team: team-quarantine", "  owner_team: x"
    ),
    "registry: a model in two groups": said(REGISTRY, "[o3, o3-mini", "[gpt-5, o3-mini"),
    "overrides: self-approved": said(
        OVERRIDES, "requested_by: support-lead", "requested_by: finops-lead"
    ),
    "overrides: approved by nobody": said(OVERRIDES, "approved_by: finops-lead", "approved_by: me"),
    "overrides: too long": said(OVERRIDES, "2027-01-31T00:00:00Z", "2029-01-31T00:00:00Z"),
    "overrides: ends before it begins": said(
        OVERRIDES, "2027-01-31T00:00:00Z", "2026-01-31T00:00:00Z"
    ),
    "overrides: waives a conflict": said(OVERRIDES, "[ownership_missing]", "[ownership_conflict]"),
    "overrides: a service that nobody knows": said(OVERRIDES, "support-assistant:", "support:"),
    "roles: nobody approves": said(
        ROLES, "overrides: [finops-lead, platform-lead]", "overrides: []"
    ),
    # Rego and what was compiled from it.
    "rego: syntax": added(ADMISSION, "\naction := {\n"),
    "rego: an unsafe variable": added(MODES, "\nx := y + z\n"),
    "rego: a file more": written(
        Path("tallygate") / "more.rego", "package tallygate.more\n\na := "
    ),
    "rego: a file less": removed(MODES),
    "rego: not UTF-8": written(MODES, b"package tallygate.admission.modes\n\xff"),
    "rego: none": removed(Path("tallygate")),
    "wasm: not there": removed(WASM),
    "wasm: empty": written(WASM, b""),
    "wasm: cut": cut(WASM, 0.5),
    "wasm: cut, and locked so": compiled_as(lambda wasm: wasm[: len(wasm) // 2]),
    "wasm: one byte is another": compiled_as(lambda wasm: b"\x01" + wasm[1:]),
    "wasm: something else": compiled_as(lambda _: b"\0asm\x01\0\0\0"),
    "wasm: no entrypoint": compiled_as(lambda wasm: wasm.replace(*NO_ENTRYPOINT)),
    "lock: not there": removed(LOCK),
    "lock: not JSON": written(LOCK, "{"),
    "lock: a list": written(LOCK, "[]"),
    "lock: of another wasm": locked(wasm="sha256:0"),
    "lock: of other Rego": locked(rego={}),
    "lock: built otherwise": locked(command="opa build -O=2"),
    # Cases.
    "case: not JSON": written(CASE / "decision.json", "{"),
    "case: no question": removed(CASE / "input.json"),
    "case: a list": written(CASE / "input.json", "[]"),
    "case: another decision": said(CASE / "decision.json", '"admit"', '"reject"'),
    "case: what it expects is gone": said(REGISTRY, "cost_center: CC-2140", "cost_center: CC-9999"),
    # The folder itself.
    "folder: data that only OPA would read": written(Path("cases") / "data.json", "{}"),
    "folder: stray YAML": written(Path("schemas") / "data.yml", "a: 1\n"),
    "folder: a schema that is none": written(Path("schemas") / "registry.json", "[]"),
    "folder: empty": emptied,
}
