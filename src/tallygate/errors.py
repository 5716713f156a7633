"""
Every error that tallygate raises, as one tree. `code` is the metric label and the JSON field.

    TallygateError
    ├── SettingsInvalid            the environment says something we cannot use
    ├── PoliciesInvalid            files under policies/ that cannot be taken; carries problems
    │   └── RuleBookInvalid        a price list that cannot be trusted
    ├── RecordedInputsInvalid      a file of recorded calls that cannot be taken
    ├── RevisionUnreadable         the policies of a git revision cannot be had
    │   ├── RevisionUnknown        git knows no such revision
    │   └── RevisionWithoutPolicies  the folder is not in that commit
    ├── PoliciesUnsettled          files under policies/ that change while they are read
    ├── EngineError                the policy engine itself
    │   ├── PolicyNotCompiled      policy.wasm does not belong to the Rego beside it
    │   ├── BundleNotSigned        a bundle for an OPA server that opa could not sign
    │   └── EngineFailed           undefined, unreadable, too slow
    │       └── EngineSlow         over its deadline, which may be the host's doing
    ├── ActivationError            break-glass that cannot be activated or ended
    │   ├── OverrideUnknown        no entry has this id
    │   ├── RoleNotHeld            the caller does not hold the entry's role
    │   ├── AlreadyActive          it is active, and says until when
    │   ├── NotActive              there is nothing to end
    │   ├── ActivationInvalid      what was asked for breaks a rule; the message has all of them
    │   └── ActivationsUnusable    the folder of activations cannot be read or written
    ├── SpoolError
    │   ├── SpoolFull              there is no room for another opened attempt
    │   ├── SpoolUnusable          the folder cannot hold a spool
    │   │   └── DrainRunning       another drain reads this folder
    │   ├── RecordInvalid          an event that the spool's format cannot hold or read
    │   ├── SegmentCorrupt         a whole record whose checksum is wrong
    │   └── SegmentTorn            an incomplete record at the end of a writer that is gone
    ├── PricingError               the event stays unpriced; code says why
    │   ├── UsageMissing           the provider reported nothing
    │   ├── UsageUnreadable        what it reported contradicts itself
    │   ├── NoRuleBook             no book covers this provider at that time
    │   ├── NoModelRate            the book does not list the model
    │   ├── NoMeterRate            a meter was used that has no price
    │   └── UnknownAxis            a tier, context or residency that the book does not know
    └── LedgerError
        ├── LedgerUnavailable      locked, gone, not writable; try again
        └── LedgerSchemaMismatch   made by a newer tallygate

Errors that judge many things at once carry problems, which name file and line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a file, and how to mend it."""

    code: str
    message: str
    """What is wrong and what was expected."""
    remedy: str = ""
    file: str = ""
    line: int | None = None
    """1-based; None where the whole file is meant."""
    column: int | None = None
    where: str = ""
    """The place inside the document, for example `services.search.mode`."""
    severity: str = "error"
    """`error` stops the load, `warning` does not."""

    @override
    def __str__(self) -> str:
        place = ":".join(str(p) for p in (self.file, self.line, self.column) if p)
        head = f"{place}: " if place else ""
        inside = f"{self.where}: " if self.where else ""
        tail = f" {self.remedy}" if self.remedy else ""
        return f"{head}{inside}{self.message}{tail}"


class TallygateError(Exception):
    """The root; never raised itself."""

    code: ClassVar[str] = "tallygate_error"


class SettingsInvalid(TallygateError):
    """An environment variable or path that cannot be used; the message names it."""

    code = "settings_invalid"


class PoliciesInvalid(TallygateError):
    """Files under the policies folder that cannot be taken as they are."""

    code = "policies_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        assert problems, "an invalid policy set has at least one problem"
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RuleBookInvalid(PoliciesInvalid):
    """A rule book that does not parse, overlaps, leaves a gap, or fails its own examples."""

    code = "rule_book_invalid"


class RecordedInputsInvalid(TallygateError):
    """A file of recorded calls that cannot be taken; the message names file and line."""

    code = "recorded_inputs_invalid"


