"""
Activating break-glass, and ending it early: who may, for how long, and the event that says so.

Of an activation the event goes into the spool first: nothing is active of which the ledger would
not hear. Of an end it goes last: the ledger calls nothing ended that still is active. What is kept
on the machine is what the gate's workers read; it ends by itself, and nobody has to come back.

Errors  ActivationError: unknown entry, role not held, active already, or what is wrong with what
        was asked for, all of it at once. SpoolError when the event cannot be written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tallygate.application.ports import Activations, Clock, Spool
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.kernel.instants import NS_PER_SECOND, text_from_ns
from tallygate.domain.ledger.events import (
    ActivationFacts,
    CallFacts,
    DecisionFacts,
    Event,
    EventKind,
    Outcome,
    OwnershipFacts,
    SpoolRecord,
    Stage,
    Status,
)
from tallygate.domain.policy.break_glass import (
    NS_PER_HOUR,
    Activation,
    BreakGlass,
    BreakGlassEntry,
)
from tallygate.domain.policy.decision import Action, Mode
from tallygate.errors import (
    ActivationInvalid,
    ActivationsUnusable,
    AlreadyActive,
    NotActive,
    OverrideUnknown,
    RoleNotHeld,
    SpoolError,
)

REASON_CHARS: Final = 200
TICKET_CHARS: Final = 100
CALL_TYPE: Final = "activation"
COMMAND_LINE: Final = "cli"
"""Stands in the place of a route where somebody typed it on the machine."""
_HANDLE: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_NOT_ASKED: Final = "not_asked"
_ENDED_EARLY: Final = "ended early"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks for."""

    override_id: str
    reason: str
    ticket: str
    hours: int | None = None
    """None is as long as the entry allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks."""

    name: str
    """The key's hash; on the command line a role or a handle."""
    route: str
    principal: Principal | None = None
    """None on the command line: who can write to the folder needs no role to do so."""
    is_bound: bool = False
    """Whether the registry binds the principal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlassDesk:
    """Where activations are made and ended, over one policy."""

    break_glass: BreakGlass
    revision: str
    activations: Activations
    spool: Spool
    clock: Clock
    new_id: Callable[[], str]

    def activate(self, wish: Wish, caller: Caller) -> Activation:
        """Take what an entry allows, from this second on."""
        entry = self._entry_for(wish.override_id, caller)
        with self.activations.one_at_a_time():
            now_ns = self.clock.now_ns()  # of its turn: it may have waited for others
            activation = _allowed(wish, entry, caller, now_ns)
            active = self._active(entry.override_id, now_ns)
            if active is not None:
                raise AlreadyActive(
                    f"{entry.override_id} is active until {text_from_ns(active.until_ns)}. "
                    "Let it end, or end it and activate it again."
                )
            self._write(activation, caller, now_ns, ended=False)
            try:
                self.activations.keep(activation)
            except ActivationsUnusable:
                undone = _ended_at(activation, activation.from_ns, "could not be kept")
                self._write(undone, caller, now_ns, ended=True)
                raise
        return activation

    def end(self, override_id: str, reason: str | None, caller: Caller) -> Activation:
        """End an activation early; returns it as it ended."""
        self._entry_for(override_id, caller)
        faults = [*_faults_of_caller(caller)]
        if reason is not None:
            faults += _faults_of_text("reason", reason, REASON_CHARS)
        if faults:
            raise ActivationInvalid(" ".join(faults))
        with self.activations.one_at_a_time():
            now_ns = self.clock.now_ns()
            active = self._active(override_id, now_ns)
            if active is None:
                raise NotActive(f"{override_id} is not active, so there is nothing to end.")
            ended = _ended_at(active, now_ns, (reason or _ENDED_EARLY).strip())
            self.activations.let_go(override_id)
            try:
                self._write(ended, caller, now_ns, ended=True)
            except SpoolError:
                self.activations.keep(active)
                raise
        return ended

    def _entry_for(self, override_id: str, caller: Caller) -> BreakGlassEntry:
        entry = self.break_glass.entries.get(override_id)
        if entry is None:
            close = self.break_glass.ids_like(override_id, caller.principal)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise OverrideUnknown(f"there is no break-glass entry of this id.{hint}")
        principal = caller.principal
        if principal is not None and not self.break_glass.holds(entry.role, principal):
            raise RoleNotHeld(
                f"{override_id} may be activated and ended by who holds the role {entry.role}. "
                "Neither the team nor the key that you call with does: roles/data.yaml lists "
                "holders, and a pull request adds one."
            )
        return entry

    def _active(self, override_id: str, now_ns: int) -> Activation | None:
        for kept in self.activations.read():
            is_it = kept.override_id == override_id and kept.is_on(now_ns)
            if is_it and self.break_glass.honours(kept):
                return kept
        return None

    def _write(self, activation: Activation, caller: Caller, now_ns: int, *, ended: bool) -> None:
        principal = caller.principal or Principal()
        event = Event(
            event_id=self.new_id(),
            kind=EventKind.ACTIVATION,
            call=CallFacts(
                call_id=self.new_id(),
                trace_id=self.new_id().replace("-", ""),
                trace_source="minted",
                started_at_ns=now_ns,
                route=caller.route,
                call_type=CALL_TYPE,
                principal_team=principal.team,
                principal_key_hash=principal.key_hash,
                principal_org=principal.org,
                principal_bound=caller.is_bound,
            ),
            ownership=OwnershipFacts(),
            decision=DecisionFacts(
                decision_id=self.new_id(),
                status=_NOT_ASKED,
                action=Action.ADMIT.value,
                would_action=Action.ADMIT.value,
                mode=Mode.ENFORCE.value,
                mode_source="break_glass",
                policy_revision=self.revision,
            ),
            writer_id=self.spool.writer_id,
            outcome=Outcome(status=Status.OK, settled_at_ns=now_ns),
            activation=ActivationFacts(
                override_id=activation.override_id,
                role=activation.role,
                activated_by=activation.activated_by if not ended else caller.name,
                reason=activation.reason,
                ticket=activation.ticket,
                from_ns=activation.from_ns,
                until_ns=activation.until_ns,
                ended=ended,
            ),
        )
        self.spool.append(SpoolRecord(Stage.SETTLED, event))


def _allowed(wish: Wish, entry: BreakGlassEntry, caller: Caller, now_ns: int) -> Activation:
    if faults := [*_faults_of_caller(caller), *_faults_of(wish, entry, now_ns)]:
        raise ActivationInvalid(" ".join(faults))
    from_ns = now_ns - now_ns % NS_PER_SECOND
    hours = entry.max_hours if wish.hours is None else wish.hours
    return Activation(
        override_id=entry.override_id,
        role=entry.role,
        activated_by=caller.name,
        reason=wish.reason.strip(),
        ticket=wish.ticket.strip(),
        from_ns=from_ns,
        until_ns=min(from_ns + hours * NS_PER_HOUR, entry.longest_until_ns(from_ns)),
    )


def _ended_at(activation: Activation, now_ns: int, reason: str) -> Activation:
    return Activation(
        override_id=activation.override_id,
        role=activation.role,
        activated_by=activation.activated_by,
        reason=reason,
        ticket=activation.ticket,
        from_ns=activation.from_ns,
        until_ns=now_ns,
    )


def _faults_of(wish: Wish, entry: BreakGlassEntry, now_ns: int) -> Iterator[str]:
    yield from _faults_of_text("reason", wish.reason, REASON_CHARS)
    yield from _faults_of_text("ticket", wish.ticket, TICKET_CHARS)
    if wish.hours is not None and not 1 <= wish.hours <= entry.max_hours:
        yield f"hours: {wish.hours} is not from 1 to {entry.max_hours}, which the entry allows."
    if entry.expires_at_ns <= now_ns:
        yield (
            f"{entry.override_id} expired at {text_from_ns(entry.expires_at_ns)}; "
            "a pull request approves it anew."
        )
    if entry.is_self_approved:
        yield f"{entry.override_id} was approved by who requested it, so it excuses nothing."


def _faults_of_text(name: str, text: str, most: int) -> Iterator[str]:
    if not text.strip():
        yield f"{name}: expected a sentence." if name == "reason" else f"{name}: expected an id."
    if len(text) > most:
        yield f"{name}: {len(text)} characters, at most {most}."
    if any(unicodedata.category(character)[0] == "C" for character in text):
        yield f"{name}: control characters and line breaks are not accepted."


def _faults_of_caller(caller: Caller) -> Iterator[str]:
    if caller.principal is None and (len(caller.name) > 64 or not _HANDLE.fullmatch(caller.name)):
        yield (
            "by: expected a role or a handle in lower case, such as incident-commander; "
            "no e-mail address and no name with spaces."
        )
