"""
A promotion as a change of two reviewed files: the mode in the registry, the stage in the plan.

Exact   The folder is copied, changed and checked beside the real one; the files are replaced only
        when all of it passes `policy check`. No proxy is touched.
Errors  PoliciesInvalid with everything that stands against it; nothing was written then.
"""

from __future__ import annotations

import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from tallygate.adapters.files.policies import read_cases, read_policies
from tallygate.adapters.files.rollout_plans import PLAN, require_plan
from tallygate.adapters.files.strict_yaml import YamlPath
from tallygate.adapters.files.yaml_edits import (
    Edit,
    Insert,
    Put,
    Remove,
    diff_of,
    edited,
    read_text,
    replace_file,
    shown_as,
)
from tallygate.application.ports import PolicyEngine
from tallygate.application.rollout_promotion import Promotion
from tallygate.application.rollout_scaffold import UNBOUND
from tallygate.bootstrap.policies import check_folder
from tallygate.bootstrap.rollout import RolloutFolder, open_rollout
from tallygate.domain.kernel.instants import ns_from_text, text_from_ns
from tallygate.domain.policy.rollout import plan_from_data
from tallygate.errors import EngineFailed, PoliciesInvalid, Problem

REGISTRY: Final = Path("registry") / "data.yaml"
_COMMENT_COLUMNS: Final = 88
_WHOLE: Final = 100


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it is and as it is to be."""

    path: Path
    before: str
    after: str

    @property
    def diff(self) -> str:
        return diff_of(self.before, self.after, shown_as(self.path))


@dataclass(frozen=True, slots=True)
class Promoted:
    """What a promotion changes, and what people should know about it."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    @property
    def diff(self) -> str:
        """All of it, as for a pull request."""
        return "".join(change.diff for change in self.changes)


def prepare_promotion(
    folder: Path,
    promotion: Promotion,
    now_ns: int,
    comment: str = "",
    *,
    update_cases: bool = False,
) -> Promoted:
    """Work out the change and check the folder with it; nothing is written yet."""
    plan = require_plan(folder)
    entry = read_policies(folder).data["registry"]["services"][promotion.service]
    said = "\n".join(textwrap.wrap(comment, _COMMENT_COLUMNS))
    edits = {
        REGISTRY: list(registry_edits(promotion, entry, now_ns, said)),
        PLAN: list(_plan_edits(promotion, plan.value, said)),
    }
    changes = [_change(folder / path, wanted) for path, wanted in edits.items() if wanted]
    with tempfile.TemporaryDirectory(prefix="tallygate-promote-") as scratch:
        beside = Path(scratch) / "policies"
        shutil.copytree(folder, beside)
        _put_beside(changes, folder, beside)
        after = open_rollout(beside, now_ns)
        if update_cases:
            cases = list(_case_changes(after.engine, folder))
            _put_beside(cases, folder, beside)
            changes += cases
        _require_good(beside, folder, now_ns)
        warnings = tuple(_effect(after, promotion, now_ns))
    return Promoted(tuple(changes), warnings)


def _put_beside(changes: Sequence[Change], folder: Path, beside: Path) -> None:
    for change in changes:
        replace_file(beside / change.path.relative_to(folder), change.after)


def _case_changes(engine: PolicyEngine, folder: Path) -> Iterator[Change]:
    """Write the new decision into each case that is decided differently now."""
    for case in read_cases(folder):
        answer = engine.decide(case.question)
        if answer != case.decision:
            path = Path(case.file)
            # Sorted where it was, so that the diff shows what is decided differently.
            sort = orjson.OPT_SORT_KEYS if list(case.decision) == sorted(case.decision) else 0
            text = orjson.dumps(answer, option=orjson.OPT_INDENT_2 | sort).decode()
            yield Change(path, read_text(path), f"{text}\n")


def write_promotion(promoted: Promoted) -> None:
    """Replace the files, all of them or none."""
    for change in promoted.changes:
        if read_text(change.path) != change.before:
            raise _refused(change.path, "it was changed in the meantime; run it again")
    written: list[Change] = []
    try:
        for change in promoted.changes:
            replace_file(change.path, change.after)
            written.append(change)
    except OSError as error:
        for change in written:
            replace_file(change.path, change.before)
        reason = error.strerror or type(error).__name__
        raise _refused(
            promoted.changes[len(written)].path, f"cannot be written: {reason}"
        ) from error


