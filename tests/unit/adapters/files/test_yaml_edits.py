from __future__ import annotations

import stat
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.files.strict_yaml import parse_yaml
from tallygate.adapters.files.yaml_edits import (
    Edit,
    Insert,
    Put,
    Remove,
    diff_of,
    edited,
    read_text,
    replace_file,
)
from tallygate.errors import PoliciesInvalid

REGISTRY: Final = starter_policies() / "registry" / "data.yaml"
STEP: Final = {"from": "2026-12-10T00:00:00Z", "mode": "enforce", "environment": "prod"}
OVERRIDE: Final = {
    "codes": ["ownership_missing"],
    "fields": ["workflow_id"],
    "starts_at": "2026-11-05T00:00:00Z",
    "reason": "Because: its # of workflows is not known.",
}


def changed_lines(before: str, after: str) -> list[str]:
    lines = diff_of(before, after, "x.yaml").splitlines()[2:]
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("edit", "lines"),
    [
        pytest.param(
            Put(("services", "knowledge-search", "modes", "prod"), "enforce"),
            [
                "-    modes: {default: report_only}",
                "+    modes: {default: report_only, prod: enforce}",
            ],
            id="a key between braces",
        ),
        pytest.param(
            Put(("services", "support-assistant", "modes", "prod"), "report_only"),
            [
                "-    modes: {default: report_only, prod: enforce}",
                "+    modes: {default: report_only, prod: report_only}",
            ],
            id="a value in place",
        ),
        pytest.param(
            Insert(("services", "knowledge-search", "schedule"), STEP, index=1),
            [
                '+      - {from: "2026-12-10T00:00:00Z", mode: enforce, environment: prod}',
            ],
            id="an item between two",
        ),
        pytest.param(
            Insert(("services", "knowledge-search", "schedule"), STEP, comment="Why\nat length."),
            [
                "+      # Why",
                "+      # at length.",
                '+      - {from: "2026-12-10T00:00:00Z", mode: enforce, environment: prod}',
            ],
            id="an item after the last, above the comment of what follows",
        ),
        pytest.param(
            Insert(("services", "support-assistant", "schedule"), STEP, after="modes"),
            [
                "+    schedule:",
                '+      - {from: "2026-12-10T00:00:00Z", mode: enforce, environment: prod}',
            ],
            id="a list that was not there, after the key named",
        ),
        pytest.param(
            Put(("services", "platform-gateway", "canary"), {"prod": 10}),
            ["+    canary: {prod: 10}"],
            id="a short mapping as its siblings are",
        ),
        pytest.param(
            Remove(("services", "knowledge-search", "schedule", 0)),
            [
                '-      - {from: "2026-12-01T00:00:00Z", mode: enforce, environment: prod, percent: 25}',  # noqa: E501 - as it stands in the file
            ],
            id="an item taken out",
        ),
        pytest.param(
            Remove(("services", "support-assistant", "modes", "default")),
            [
                "-    modes: {default: report_only, prod: enforce}",
                "+    modes: {prod: enforce}",
            ],
            id="the first key between braces",
        ),
        pytest.param(
            Remove(("services", "billing-bot")),
            [
                "-  billing-bot:",
                "-    owner_team: team-finance",
                "-    modes: {default: enforce}",
            ],
            id="a whole block, and no comment",
        ),
    ],
)
def test_only_the_lines_that_were_meant_change_in_the_shipped_registry(
    edit: Edit, lines: list[str]
) -> None:
    before = read_text(REGISTRY)

    after = edited(before, [edit], "registry")

    assert changed_lines(before, after) == lines


