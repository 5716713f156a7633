"""What is known of a change of the policies when check, tests and impact have been asked."""

from __future__ import annotations

from dataclasses import dataclass, field

from tallygate.application.folder_check import FolderCheck
from tallygate.application.policy_tests import PolicyTests


@dataclass(slots=True)
class PullRequestReview:
    """The parts of a review, and what each of them comes to."""

    check: FolderCheck
    tests: PolicyTests
    impact_untold: str | None = None
    """Why the impact that was asked for could not be told."""
    findings: list[str] = field(default_factory=list)

    @property
    def untold(self) -> list[str]:
        """Everything that was asked and has no answer."""
        parts = [self.check.untold, *self.tests.not_run, self.impact_untold]
        return [part for part in parts if part]


def review_of(check: FolderCheck, tests: PolicyTests, fail_on: str) -> PullRequestReview:
    """Name what is a finding; `fail_on` is the severity from which a problem is one."""
    review = PullRequestReview(check, tests)
    if check.errors or (fail_on == "warning" and check.problems):
        review.findings.append("the check")
    if tests.is_finding:
        review.findings.append("the tests")
    return review
