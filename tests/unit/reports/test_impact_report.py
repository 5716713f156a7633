from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from fakes.engines import FakeEngine
from fakes.entries import NOON_NS, SECOND_NS
from tallygate.application.impact_findings import (
    Change,
    DateAhead,
    DateOrigin,
    Impact,
    Tally,
    Window,
)
from tallygate.application.replay import PolicyAt
from tallygate.domain.attribution.contract import contract_from_data, registry_from_data
from tallygate.domain.policy.change import Decided, Kind
from tallygate.domain.policy.decision import Action, Mode
from tallygate.errors import Problem
from tallygate.reports.impact import (
    ImpactReport,
    headline,
    impact_document,
    money_text,
    notes,
    reasons_of,
    share_text,
)
from tallygate.reports.impact_markdown import MARK, MOST_CHARS, code, impact_markdown, prose
from tallygate.reports.impact_text import impact_text

DAY_NS = 86_400 * SECOND_NS
MISSING = (("ownership_missing", "feature"), ("ownership_missing", "workflow_id"))
OWNED = Decided(Action.ADMIT, Action.ADMIT, Mode.ENFORCE, "team-a", "CC-1", "bu", (), ())
REPORTED = replace(OWNED, would_action=Action.REJECT, mode=Mode.REPORT_ONLY, violations=MISSING)
REFUSED = replace(REPORTED, action=Action.REJECT, mode=Mode.ENFORCE)
HOSTILE = "evil|`svc` @octocat #1 <img src=x>\n\u202e[a](https://e.vil) *b* _c_ ~d~ $x$"


def a_change(kind: Kind = Kind.REFUSED, **changes: Any) -> Change:
    facts: dict[str, Any] = {
        "kind": kind,
        "service": "search",
        "environment": "prod",
        "before": REPORTED,
        "after": REFUSED,
        "tally": Tally(calls=412, cost=Decimal("318.204567")),
        "of_service": 1000,
        "samples": ("dec-1", "dec-2"),
    }
    return Change(**facts | changes)


def a_date(**changes: Any) -> DateAhead:
    facts: dict[str, Any] = {
        "at": "2026-12-01T00:00:00Z",
        "kind": Kind.REFUSED,
        "origin": DateOrigin.NEW,
        "tally": Tally(calls=4120, cost=Decimal(99)),
        "services": {"search": Tally(calls=4120)},
        "workflows": 2,
        "samples": ("dec-9",),
    }
    return DateAhead(**facts | changes)


def a_policy(name: str, commit: str | None = None) -> PolicyAt:
    return PolicyAt(
        name=name,
        commit=commit,
        engine=FakeEngine(revision=f"sha256:{name}"),
        contract=contract_from_data({"fields": {}}),
        registry=registry_from_data({}),
        data={},
        documents={},
    )


def a_report(*found: Change, commits_missing: int = 0, **impact: Any) -> ImpactReport:
    caveats = impact.pop("caveats", ())
    facts: dict[str, Any] = {
        "changes": list(found),
        "replayed": Tally(calls=51_203, cost=Decimal("1234.5"), unpriced=4),
        "inputs": 213,
    }
    return ImpactReport(
        base=a_policy("main", "3f2a1b9c0d1e" + 28 * "0"),
        head=a_policy("worktree"),
        window=Window(
            since_ns=NOON_NS - 30 * DAY_NS, until_ns=NOON_NS, now_ns=NOON_NS, at_ns=NOON_NS
        ),
        impact=Impact(**facts | impact),
        caveats=caveats,
        commits_missing=commits_missing,
    )