@pytest.mark.parametrize(
    ("before", "edits", "after"),
    [
        pytest.param(
            "# nobody yet\n", [Put(("a", "b"), {"c": 1})], "# nobody yet\na:\n  b: {c: 1}\n"
            , id="only comments",
        ),
        pytest.param("", [Put(("a",), "no")], 'a: "no"\n', id="nothing at all"),
        pytest.param("{}\n", [Put(("a",), [])], "a: []\n", id="an empty mapping"),
        pytest.param("a:\nb: 1\n", [Put(("a",), "x")], "a: x\nb: 1\n", id="a key without value"),
        pytest.param("a:  # c\n", [Put(("a", "b"), 1)], "a:  # c\n  b: 1\n", id="below such a key"),
        pytest.param("a: null\n", [Insert(("a",), "x")], "a: [x]\n", id="a null spelled out"),
        pytest.param("a: {}", [Put(("a", "b"), 1)], "a:\n  b: 1", id="no end of line"),
        pytest.param("a: {b: {}}\n", [Put(("a", "b", "c"), 1)], "a: {b: {c: 1}}\n", id="braces in"),
        pytest.param(
            "a:\r\n- x\r\n- z # e\r\n# end\r\n",
            [Insert(("a",), "w"), Remove(("a", 0)), Remove(("a", 0))],
            "a:\r\n- w\r\n# end\r\n",
            id="lines of Windows, dashes not set in",
        ),
        pytest.param("a:\n  - x\n\n# end\nb: 1\n", [Remove(("a", 0))], "a: []\n\n# end\nb: 1\n",
            id="the only item"),
        pytest.param("a: [x]  # c\n", [Remove(("a", 0))], "a: []  # c\n", id="in brackets"),
        pytest.param(
            "a: [v, x]\n",
            [Insert(("a",), "w", 0, comment="why"), Insert(("a",), "z")],
            "# why\na: [w, v, x, z]\n",
            id="at both ends of brackets",
        ),
        pytest.param(
            "a:\n    b:\n        t: |\n            hey\n\n        # of the next\n    c: 1\n",
            [Put(("a", "b", "m"), {"k": {"l": 1}})],
            "a:\n    b:\n        t: |\n            hey\n        m:\n            k: {l: 1}\n"
            "\n        # of the next\n    c: 1\n",
            id="after a block of text, set in by four",
        ),
        pytest.param(
            "a: {k: 1}\n\nb: {k: 2}\n# end\n",
            [Put(("c",), {"k": 3}, comment="new")],
            "a: {k: 1}\n\nb: {k: 2}\n\n# new\nc: {k: 3}\n# end\n",
            id="a blank line where the others have one",
        ),
        pytest.param("a: 'x'\n", [Put(("a",), "y")], "a: 'y'\n", id="the quotes that stood there"),
        pytest.param("a: x  # c\n", [Put(("a",), "2.0")], 'a: "2.0"  # c\n', id="quoted if needed"),
        pytest.param("é: ü\nb: 1\n", [Put(("b",), 2)], "é: ü\nb: 2\n", id="not only ASCII"),
    ],
)  # fmt: skip
def test_the_rest_of_a_file_stays_as_people_wrote_it(
    before: str, edits: list[Edit], after: str
) -> None:
    assert edited(before, edits, "x.yaml") == after


def test_a_long_entry_gets_lines_of_its_own() -> None:
    after = edited("a:\n  ovr-1: {codes: []}\n", [Put(("b", "ovr-2"), OVERRIDE)], "x.yaml")

    assert after == (
        "a:\n  ovr-1: {codes: []}\n"
        "b:\n  ovr-2:\n    codes: [ownership_missing]\n    fields: [workflow_id]\n"
        '    starts_at: "2026-11-05T00:00:00Z"\n'
        '    reason: "Because: its # of workflows is not known."\n'
    )


