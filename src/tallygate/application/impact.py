"""
What a change of the policies does to the calls that the ledger recorded.

    recorded calls -> by input -> decided under base -> compared -> by service, team, reason
                                  decided under head

Shapes  Every call is counted under one kind of change, the first that fits, so that calls and
        dollars of all changes add up. Usage and corrections of calls from before the window are in
        the cost of what was replayed, as the ledger sums it, and in no change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from tallygate.application.impact_comparison import Comparison
from tallygate.application.impact_findings import (
    SAMPLES,
    Batch,
    Findings,
    Group,
    Impact,
    Tally,
    Window,
)
from tallygate.application.replay import CallShares, PolicyAt, cuts_between
from tallygate.application.replay_ports import DecisionLines, RecordedCalls
from tallygate.domain.kernel.money import exact_arithmetic
from tallygate.domain.policy.decision import Action

BATCH_INPUTS: Final = 64

Compare = Callable[[Sequence[Batch]], Iterable[Findings]]
"""Compares batches, wherever: returns what was found in each, in their order."""


def find_impact(
    lines: DecisionLines,
    base: PolicyAt,
    head: PolicyAt,
    window: Window,
    tell: Callable[[int, int | None], None] = lambda _done, _all: None,
    compare: Compare | None = None,
) -> Impact:
    """
    Replay the window under both revisions; `tell` hears how many inputs of how many are done.

    `compare` may do the work elsewhere, with a `Comparison` of the same policies and window.
    """
    shares = CallShares.of((base, head))
    calls = lines.recorded_calls(
        window.since_ns,
        window.until_ns,
        by_call_bucket=bool(shares),
        cuts_ns=cuts_between((base, head), window.since_ns, window.until_ns),
    )
    found, not_replayed = Findings(), dict[str | None, Tally]()
    with exact_arithmetic():
        by_input = _by_input(calls, shares, not_replayed, tell)
        known = dict(lines.decision_inputs(by_input)) if by_input else {}
        for digest in by_input.keys() - known.keys():
            for group in by_input.pop(digest):
                _add(not_replayed, group.service, group.tally)
        _take_costs_without_calls(by_input, found.by_service)
        batches = list(_batches(by_input, known))
        tell(0, len(by_input))
        for part in (compare or _compare_here(base, head, window))(batches):
            found.add(part)
            tell(found.inputs, len(by_input))
        return found.impact(not_replayed)


def _compare_here(base: PolicyAt, head: PolicyAt, window: Window) -> Compare:
    comparison = Comparison(base, head, window)
    return lambda batches: map(comparison.compare, batches)


def _by_input(
    found: Iterable[RecordedCalls],
    shares: CallShares,
    not_replayed: dict[str | None, Tally],
    tell: Callable[[int, int | None], None],
) -> dict[str, list[Group]]:
    groups: dict[tuple[object, ...], Group] = {}
    for calls in found:
        tell(0, None)
        if calls.input_digest is None:
            _add(not_replayed, calls.service, _tally_of(calls))
            continue
        made = Group(
            calls.input_digest,
            shares.like(calls.call_bucket),
            calls.span,
            calls.service,
            calls.environment,
            (calls.action, calls.would_action, calls.mode),
        )
        key = (made.digest, made.call_bucket, made.span, made.service, made.environment)
        group = groups.setdefault((*key, made.recorded), made)
        group.tally.add(_tally_of(calls))
        group.samples.extend(calls.samples[: SAMPLES - len(group.samples)])
    by_input: dict[str, list[Group]] = {}
    for group in groups.values():
        by_input.setdefault(group.digest, []).append(group)
    return by_input


def _batches(
    by_input: Mapping[str, Sequence[Group]], known: Mapping[str, Mapping[str, Any]]
) -> Iterator[Batch]:
    left = iter(by_input.items())
    while some := list(islice(left, BATCH_INPUTS)):
        yield tuple((known[digest], tuple(groups)) for digest, groups in some)


def _take_costs_without_calls(
    by_input: dict[str, list[Group]], costs: dict[str | None, Tally]
) -> None:
    """Take out what calls from before the window cost in it; there is nothing to decide."""
    for digest, groups in list(by_input.items()):
        for group in groups:
            if not group.tally.calls:
                _add(costs, group.service, group.tally)
        if made := [group for group in groups if group.tally.calls]:
            by_input[digest] = made
        else:
            del by_input[digest]


def _add(tallies: dict[str | None, Tally], service: str | None, tally: Tally) -> None:
    tallies.setdefault(service, Tally()).add(tally)


def _tally_of(calls: RecordedCalls) -> Tally:
    refused = calls.calls if calls.action == Action.REJECT else 0
    return Tally(calls.calls, calls.cost, calls.unpriced, refused)
