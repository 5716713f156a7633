from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fakes.policy_folders import real_opa
from tallygate.adapters.files.strict_yaml import Document, parse_yaml, read_yaml
from tallygate.errors import PoliciesInvalid, Problem

AMBIGUOUS = [
    pytest.param("no", id="no is false to one reader"),
    pytest.param("No", id="no in capitals"),
    pytest.param("on", id="on is true to one reader"),
    pytest.param("yes", id="yes is true to one reader"),
    pytest.param("off", id="off is false to one reader"),
    pytest.param("y", id="y"),
    pytest.param("TRUE", id="true in capitals"),
    pytest.param("Null", id="null in capitals"),
    pytest.param("~", id="a tilde is null"),
    pytest.param("010", id="a leading zero is octal to one reader"),
    pytest.param("08", id="a leading zero that is no octal number"),
    pytest.param("0o17", id="octal as YAML 1.2 writes it"),
    pytest.param("0x1F", id="hexadecimal"),
    pytest.param("0b101", id="binary"),
    pytest.param("1e3", id="an exponent"),
    pytest.param("1.5", id="a fraction"),
    pytest.param(".5", id="a fraction without its zero"),
    pytest.param("+1", id="a plus sign"),
    pytest.param("-0", id="minus nothing"),
    pytest.param("1_000_000", id="underscores"),
    pytest.param("-_1", id="an underscore after the sign"),
    pytest.param("0_x1F", id="an underscore in the prefix"),
    pytest.param("1e_3", id="an underscore in the exponent"),
    pytest.param("1234567890123456", id="more digits than a float holds"),
    pytest.param("12:30:45", id="a time is 45045 to one reader"),
    pytest.param("12:30", id="a short time"),
    pytest.param("2026-11-21", id="a bare date"),
    pytest.param("2026-11-21T10:00:00Z", id="a bare instant"),
    pytest.param("2026-1-1", id="a bare short date"),
    pytest.param(".inf", id="infinity"),
    pytest.param("-.Inf", id="minus infinity"),
    pytest.param(".NaN", id="not a number"),
    pytest.param("=", id="the value sign"),
]


def problems_of(text: str) -> Sequence[Problem]:
    with pytest.raises(PoliciesInvalid) as caught:
        parse_yaml(text, "policies/registry/data.yaml")
    return caught.value.problems


def value_of(text: str) -> Any:
    return parse_yaml(text, "f.yaml").value


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_plain_value_that_readers_disagree_on_is_refused_where_it_stands(text: str) -> None:
    (problem,) = problems_of(f"# first line\nservices:\n  - good\n  - {text}\n")

    assert (problem.file, problem.line, problem.column) == ("policies/registry/data.yaml", 4, 5)
    assert problem.where == "services.1"
    assert problem.code == "yaml_ambiguous"
    assert problem.remedy.startswith(f'Quote it: "{text}".')


@pytest.mark.parametrize("text", AMBIGUOUS)
@pytest.mark.parametrize("quote", ['"', "'"])
def test_the_same_value_in_quotes_is_text(text: str, quote: str) -> None:
    assert value_of(f"value: {quote}{text}{quote}\n") == {"value": text}


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_key_that_readers_disagree_on_is_refused_and_in_quotes_it_is_text(text: str) -> None:
    (problem,) = problems_of(f"first: 1\n? {text}\n: 2\n")

    assert (problem.line, problem.column) == (2, 3)
    assert problem.remedy.startswith(f'Quote it: "{text}".')
    assert value_of(f'"{text}": 2\n') == {text: 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("true", True, id="true"),
        pytest.param("false", False, id="false"),
        pytest.param("null", None, id="null"),
        pytest.param("", None, id="nothing"),
        pytest.param('""', "", id="empty text"),
        pytest.param("0", 0, id="nought"),
        pytest.param("-17", -17, id="a negative number"),
        pytest.param("123456789012345", 123456789012345, id="as many digits as a float holds"),
        pytest.param("team-support", "team-support", id="a word"),
        pytest.param("hk1_0123", "hk1_0123", id="a word with digits and underscores"),
        pytest.param("openai-pricing-2026-05-31", "openai-pricing-2026-05-31", id="a name"),
        pytest.param("gpt-5.4", "gpt-5.4", id="a model"),
        pytest.param("2026-11-21-notes", "2026-11-21-notes", id="a word that begins as a date"),
        pytest.param("1.2.3", "1.2.3", id="a version"),
        pytest.param("yes sir", "yes sir", id="a sentence that begins with a trap"),
        pytest.param("[a, 1, true]", ["a", 1, True], id="a list"),
        pytest.param("{a: {b: 1}}", {"a": {"b": 1}}, id="a mapping"),
        pytest.param("!!str word", "word", id="a tag that changes nothing"),
    ],
)
def test_what_every_reader_takes_alike_is_taken(text: str, value: object) -> None:
    assert value_of(f"value: {text}\n") == {"value": value}


