"""What a look at a whole policies folder found, for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tallygate.errors import Problem


@dataclass(slots=True)
class FolderCheck:
    """What was found in a policies folder."""

    problems: list[Problem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """What was looked at, as `Problem.file` names it."""
    revision: str | None = None
    """None when the folder could not be read."""
    cases_run: int = 0
    untold: str | None = None
    """Why some of it could not be checked, though it must be."""
    unchecked: list[str] = field(default_factory=list)
    """What was left out, and why that is in order."""
    base: str | None = None
    """The commit that it was compared with."""

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def warnings(self) -> int:
        return len(self.problems) - self.errors

    def settle(self) -> None:
        """Put the problems in the order of the files, each once."""
        order = {file: number for number, file in enumerate(self.files)}
        self.problems = sorted(
            dict.fromkeys(self.problems),
            key=lambda problem: (
                order.get(problem.file, len(order)),
                problem.file,
                problem.line or 0,
                problem.column or 0,
            ),
        )