@pytest.mark.parametrize(
    ("text", "edit", "said"),
    [
        pytest.param("a: {b: 1}\n", Remove(("a", "c")), "nothing at this place", id="not there"),
        pytest.param("a: 1\n", Put(("a", "b"), 1), "", id="below a value"),
        pytest.param("a:\n  b: 1\n", Put(("a",), 1), "a block stands there", id="over a block"),
        pytest.param("a: 1\n", Put(("a",), 1.5), "a float cannot stand", id="a float"),
        pytest.param("a: 1\n", Insert(("a",), 1), "", id="into no list"),
        pytest.param("a: []\n", Put(("a", 3), 1), "", id="beyond a list"),
        pytest.param(
            "a:\n- b: 1\n  c: 2\n", Remove(("a", 0, "b")), "same line", id="beside a dash"
        ),
        pytest.param("a: [x, # why\n  z]\n", Remove(("a", 1)), "a comment", id="a comment between"),
        pytest.param("a: 1\n", Put((), {}), "no place", id="no path"),
        pytest.param("a: 1\n", Remove(("a",)), "", id="the last of a file"),
    ],
)
def test_what_cannot_be_done_cleanly_is_refused_with_file_and_line(
    text: str, edit: Edit, said: str
) -> None:
    with pytest.raises(PoliciesInvalid) as refused:
        edited(text, [edit], "x.yaml")

    (problem,) = refused.value.problems
    assert problem.code == "edit_refused"
    assert (problem.file, problem.line is not None) == ("x.yaml", True)
    assert said in problem.message
    assert "by hand" in problem.remedy


def test_a_file_that_readers_disagree_on_is_not_edited() -> None:
    with pytest.raises(PoliciesInvalid, match="twice"):
        edited("a: 1\na: 2\n", [Put(("b",), 1)], "x.yaml")


def test_a_file_is_replaced_whole_through_its_link_with_its_permissions(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_bytes(b"a: 1\r\n")
    real.chmod(0o640)
    link.symlink_to(real)

    replace_file(link, read_text(link).replace("1", "2"))

    assert link.is_symlink()
    assert real.read_bytes() == b"a: 2\r\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "real.yaml"]


def test_a_file_that_cannot_be_written_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, "a: 2\n")

    assert path.read_text() == "a: 1\n"
    assert [each.name for each in tmp_path.iterdir()] == ["a.yaml"]


NAMES: Final = st.sampled_from(["a", "b-1", "no", "k: v", "2026-12-01T00:00:00Z", "2.0", "é x"])
PLAIN: Final = st.one_of(NAMES, st.integers(-9, 999), st.booleans(), st.text(max_size=6))
VALUES: Final = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Make a file by edits, put comments wherever a line begins, and list them."""
    text = ""
    for key, value in draw(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)).items():
        text = edited(text, [Put((key,), value)], "x.yaml")
    lines, comments = [], []
    for number, line in enumerate(text.splitlines(keepends=True)):
        if draw(st.booleans()):
            indent = " " * draw(st.sampled_from([0, len(line) - len(line.lstrip())]))
            comments.append(f"{indent}# {number}\n")
            lines.append(comments[-1])
        lines.append(line)
    return "".join(lines), comments


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@settings(max_examples=150, deadline=None)
@given(files(), st.data())
def test_any_edit_does_just_what_was_meant_or_is_refused_and_keeps_every_comment(
    made: tuple[str, list[str]], data: st.DataObject
) -> None:
    text, comments = made
    value = parse_yaml(text, "x.yaml").value
    path = data.draw(st.sampled_from(places(value)))
    edit = data.draw(
        st.one_of(
            st.builds(lambda key, new: Put((*path, key), new), NAMES, VALUES),
            st.just(Put(path, "new")),
            st.builds(lambda new: Insert(path, new), VALUES),
            st.just(Remove(path)),
        )
    )

    try:
        after = edited(text, [edit], "x.yaml")
    except PoliciesInvalid as refused:
        codes = [problem.code for problem in refused.problems]
    else:
        codes = []
        kept = [line for line in after.splitlines(keepends=True) if line in comments]
        assert kept == comments or isinstance(edit, Remove)  # what went took its own along
    assert codes in ([], ["edit_refused"])