def test_text_over_several_lines_is_text() -> None:
    assert value_of("value: |\n  no\n  10\n") == {"value": "no\n10\n"}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_null(text: str) -> None:
    assert value_of(text) is None


def test_a_key_that_stands_twice_is_refused_at_its_second_place() -> None:
    (problem,) = problems_of("teams:\n  team-a: 1\n  team-b: 2\n  team-a: 3\n")

    assert problem.line == 4
    assert problem.where == "teams.team-a"
    assert "stands twice" in problem.message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("? [a]\n: 1\n", 1, id="a list as a key"),
        pytest.param("a: 1\n? {b: c}\n: 1\n", 2, id="a mapping as a key"),
    ],
)
def test_a_key_that_json_cannot_hold_is_refused(text: str, line: int) -> None:
    (problem,) = problems_of(text)

    assert problem.line == line
    assert "plain text" in problem.message


def test_an_alias_is_refused_where_it_is_used() -> None:
    (problem,) = problems_of("one: &a [x]\ntwo: *a\n")

    assert (problem.where, problem.code) == ("two", "yaml_ambiguous")
    assert "write the value out" in problem.message


def test_a_merge_is_refused() -> None:
    found = problems_of("one: &a {x: 1}\ntwo:\n  <<: *a\n")

    assert {problem.line for problem in found} >= {3}


def test_a_billion_laughs_are_refused_before_anybody_laughs() -> None:
    lines = ["a0: &a0 [lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]

    found = problems_of("\n".join(lines))

    assert [problem.line for problem in found] == list(range(1, 30))


@pytest.mark.parametrize(
    ("opening", "inner", "closing"),
    [
        pytest.param("[", "", "]", id="lists"),
        pytest.param("{a: ", "1", "}", id="mappings"),
        pytest.param("- ", "x", "", id="lists by indentation"),
    ],
)
@pytest.mark.parametrize("depth", [600, 5000])
def test_what_is_nested_too_deeply_is_refused(
    opening: str, inner: str, closing: str, depth: int
) -> None:
    (problem,) = problems_of(opening * depth + inner + closing * depth)

    assert "nested too deeply" in problem.message


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        pytest.param("!!str 12", "tag:yaml.org,2002:str", id="a number called text"),
        pytest.param('!!int "12"', "tag:yaml.org,2002:int", id="text called a number"),
        pytest.param("!!binary aGVsbG8=", "tag:yaml.org,2002:binary", id="bytes"),
        pytest.param("!!float 1", "tag:yaml.org,2002:float", id="a whole number called a fraction"),
        pytest.param("!secret word", "!secret", id="a tag of somebody's own"),
        pytest.param("!secret [a]", "!secret", id="a tag on a list"),
        pytest.param("!!set {a, b}", "tag:yaml.org,2002:set", id="a set"),
        pytest.param(
            "!!python/object/apply:os.system [ls]",
            "tag:yaml.org,2002:python/object/apply:os.system",
            id="a call",
        ),
    ],
)
def test_a_tag_that_changes_a_value_is_refused(text: str, tag: str) -> None:
    found = problems_of(f"first: 1\nvalue: {text}\n")

    assert [(p.line, p.where) for p in found if tag in p.message] == [(2, "value")]