def as_text(report: ImpactReport, width: int = 160) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(impact_text(report, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_headline_says_first_what_is_newly_refused() -> None:
    both = a_report(a_change(), a_change(Kind.ADMITTED, before=REFUSED, after=OWNED))

    assert headline(both) == (
        "412 of 51,203 replayed calls would newly be refused, in 1 service: $318.20."
    )
    assert headline(a_report(a_change(Kind.MODE))) == (
        "No call would newly be refused; 412 of 51,203 replayed calls would be decided differently."
    )
    assert headline(a_report()) == "No call of 51,203 replayed calls would be decided differently."


def test_the_headline_does_not_hide_what_a_date_will_refuse() -> None:
    later = {"2026-12-01T00:00:00Z": Tally(calls=4120, cost=Decimal(99))}

    assert headline(a_report(later=later)) == (
        "No call of 51,203 replayed calls would be decided differently."
        " From 2026-12-01T00:00:00Z on, 4,120 will be refused by dates that this change brings:"
        " $99.00."
    )
    assert "4,120 more will be refused" in headline(a_report(a_change(), later=later))


def test_what_stands_for_no_call_is_not_told() -> None:
    cost_alone = Tally(cost=Decimal(5))
    report = a_report(
        later={"2026-12-15T00:00:00Z": cost_alone},
        not_replayed={"legacy": Tally(calls=2), "batches": cost_alone},
    )

    assert headline(report) == "No call of 51,203 replayed calls would be decided differently."
    assert notes(report)[0].endswith("is not known: legacy 2.")
    assert impact_markdown(report).splitlines()[1].startswith("### Policy impact: ✅ ")


def test_a_date_is_named_by_the_first_that_calls_meet() -> None:
    later = {
        "2026-12-01T00:00:00Z": Tally(cost=Decimal(5)),
        "2026-12-15T00:00:00Z": Tally(calls=3, cost=Decimal(1)),
    }

    assert "From 2026-12-15T00:00:00Z on, 3 will be refused" in headline(a_report(later=later))


def test_where_nothing_was_replayed_the_headline_says_why() -> None:
    old = a_report(replayed=Tally(), not_replayed={"search": Tally(calls=7)})

    assert headline(a_report(replayed=Tally())) == (
        "Could not tell: no call was recorded in this time."
    )
    assert headline(old) == (
        "Could not tell: none of 7 recorded calls can be replayed, because what they were decided"
        " from was not recorded."
    )


def test_notes_say_what_limits_the_answer() -> None:
    report = a_report(
        commits_missing=2,
        not_replayed={"legacy": Tally(calls=1000), None: Tally(calls=1)},
        undecided=Tally(calls=3),
        unlike_record=Tally(calls=1),
    )

    missing, undecided, behind, unlike = notes(report)

    assert missing.startswith("1,001 calls (1.9 %) could not be replayed")
    assert missing.endswith("legacy 1,000, no registered service 1.")
    assert undecided.startswith("3 calls could not be compared")
    assert behind.startswith("base has 2 commits that head has not")
    assert unlike.startswith("The record of 1 call differs")


def test_the_same_policies_twice_are_said_to_be_the_same() -> None:
    report = a_report()
    same = replace(report, head=replace(report.base, name="worktree"))

    assert notes(same) == ["Base and head are the same policies: nothing that decides differs."]


@pytest.mark.parametrize(
    ("tally", "text"),
    [
        (Tally(calls=1, cost=Decimal("1234.565")), "$1,234.56"),
        (Tally(calls=1, cost=Decimal("0.0001")), "under $0.01"),
        (Tally(calls=1), "$0.00"),
        (Tally(calls=3, cost=Decimal(2), unpriced=1, refused=2),
         "$2.00 (1 unpriced, 2 refused when recorded)"),
        (Tally(calls=2, refused=2), "cost unknown (refused when recorded)"),
        (Tally(calls=2, unpriced=3), "cost unknown (3 unpriced)"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_never_a_sum_of_zero(tally: Tally, text: str) -> None:
    assert money_text(tally) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "-"),
        (5, 5, "100 %"),
        (1, 3, "33.3 %"),
        (1, 10**6, "under 0.1 %"),
        (999_999, 10**6, "99.9 %"),
    ],
)
def test_a_share_is_not_rounded_to_none_or_all(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (a_change(),
         [("ownership_missing", "feature, workflow_id"), ("mode", "report_only → enforce")]),
        (a_change(Kind.ADMITTED, before=REFUSED, after=replace(OWNED, mode=Mode.ENFORCE)),
         [("ownership_missing", "feature, workflow_id")]),
        (a_change(Kind.UNANSWERED, after=None), [("", "the policy gives no answer")]),
        (a_change(Kind.OTHER_PAYER, before=OWNED, after=replace(OWNED, team=None)),
         [("", "team-a → unattributed")]),
        (a_change(Kind.OTHER_COST_CENTER, before=OWNED, after=replace(OWNED, cost_center=None)),
         [("", "CC-1 (bu) → none (bu)")]),
        (a_change(Kind.MODE, before=replace(OWNED, mode=Mode.REPORT_ONLY), after=OWNED),
         [("", "report_only → enforce")]),
        (a_change(Kind.OTHER_REASONS, before=REFUSED, after=replace(
            REFUSED, violations=(("ownership_retired", "feature"), MISSING[1]),
            waived=((*MISSING[0], "ovr-1"),))),
         [("now ownership_retired", "feature"), ("no more ownership_missing", "feature"),
          ("excused by", "ovr-1")]),
        (a_change(Kind.OTHER_REASONS, before=replace(OWNED, waived=((*MISSING[0], "ovr-1"),)),
                  after=replace(OWNED, would_action=Action.QUARANTINE)),
         [("not excused by", "ovr-1"), ("enforce", "admit → quarantine")]),
    ],
)  # fmt: skip
def test_every_kind_says_why(change: Change, reasons: list[tuple[str, str]]) -> None:
    assert reasons_of(change) == reasons


def test_the_document_holds_exact_money_and_every_row() -> None:
    report = a_report(
        a_change(),
        dates=[a_date()],
        later={"2026-12-01T00:00:00Z": Tally(calls=4120)},
        not_replayed={None: Tally(calls=1)},
        caveats=(Problem(code="field_added", message="new", file="a.yaml", line=4),),
    )

    document = orjson.loads(orjson.dumps(impact_document(report)))

    assert document["version"] == 1
    assert document["base"] == {
        "name": "main",
        "commit": "3f2a1b9c0d1e" + 28 * "0",
        "policy_revision": "sha256:main",
    }
    assert document["totals"]["newly_refused"]["cost_usd"] == "318.204567"
    assert document["totals"]["mode_only"]["calls"] == 0
    (change,) = document["changes"]
    assert change["kind"] == "newly_refused"
    assert change["violations"] == [{"code": code, "field": name} for code, name in MISSING]
    assert (change["before"]["action"], change["after"]["action"]) == ("admit", "reject")
    assert change["sample_decision_ids"] == ["dec-1", "dec-2"]
    assert document["refused_later"][0]["calls"] == 4120
    assert document["dates_ahead"][0]["origin"] == "new"
    assert document["caveats"] == [
        {"code": "field_added", "message": "new", "file": "a.yaml", "line": 4}
    ]


def test_the_text_fits_a_narrow_terminal_and_shows_control_characters_as_none() -> None:
    report = a_report(a_change(service="a\x1b[31mred\u202ename"), dates=[a_date()])

    narrow, wide = as_text(report, 90), as_text(report)

    assert "\x1b[31m" not in wide
    assert "\u202e" not in wide
    assert "dec-1" in wide
    assert "for example" not in narrow
    assert max(map(len, narrow.splitlines())) <= 90
    assert narrow.index("Newly refused") < narrow.index("Dates ahead")


def test_a_long_table_says_what_it_left_out() -> None:
    many = [a_change(service=f"service-{n}", tally=Tally(calls=2)) for n in range(25)]

    assert "and 5 more rows with 10 calls; see --format json" in as_text(a_report(*many))


def test_the_comment_begins_with_its_mark_and_one_sentence() -> None:
    lines = impact_markdown(a_report(a_change())).splitlines()

    assert lines[0] == MARK
    assert lines[1].startswith("### Policy impact: 🛑 412 of 51,203 replayed calls would newly")
    assert "|`search`|`prod`|`team-a`|" in "\n".join(lines)


@pytest.mark.parametrize(
    ("report", "sign"),
    [
        (a_report(), "✅"),
        (a_report(later={"2026-12-01T00:00:00Z": Tally(calls=1)}), "🛑"),
        (a_report(replayed=Tally()), "❔"),
    ],
)
def test_the_comment_shows_at_a_glance_how_it_is(report: ImpactReport, sign: str) -> None:
    assert impact_markdown(report).splitlines()[1].startswith(f"### Policy impact: {sign} ")


def test_what_is_not_about_refusals_is_folded() -> None:
    text = impact_markdown(
        a_report(a_change(), a_change(Kind.MODE, before=REPORTED, after=REPORTED))
    )

    assert "**Newly refused: 412 calls**" in text
    assert "<details><summary>Mode only: 412 calls</summary>" in text
    assert text.count("<details>") == text.count("</details>") == 1


def test_no_name_of_a_pull_request_can_act_in_the_comment() -> None:
    report = a_report(
        a_change(
            service=HOSTILE,
            environment=HOSTILE,
            after=replace(REFUSED, team=HOSTILE, violations=((HOSTILE, HOSTILE),)),
            samples=(HOSTILE,),
        ),
        dates=[a_date(services={HOSTILE: Tally(calls=1)})],
        not_replayed={HOSTILE: Tally(calls=1)},
        caveats=(Problem(code="c", message=HOSTILE, file=HOSTILE, line=1),),
    )
    hostile = replace(report, head=a_policy(HOSTILE))

    text = impact_markdown(hostile)

    tokens = list(everything_in(MarkdownIt("commonmark").enable("table").parse(text)))
    kinds = {token.type for token in tokens}
    assert kinds.isdisjoint({"link_open", "image", "em_open", "s_open", "fence", "code_block"})
    html = {token.content.strip() for token in tokens if token.type == "html_inline"}
    assert html <= {"<code>", "</code>", "<br>", "<sub>", "</sub>"}
    cells = [len(row) for row in rows_of(tokens)]
    assert set(cells) == {8, 5}
    assert "@octocat" not in text
    assert "\u202e" not in text
    assert "$x$" not in text


def everything_in(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from everything_in(token.children or ())


def rows_of(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    row: list[Token] = []
    for token in tokens:
        if token.type in ("td_open", "th_open"):
            row.append(token)
        elif token.type == "tr_close":
            yield row
            row = []


def test_plain_names_are_left_readable() -> None:
    assert code("knowledge-search") == "`knowledge-search`"
    assert code("a`b") == "<code>a&#96;b</code>"
    assert len(code("x" * 1000)) < 200
    assert prose("one of two (3)") == "one of two (3)"


def test_a_comment_is_never_too_long_and_says_what_it_left_out() -> None:
    many = [
        a_change(kind, service=f"service-{'x' * 120}-{n}", tally=Tally(calls=2))
        for kind in (Kind.REFUSED, Kind.WOULD_BE_REFUSED, Kind.ADMITTED)
        for n in range(400)
    ]
    dates = [a_date(at=f"20{n:02}-12-01T00:00:00Z") for n in range(30, 99)]
    caveats = tuple(Problem(code="c", message="m" * 200, file="f", line=n) for n in range(300))

    text = impact_markdown(a_report(*many, dates=dates, caveats=caveats))

    assert len(text) <= MOST_CHARS
    assert "more rows with" in text
    assert "more dates" in text
    assert text.count("<details>") == text.count("</details>")
    assert text.rstrip().endswith("</sub>")
