"""What every RuleBooks must do, asked of the folder and of its fake; then the folder's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fakes.rule_books import FakeRuleBooks, book_data
from tallygate.adapters.files.rule_books import RuleBookFolder, check_rule_books
from tallygate.application.ports import RuleBooks
from tallygate.domain.kernel.instants import NS_PER_SECOND, ns_from_text
from tallygate.domain.pricing.rule_book import AXES
from tallygate.domain.pricing.rule_book_data import rule_book_from_data
from tallygate.domain.usage.meters import Meter
from tallygate.errors import NoRuleBook, Problem, RuleBookInvalid

POLICIES = Path(__file__).parents[2] / "policies"
MARCH_NS = ns_from_text("2026-03-01T00:00:00Z")

Maker = Callable[[Sequence[dict[str, Any]]], RuleBooks]

WINTER = book_data(
    rulebook="openai-winter",
    effective={"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"},
    examples=[book_data()["examples"][0] | {"at": "2026-02-01T00:00:00Z"}],
)
SPRING = book_data(rulebook="openai-spring", effective={"from": "2026-03-01T00:00:00Z", "to": None})
MISTRAL = book_data(rulebook="mistral-winter", provider="mistral")


def a_folder(tmp_path: Path, files: dict[str, str]) -> Path:
    folder = tmp_path / "policies"
    (folder / "schemas").mkdir(parents=True)
    shutil.copy(POLICIES / "schemas/rule_book.json", folder / "schemas")
    for name, text in files.items():
        path = folder / "rates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(params=["folder", "fake"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    def from_folder(documents: Sequence[dict[str, Any]]) -> RuleBooks:
        files = {f"{d['provider']}/{d['rulebook']}.yaml": json.dumps(d) for d in documents}
        return RuleBookFolder(a_folder(tmp_path, files))

    def from_fake(documents: Sequence[dict[str, Any]]) -> RuleBooks:
        return FakeRuleBooks([rule_book_from_data(d) for d in documents])

    return from_folder if request.param == "folder" else from_fake


def test_a_period_begins_with_its_first_instant_and_ends_before_its_last(make: Maker) -> None:
    books = make([WINTER, SPRING])

    assert books.in_force("openai", MARCH_NS - 1).billing_rule_version == "openai-winter"
    assert books.in_force("openai", MARCH_NS).billing_rule_version == "openai-spring"


def test_a_successor_ends_an_open_book_without_an_edit_of_it(make: Maker) -> None:
    old = book_data(rulebook="openai-old")
    new = SPRING | {"supersedes": "openai-old"}
    books = make([old, new])

    assert books.in_force("openai", MARCH_NS - 1).billing_rule_version == "openai-old"
    assert books.in_force("openai", MARCH_NS - 1).digest == rule_book_from_data(old).digest
    assert books.in_force("openai", MARCH_NS).billing_rule_version == "openai-spring"


def test_before_the_first_book_there_is_none(make: Maker) -> None:
    books = make([WINTER])

    with pytest.raises(NoRuleBook, match="'openai' at 2025-12-31T23:59:59Z"):
        books.in_force("openai", ns_from_text("2026-01-01T00:00:00Z") - NS_PER_SECOND)


def test_after_a_gap_there_is_none_until_the_next(make: Maker) -> None:
    books = make([WINTER])

    with pytest.raises(NoRuleBook):
        books.in_force("openai", MARCH_NS)


def test_a_provider_is_priced_by_its_own_books_only(make: Maker) -> None:
    books = make([SPRING, MISTRAL])

    assert books.in_force("mistral", MARCH_NS).billing_rule_version == "mistral-winter"
    with pytest.raises(NoRuleBook):
        books.in_force("cohere", MARCH_NS)


def test_no_books_at_all_price_nothing(make: Maker) -> None:
    with pytest.raises(NoRuleBook):
        make([]).in_force("openai", MARCH_NS)


def test_both_know_a_book_by_the_same_digest(make: Maker) -> None:
    book = make([WINTER]).in_force("openai", MARCH_NS - 1)

    assert book.digest == rule_book_from_data(WINTER).digest
    assert book.digest.startswith("sha256:")


# The folder's own: files and lines.

TEXT = """\
rulebook: openai-test
schema: rulebook/1
provider: openai
currency: USD
published_at: "2026-01-01T00:00:00Z"
effective: {from: "2026-01-01T00:00:00Z", to: null}
sources:
  - {url: "https://example.com/pricing", retrieved_at: "2026-01-01T00:00:00Z"}