class PoliciesUnsettled(TallygateError):
    """The policies folder does not hold still long enough to be read as a whole; try again."""

    code = "policies_unsettled"


class RevisionUnreadable(TallygateError):
    """The policies of a git revision cannot be had: no repository, no git, no such folder in it."""

    code = "revision_unreadable"


class RevisionWithoutPolicies(RevisionUnreadable):
    """The commit is there and has no such folder: it is from before the folder was made."""

    code = "revision_without_policies"


class RevisionUnknown(RevisionUnreadable):
    """The name is no commit of this repository; the message has names that are close."""

    code = "revision_unknown"


class EngineError(TallygateError):
    """The policy engine could not be loaded or did not answer."""

    code = "engine_error"


class PolicyNotCompiled(EngineError):
    """policy.wasm is absent or was compiled from other Rego; `tallygate policy build` mends it."""

    code = "policy_not_compiled"


class BundleNotSigned(EngineError):
    """A bundle that was to be signed and is not; it was not written."""

    code = "bundle_not_signed"


class EngineFailed(EngineError):
    """The engine gave no answer: undefined, trapped, over its deadline or its memory."""

    code = "engine_failed"


class EngineSlow(EngineFailed):
    """The engine was over its deadline: a runaway policy, or a busy host. Ask again."""


class ActivationError(TallygateError):
    """Break-glass that cannot be activated or ended."""

    code = "activation_error"


class OverrideUnknown(ActivationError):
    """No break-glass entry of the policy in force has this id."""

    code = "override_unknown"


class RoleNotHeld(ActivationError):
    """Neither the caller's LiteLLM team nor its key holds the entry's role."""

    code = "role_not_held"


class AlreadyActive(ActivationError):
    """The entry is active; the message says until when."""

    code = "already_active"


class NotActive(ActivationError):
    """The entry is not active, so there is nothing to end."""

    code = "not_active"


class ActivationInvalid(ActivationError):
    """What was asked for breaks a rule; the message names every one."""

    code = "activation_invalid"


class ActivationsUnusable(ActivationError):
    """The folder of activations cannot be read or written; the message names it."""

    code = "activations_unusable"


class SpoolError(TallygateError):
    """The local spool."""

    code = "spool_error"


class SpoolFull(SpoolError):
    """The spool has reached its limit; opened attempts can still be settled."""

    code = "spool_full"


class SpoolUnusable(SpoolError):
    """The folder is not writable, or lies on a network file system; the message names it."""

    code = "spool_unusable"


class DrainRunning(SpoolUnusable):
    """Another drain holds this spool folder; it is the one that empties it."""

    code = "drain_running"


class RecordInvalid(SpoolError):
    """A spool record that cannot be written or read as an event; the message names the field."""

    code = "record_invalid"


class SegmentCorrupt(SpoolError):
    """A record in the middle of a segment whose checksum is wrong; names segment and offset."""

    code = "segment_corrupt"


class SegmentTorn(SpoolError):
    """A last record that its writer did not finish; names segment and offset."""

    code = "segment_torn"


class PricingError(TallygateError):
    """Why an event has no price. It is never priced 0 instead."""

    code = "pricing_error"


class UsageMissing(PricingError):
    """The provider reported no usage."""

    code = "usage_missing"


class UsageUnreadable(PricingError):
    """The reported counts are negative, not numbers, or contradict each other."""

    code = "usage_unreadable"


class NoRuleBook(PricingError):
    """No rule book covers this provider at that instant."""

    code = "no_rule_book"


class NoModelRate(PricingError):
    """The rule book in force does not list the model."""

    code = "no_model_rate"


class NoMeterRate(PricingError):
    """A meter was used for which the book has no price."""

    code = "no_meter_rate"


class UnknownAxis(PricingError):
    """A service tier, context length or other condition that the book does not know."""

    code = "unknown_axis"


class LedgerError(TallygateError):
    """The ledger store."""

    code = "ledger_error"


class LedgerUnavailable(LedgerError):
    """The store is locked, gone or not writable; the caller waits and tries again."""

    code = "ledger_unavailable"


class LedgerSchemaMismatch(LedgerError):
    """The store was made by a newer tallygate."""

    code = "ledger_schema_mismatch"
