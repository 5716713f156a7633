"""
What becomes of the policy in force when the folder's content is another one than before.

    looked at ─► same as in force ─────────────────► unchanged (and nothing is refused any more)
        │    └─► same as what was refused ─────────► known: neither read again nor said again
        └─► read ─► as it should be ─► put in force ► loaded
                └─► problems ──────────────────────► refused: what is in force stays

Shapes  A content is the digest of the folder's files, whatever they say. A revision is the digest
        of what they mean. Only a content can be refused: it may be too broken to have a revision.
Exact   What could not be found out (no memory, no temporary folder, files that go on changing) is
        not the content's fault: it is tried again, after longer and longer pauses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from tallygate.domain.kernel.instants import text_from_ns
from tallygate.errors import Problem

FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0
_SHOWN: Final = 5


class Outcome(StrEnum):
    """How a look at the folder came out."""

    LOADED = "loaded"
    REFUSED = "refused"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """Which policy decides in this worker, and since when."""

    revision: str
    content: str
    """What it was read from; empty where that is not known, as of a last good bundle."""
    loaded_at_ns: int
    is_last_good: bool = False
    """Start-up could not use the folder and fell back."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A content of the folder that is not put in force."""

    content: str
    at_ns: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a content of the folder was found to be."""

    content: str
    revision: str | None = None
    """None when it could not be read so far."""
    problems: tuple[Problem, ...] = ()
    """Errors only; with any of them it is not put in force."""
    warnings: tuple[str, ...] = ()


class Reloading:
    """The state of one worker, from what it started with on."""

    def __init__(self, in_force: InForce, refused: Refused | None = None) -> None:
        self.in_force = in_force
        self.refused = refused
        self.failure: str | None = None
        """Why the folder's newest content could not be judged."""
        self._pause_s = FIRST_PAUSE_S

    def is_news(self, content: str) -> bool:
        """Whether this content has to be read."""
        known = {self.in_force.content, self.refused.content if self.refused else None}
        return content not in known

    def seen_again(self, content: str) -> Outcome:
        """Note that the folder holds what was judged before."""
        assert not self.is_news(content), content
        self._settled()
        if content == self.in_force.content:
            self.refused = None
        return Outcome.UNCHANGED

    def refuses(self, reading: Reading, now_ns: int) -> bool:
        """Note what is wrong with a reading, if anything is."""
        self._settled()
        if not reading.problems:
            return False
        self.refused = Refused(content=reading.content, at_ns=now_ns, problems=reading.problems)
        return True

    def put_in_force(self, reading: Reading, now_ns: int) -> None:
        """Note that a reading decides from now on."""
        assert reading.revision is not None, reading.content
        assert not reading.problems, reading.problems
        self.refused = None
        self.in_force = InForce(
            revision=reading.revision,
            content=reading.content,
            loaded_at_ns=now_ns,
            warnings=reading.warnings,
        )

    def warn(self, *warnings: str) -> None:
        """Add to what the operator must hear while this policy is in force."""
        added = (*self.in_force.warnings, *warnings)
        self.in_force = replace(self.in_force, warnings=added)

    def failed(self, why: str) -> float:
        """Note that nothing could be found out; returns the seconds to wait before the next try."""
        self.failure = why
        pause_s = self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        return pause_s

    def told(self) -> tuple[str, ...]:
        """Say in whole sentences what an operator must know."""
        sentences = list(self.in_force.warnings)
        if self.refused is not None:
            sentences.append(told_of_refused(self.refused, self.in_force))
        if self.failure is not None:
            sentences.append(
                f"The policies folder has changed and could not be judged ({self.failure});"
                f" revision {self.in_force.revision} stays in force, and it is tried again."
            )
        return tuple(sentences)

    def _settled(self) -> None:
        self.failure = None
        self._pause_s = FIRST_PAUSE_S


def told_of_refused(refused: Refused, in_force: InForce) -> str:
    """Say what is refused and why, with file and line."""
    kept = "the last good policy of an earlier start" if in_force.is_last_good else "the policy"
    return (
        f"The policies folder is refused since {text_from_ns(refused.at_ns)}, and {kept}, revision"
        f" {in_force.revision}, decides: {told_of_problems(refused.problems)}"
    )


def told_of_problems(problems: Sequence[Problem]) -> str:
    """Say the first few problems in one line."""
    shown = [" ".join(str(problem).split()) for problem in problems[:_SHOWN]]
    more = len(problems) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])