def test_a_tag_on_a_key_is_refused() -> None:
    (problem,) = problems_of("!secret key: 1\n")

    assert "!secret" in problem.message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a: 1\nb:\n\t- 2\n", 3, id="a tab for indentation"),
        pytest.param("a: 1\nb: [1,\n", 3, id="a list that does not end"),
        pytest.param("a: 1\n  b: 2\n", 2, id="an indentation that nobody opened"),
        pytest.param("---\na: 1\n---\nb: 2\n", 3, id="two documents"),
        pytest.param("a: 'x\n", 2, id="a quote that does not end"),
        pytest.param("a: *nobody\n", 1, id="an alias of nothing"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(text: str, line: int) -> None:
    (problem,) = problems_of(text)

    assert (problem.code, problem.line) == ("yaml_syntax", line)
    assert problem.column is not None


@pytest.mark.parametrize("character", ["\x00", "\x01", "\x1b", "\x7f", "\ufffe"])
def test_a_character_that_yaml_does_not_allow_is_refused(character: str) -> None:
    (problem,) = problems_of(f"a: b{character}c\n")

    assert problem.file == "policies/registry/data.yaml"
    assert (problem.code, problem.line, problem.column) == ("yaml_syntax", 1, 5)
    assert f"U+{ord(character):04X}" in problem.message


def test_every_fault_of_a_file_is_told_at_once() -> None:
    found = problems_of("a: no\nb: 010\nc: good\nd: [12:30, 1e3]\n")

    assert [problem.line for problem in found] == [1, 2, 4, 4]


def test_a_file_is_read_and_named_as_wished(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text("a: é\nb: no\n", encoding="utf-8")

    with pytest.raises(PoliciesInvalid, match="registry:2:4"):
        read_yaml(path, shown_as="registry")
    path.write_text("a: é\n", encoding="utf-8")
    assert read_yaml(path) == Document(str(path), {"a": "é"}, {(): (1, 1), ("a",): (1, 1)})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"a: \xff\n", "is not UTF-8 at byte 3", id="Latin-1"),
        pytest.param("a: 1\n".encode("utf-16"), "is not UTF-8 at byte 0", id="UTF-16"),
        pytest.param(b"a: \xed\xa0\x80", "is not UTF-8 at byte 3", id="a surrogate"),
    ],
)
def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data.yaml"
    path.write_bytes(content)

    with pytest.raises(PoliciesInvalid, match=message):
        read_yaml(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    with path.open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)

    with pytest.raises(PoliciesInvalid, match="larger than 16777216 bytes"):
        read_yaml(path)


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(PoliciesInvalid, match="cannot be read"):
        read_yaml(tmp_path / name)


def test_a_place_that_does_not_exist_is_the_nearest_one_around_it() -> None:
    document = parse_yaml("services:\n  search:\n    mode: x\n    tags: [a, b]\n", "f.yaml")

    assert document.place(("services", "search", "mode")) == (3, 5)
    assert document.place(("services", "search", "tags", 1)) == (4, 15)
    assert document.place(("services", "search", "absent", "deeper")) == (2, 3)
    assert document.place(("absent",)) == (1, 1)
    problem = document.problem(("services", "absent"), "c", "m", "r", severity="warning")
    assert str(problem) == "f.yaml:1:1: services.absent: m r"
    assert problem.severity == "warning"


scalars = st.text(alphabet="0123456789_+-.:eExobTtZz~ynofNO =<", min_size=1, max_size=9) | st.text(
    max_size=8
)


def is_taken(scalar: str) -> bool:
    try:
        parse_yaml(f"k: {scalar}\n", "f.yaml")
    except PoliciesInvalid:
        return False
    return True


@given(scalar=scalars.filter(is_taken))
def test_what_is_taken_means_the_same_to_pyyaml(scalar: str) -> None:
    text = f"k: {scalar}\n"
    try:
        expected = yaml.safe_load(text)
    except yaml.YAMLError:
        return  # what it refuses it does not misread

    assert json.dumps(value_of(text)) == json.dumps(expected)


@hypothesis_settings(max_examples=40)
@given(drawn=st.lists(scalars, min_size=40, max_size=80))
def test_what_is_taken_means_the_same_to_opa(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[str]
) -> None:
    opa = real_opa()
    taken = [scalar for scalar in drawn if is_taken(scalar)]
    document = "".join(f"k{place}: {scalar}\n" for place, scalar in enumerate(taken))
    try:
        value = value_of(document)
    except PoliciesInvalid:
        return  # one of them spills over its line
    path = tmp_path_factory.getbasetemp() / "input.yaml"
    path.write_text(document, encoding="utf-8")

    command = [str(opa.path), "eval", "--input", str(path), "--format=json", "input"]
    done = subprocess.run(command, check=False, capture_output=True)

    if done.returncode == 0:  # what OPA refuses it does not misread
        (result,) = json.loads(done.stdout)["result"]
        assert json.dumps(result["expressions"][0]["value"], sort_keys=True) == json.dumps(
            value, sort_keys=True
        )


@pytest.mark.parametrize("opening", ["[", "- ", "{a: "], ids=["flow list", "block list", "map"])
def test_nesting_that_would_end_the_process_is_refused(opening: str) -> None:
    with pytest.raises(PoliciesInvalid, match="nested too deeply"):
        parse_yaml(opening * 50_000, "deep.yaml")
