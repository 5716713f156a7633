"""The documents read as data: links, numbers, and what the code itself says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from tallygate.settings import Settings

ROOT: Final = Path(__file__).resolve().parent.parent
DECISIONS: Final = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DECISION_PARTS: Final = ["Context", "Decision", "Consequences", "What would change our mind"]
CHANGELOG_SECTIONS: Final = [
    "Books",
    "Security",
    "Removed",
    "Deprecated",
    "Added",
    "Changed",
    "Fixed",
]
PAGES: Final = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for name in ("docs", "deploy") for page in (ROOT / name).rglob("*.md")),
    ]
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def text_of(page: Path) -> str:
    """Return the page without its code blocks, in which brackets mean other things."""
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings, as code hosts derive them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for found in _LINK.finditer(text_of(page)):
        target, _, anchor = found["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (page.parent / target) if target else page
        if not there.exists():
            broken.append(f"{found['target']}: no such file")
        elif anchor and anchor not in anchors_of(there):
            broken.append(f"{found['target']}: no such heading")

    assert not broken, f"{page.relative_to(ROOT)}: {broken}"


def test_the_page_of_commands_says_what_help_says() -> None:
    checked = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "write-cli-docs"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


def test_every_setting_is_in_the_operating_guide() -> None:
    documented = re.findall(
        r"^\| `(TALLYGATE_\w+)`",
        (ROOT / "docs" / "operating.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )

    assert sorted(documented) == sorted(
        f"TALLYGATE_{name.upper()}" for name in Settings.model_fields
    )


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [page.name[:4] for page in DECISIONS]

    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_says_what_would_change_our_mind(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert re.match(rf"# {int(page.name[:4])}\. ", text), "the heading bears the number"
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == DECISION_PARTS
    assert len(text.splitlines()) <= 70, "one page"


def test_the_changelog_has_the_current_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert re.search(rf"^## \[?{re.escape(project['version'])}\]?( |$)", changelog, re.MULTILINE)


def test_the_changelog_puts_what_changes_the_books_first() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    for release in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        sections = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert sections == [name for name in CHANGELOG_SECTIONS if name in sections]


def test_the_glossary_is_in_alphabetical_order() -> None:
    words = re.findall(
        r"^\| \*\*([^*|]+)\*\*",
        (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )

    assert words
    assert words == sorted(words, key=str.lower)


def test_the_makefile_offers_what_the_readme_asks_people_to_type() -> None:
    targets = re.findall(
        r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    pages = [page.read_text(encoding="utf-8") for page in PAGES]

    asked = {
        name
        for page in pages
        for name in re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )*([a-z]+)\b", page, re.MULTILINE)
    }

    assert asked <= set(targets), asked - set(targets)