per: 1000000
inherit: {reasoning: output}
axes:
  service_tier:
    map: {default: standard, flex: flex}
    absent: standard
    unknown: error
models:
  - match: {names: [gpt-5.4]}
    context:
      by: input_total
      rule: whole_request
      steps: [{name: short, up_to: 272000}, {name: long, above: 272000}]
    prices:
      - {when: {service_tier: standard, context: short}, input: "2.50", output: "15.00"}
      - {when: {service_tier: standard, context: long}, input: "5.00", output: "22.50"}
      - {when: {service_tier: flex, context: [short, long]}, not_sold: true}
  - match: {names: [gpt-5.4-mini]}
    prices:
      - {when: {service_tier: [standard, flex]}, input: "0.75", output: "4.50"}
examples:
  - {model: gpt-5.4, usage: {input: 1000}, at: "2026-06-01T00:00:00Z", cost: "0.0025"}
"""


def only_problem(folder: Path) -> Problem:
    with pytest.raises(RuleBookInvalid) as caught:
        RuleBookFolder(folder)
    assert len(caught.value.problems) == 1, str(caught.value)
    assert tuple(p for p in check_rule_books(folder) if p.severity == "error") == (
        caught.value.problems
    )
    return caught.value.problems[0]


def test_the_text_that_the_next_tests_break_is_sound(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, {"openai-test.yaml": TEXT})

    assert check_rule_books(folder) == ()
    assert [b.billing_rule_version for b in RuleBookFolder(folder).books] == ["openai-test"]


@pytest.mark.parametrize(
    ("good", "bad", "line", "said"),
    [
        pytest.param('input: "2.50"', "input: 2.50", 23, 'Quote it: "2.50"', id="a float"),
        pytest.param('input: "2.50"', "input: 2", 23, "2 stands here", id="a whole number"),
        pytest.param(
            'input: "2.50"', 'input: "2.5000001"', 23, "at most 6 decimals", id="7 decimals"
        ),
        pytest.param("per: 1000000", "per: 1_000_000", 9, "1_000_000 is read", id="underscores"),
        pytest.param(
            "context: [short, long]}, not_sold",
            "context: [long]}, not_sold",
            22,
            "no row covers service_tier flex, context short",
            id="a gap between rows",
        ),
        pytest.param(
            "service_tier: flex, context",
            "service_tier: [flex, standard], context",
            25,
            "overlap: both cover service_tier standard, context short",
            id="an overlap of rows",
        ),
        pytest.param(
            "above: 272000", "above: 272001", 21, "leave a gap or overlap", id="a gap in context"
        ),
        pytest.param(
            "above: 272000", "above: 271999", 21, "leave a gap or overlap", id="context overlap"
        ),
        pytest.param(
            'cost: "0.0025"', 'cost: "0.0026"', 30, "costs 0.0025 by", id="a failing example"
        ),
        pytest.param(
            "{model: gpt-5.4,", "{model: gpt-9,", 30, "does not list", id="an example of nothing"
        ),
        pytest.param(
            "{service_tier: flex, context",
            "{tier: flex, context",
            25,
            "tier is not an axis",
            id="an unknown axis in a row",
        ),
        pytest.param(
            "  service_tier:\n    map", "  tier:\n    map", 12, "tier is not known", id="an axis"
        ),
        pytest.param(
            "{service_tier: flex, context",
            "{service_tier: priority, context",
            25,
            "priority is not a value of this axis",
            id="an unknown value",
        ),
        pytest.param(
            "names: [gpt-5.4-mini]",
            "names: [gpt-5.4-mini, gpt-5.4]",
            26,
            "gpt-5.4 is matched by models.0 and by models.1",
            id="a model twice",
        ),
        pytest.param(
            "rulebook: openai-test", "rulebook: openai-tset", 1, "in a file named", id="its name"
        ),
        pytest.param("currency: USD\n", "", 1, "currency is missing", id="a missing key"),
        pytest.param("null}", '"2026-02-30T00:00:00Z"}', 6, "not an instant", id="30 February"),
        pytest.param("currency: USD", "currency: USD\ncurrency: USD", 5, "twice", id="a key twice"),
        pytest.param("unknown: error", "unknown: standard", 15, "not allowed", id="a fallback"),
    ],
)
def test_a_bad_book_is_refused_with_file_and_line(
    tmp_path: Path, good: str, bad: str, line: int, said: str
) -> None:
    assert good in TEXT
    folder = a_folder(tmp_path, {"openai/openai-test.yaml": TEXT.replace(good, bad, 1)})

    with pytest.raises(RuleBookInvalid) as caught:
        RuleBookFolder(folder)

    found = [p for p in caught.value.problems if p.line == line and said in str(p)]
    assert found, str(caught.value)
    assert str(found[0]).startswith(f"policies/rates/openai/openai-test.yaml:{line}:")


def test_books_of_one_provider_that_overlap_in_time_are_both_named(tmp_path: Path) -> None:
    newer = TEXT.replace("openai-test", "openai-z").replace(
        "2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z"
    )
    folder = a_folder(tmp_path, {"openai-test.yaml": TEXT, "openai-z.yaml": newer})

    problem = only_problem(folder)

    assert str(problem).startswith("policies/rates/openai-z.yaml:6:1: ")
    assert "openai-z and openai-test (policies/rates/openai-test.yaml:6)" in problem.message


def test_a_successor_of_nothing_is_named(tmp_path: Path) -> None:
    text = TEXT.replace("currency", "supersedes: openai-older\ncurrency")
    folder = a_folder(tmp_path, {"openai-test.yaml": text})

    problem = only_problem(folder)

    assert str(problem).startswith("policies/rates/openai-test.yaml:4:1: supersedes: openai-older")


def test_a_successor_that_begins_no_later_still_overlaps(tmp_path: Path) -> None:
    newer = TEXT.replace("openai-test", "openai-z").replace(
        "currency", "supersedes: openai-test\ncurrency"
    )
    folder = a_folder(tmp_path, {"openai-test.yaml": TEXT, "openai-z.yaml": newer})

    assert only_problem(folder).code == "rule_books_overlap"


def test_one_version_in_two_folders_is_named(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, {"a/openai-test.yaml": TEXT, "b/openai-test.yaml": TEXT})

    assert only_problem(folder).message == (
        "openai-test is also in policies/rates/a/openai-test.yaml."
    )


def test_the_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    other = TEXT.replace("openai-test", "openai-z").replace('"15.00"', "15.00")
    bad = TEXT.replace('"2.50"', "2.50")
    folder = a_folder(tmp_path, {"openai-test.yaml": bad, "openai-z.yaml": other})

    assert {(p.file, p.line) for p in check_rule_books(folder)} == {
        ("policies/rates/openai-test.yaml", 23),
        ("policies/rates/openai-z.yaml", 23),
    }


def pins_of(folder: Path) -> str:
    return "\n".join(
        f'{b.billing_rule_version}: "{b.digest}"' for b in RuleBookFolder(folder).books
    )


def test_an_edit_of_a_published_version_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, {"openai-test.yaml": TEXT})
    pins = folder / "rates/published.yaml"
    pins.write_text(f"# pinned\n{pins_of(folder)}\n", encoding="utf-8")
    assert check_rule_books(folder) == ()
    (folder / "rates/openai-test.yaml").write_text(TEXT.replace("0.75", "0.76"), encoding="utf-8")

    problem = only_problem(folder)

    assert problem.code == "rule_book_edited"
    assert str(problem).startswith("policies/rates/published.yaml:2:1: openai-test: ")
    assert "policies/rates/openai-test.yaml was edited" in problem.message


def test_a_comment_may_be_added_to_a_published_version(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, {"openai-test.yaml": TEXT})
    (folder / "rates/published.yaml").write_text(pins_of(folder), encoding="utf-8")

    (folder / "rates/openai-test.yaml").write_text(f"# see #12\n{TEXT}", encoding="utf-8")

    assert check_rule_books(folder) == ()


def test_a_published_version_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, {"published.yaml": 'openai-old: "sha256:0"'})

    assert only_problem(folder).code == "rule_book_gone"


def test_a_book_that_is_not_pinned_is_warned_about_with_the_line_to_add(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, {"openai-test.yaml": TEXT, "published.yaml": "{}"})

    (problem,) = check_rule_books(folder)

    assert problem.severity == "warning"
    assert problem.remedy == f"Add `{pins_of(folder)}` to policies/rates/published.yaml."


@pytest.mark.parametrize(
    ("pins", "said"), [("- a", "expected a mapping"), ("a: 1.5", "read differently")]
)
def test_pins_that_cannot_be_read_are_named(tmp_path: Path, pins: str, said: str) -> None:
    folder = a_folder(tmp_path, {"published.yaml": pins})

    assert said in only_problem(folder).message


def test_without_its_schema_no_book_is_trusted(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, {"openai-test.yaml": TEXT})
    (folder / "schemas/rule_book.json").unlink()

    assert only_problem(folder).file.endswith("schemas/rule_book.json")


def test_a_loosened_schema_does_not_crash_the_loader(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, {"openai-test.yaml": "rulebook: openai-test"})
    (folder / "schemas/rule_book.json").write_text("{}", encoding="utf-8")

    assert only_problem(folder).code == "rule_book_shape"


def test_the_books_that_we_ship_load_and_are_pinned() -> None:
    assert check_rule_books(POLICIES) == ()
    assert {b.provider for b in RuleBookFolder(POLICIES).books} == {
        *("anthropic", "bedrock", "cohere", "cohere_chat", "gemini", "openai"),
        *("text-completion-openai", "vertex_ai"),
    }
    assert (POLICIES / "rates/published.yaml").exists()


def test_the_schema_knows_every_meter_and_axis() -> None:
    schema = json.loads((POLICIES / "schemas/rule_book.json").read_text(encoding="utf-8"))
    row = schema["$defs"]["model"]["properties"]["prices"]["items"]["properties"]
    example = schema["$defs"]["example"]["properties"]

    assert set(schema["$defs"]["meter"]["enum"]) == set(Meter)
    assert row.keys() - {"when", "not_sold"} == set(Meter)
    assert schema["properties"]["axes"]["properties"].keys() == set(AXES)
    assert example.keys() >= set(AXES)


def test_the_gateway_of_an_organisation_can_have_a_book_of_its_own(tmp_path: Path) -> None:
    """The example of docs/pricing.md."""
    page = (POLICIES.parent / "docs/pricing.md").read_text(encoding="utf-8")
    text = next(
        block
        for block in page.split("```yaml\n")[1:]
        if block.startswith("rulebook: gateway-example-com")
    ).split("```")[0]
    folder = a_folder(tmp_path, {"gateway/gateway-example-com-2026-11-21.yaml": text})

    assert [p for p in check_rule_books(folder) if p.severity == "error"] == []
    (book,) = RuleBookFolder(folder).books
    assert book.provider == "gateway.example.com"
    assert book.model_named("/whatever/path").names == ("any",)
