"""
The rollout plan, which is reviewed like the rest of the policies folder and read by no engine.

Shapes  `rollout/plan.yaml` as a `Document`, for the check and for the plan itself.
Errors  PoliciesInvalid with every problem in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tallygate.adapters.files.schemas import read_schema, schema_problems
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.files.strict_yaml import Document, read_yaml
from tallygate.errors import PoliciesInvalid, Problem

PLAN: Final = Path("rollout") / "plan.yaml"


def read_plan(folder: Path) -> Document | None:
    """Read the plan as its schema wants it; None where the folder has none."""
    path = folder / PLAN
    if not path.exists():
        return None
    document = read_yaml(path)
    own = folder / "schemas" / "rollout.json"
    schema = read_schema(own if own.exists() else starter_policies() / "schemas" / "rollout.json")
    problems = schema_problems(document, schema)
    if problems:
        raise PoliciesInvalid(problems)
    return document


def require_plan(folder: Path) -> Document:
    """Read the plan of a folder that must have one."""
    document = read_plan(folder)
    if document is None:
        missing = Problem(
            code="missing",
            message="there is no rollout plan.",
            remedy=f"Write one with `tallygate rollout plan -o {folder / PLAN}`.",
            file=str(folder / PLAN),
        )
        raise PoliciesInvalid([missing])
    return document