def registry_edits(
    promotion: Promotion, entry: Mapping[str, Any], now_ns: int, comment: str
) -> Iterator[Edit]:
    """Enforce: by the fixed modes, or by a dated step where a date or such steps decide."""
    path: YamlPath = ("services", promotion.service)
    schedule = entry.get("schedule", ())
    now = text_from_ns(now_ns)
    if promotion.begins_at is not None or _decides(schedule, promotion, now):
        step: dict[str, str | int] = {"from": promotion.begins_at or now, "mode": "enforce"}
        step |= {"environment": promotion.environment} if promotion.environment else {}
        step |= {"canary": promotion.canary} if promotion.canary is not None else {}
        later = [index for index, one in enumerate(schedule) if one["from"] > step["from"]]
        index = later[0] if later else None
        yield Insert((*path, "schedule"), step, index, comment, after="modes")
        return
    edits = [*_mode_edits(promotion, entry, path), *_canary_edits(promotion, entry, path)]
    for number, edit in enumerate(edits):
        first = number == 0 and isinstance(edit, Put)
        yield replace(edit, comment=comment) if first and isinstance(edit, Put) else edit


def _decides(schedule: Sequence[Mapping[str, Any]], promotion: Promotion, now: str) -> bool:
    """Whether a step that has begun goes before the fixed modes."""
    return any(
        step["from"] <= now
        and (
            promotion.environment is None
            or step.get("environment", promotion.environment) == promotion.environment
        )
        for step in schedule
    )


def _mode_edits(promotion: Promotion, entry: Mapping[str, Any], path: YamlPath) -> Iterator[Put]:
    modes = entry.get("modes", {})
    names = [promotion.environment] if promotion.environment else ["default", *modes]
    for name in dict.fromkeys(names):
        if modes.get(name, modes.get("default") if promotion.environment else None) != "enforce":
            yield Put((*path, "modes", name), "enforce", after="owner_team")


def _canary_edits(promotion: Promotion, entry: Mapping[str, Any], path: YamlPath) -> Iterator[Edit]:
    canary = dict(entry.get("canary", {}))
    if promotion.environment is None:
        wanted = {} if promotion.canary is None else {"default": promotion.canary}
    else:
        wanted = {name: share for name, share in canary.items() if name != promotion.environment}
        share = _WHOLE if promotion.canary is None else promotion.canary
        if share != wanted.get("default", _WHOLE):
            wanted[promotion.environment] = share
    if not wanted and canary:
        yield Remove((*path, "canary"))
        return
    for name in canary:
        if name not in wanted:
            yield Remove((*path, "canary", name))
    for name, share in wanted.items():
        if canary.get(name) != share:
            yield Put((*path, "canary", name), share, after="modes")


def _plan_edits(promotion: Promotion, plan: Mapping[str, Any], comment: str) -> Iterator[Edit]:
    current = plan_from_data(plan).stage_of(promotion.service)
    if current is not None:
        index = current.services.index(promotion.service)
        yield Remove(("stages", current.name.value, "services", index))
    place: YamlPath = ("stages", promotion.to.value, "services")
    yield Insert(place, promotion.service, comment=comment)


def _change(path: Path, edits: Sequence[Edit]) -> Change:
    before = read_text(path)
    return Change(path, before, edited(before, edits, str(path)))


def _require_good(beside: Path, folder: Path, now_ns: int) -> None:
    check = check_folder(beside, text_from_ns(now_ns))
    errors = [
        replace(problem, file=problem.file.replace(str(beside), str(folder), 1))
        for problem in check.problems
        if problem.severity == "error"
    ]
    if errors:
        raise PoliciesInvalid([_with_remedy(problem) for problem in errors])
    if check.untold:
        raise EngineFailed(check.untold)


def _with_remedy(problem: Problem) -> Problem:
    if problem.code != "case_differs":
        return problem
    remedy = "Add --update-cases to write the new decision into the case, for review."
    return replace(problem, remedy=remedy)


def _effect(after: RolloutFolder, promotion: Promotion, now_ns: int) -> Iterator[str]:
    """Ask the changed policy whether it does what was meant, and whether it keeps doing so."""
    at_ns = promotion.takes_effect_ns(now_ns)
    registry = after.facts.registry
    later = {
        ns_from_text(step["from"])
        for step in registry.services[promotion.service].get("schedule", ())
    }
    for environment in registry.values["environment"]:
        if promotion.environment not in (None, environment):
            continue
        mode = after.modes.mode_of(promotion.service, environment, at_ns)
        if mode.mode != "enforce":
            yield (
                f"in {environment} the policy still says {mode.mode} ({mode.source}): "
                + _why_not(mode.source)
            )
            continue
        for step_ns in sorted(step_ns for step_ns in later if step_ns > at_ns):
            then = after.modes.mode_of(promotion.service, environment, step_ns)
            if then.enforced_share < mode.enforced_share:
                share = then.enforced_share / 100
                yield (
                    f"in {environment} the schedule enforces {share:.0f} % of calls from "
                    f"{text_from_ns(step_ns)} on, which is less again."
                )


def _why_not(source: str) -> str:
    if source == UNBOUND:
        return "no principal of the registry may speak for it there, and unbound calls pass."
    return "another entry goes before this one."


def _refused(path: Path, why: str) -> PoliciesInvalid:
    problem = Problem(
        code="not_written", message=f"{why}.", remedy="Nothing was changed.", file=str(path)
    )
    return PoliciesInvalid([problem])
