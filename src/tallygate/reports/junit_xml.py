"""
JUnit's XML as Jenkins, GitLab and GitHub's readers take it.

Shapes  testsuites > testsuite > testcase, with failure, error, skipped or system-out inside.
        `file` and `line` on a testcase are extensions that GitLab and others read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from xml.etree import ElementTree as ET

from tallygate.reports.plain import printable_text


@dataclass(frozen=True, slots=True)
class JunitCase:
    """One line of the report. Passed, unless it says otherwise."""

    name: str
    classname: str
    file: str = ""
    line: int | None = None
    duration_us: int = 0
    failure: tuple[str, str] | None = None
    """Type and text."""
    error: tuple[str, str] | None = None
    """Type and text of what kept it from running."""
    skipped: str = ""
    note: str = ""


@dataclass(slots=True)
class Suite:
    """Cases that belong together."""

    name: str
    cases: list[JunitCase] = field(default_factory=list)


def junit_xml(name: str, suites: Sequence[Suite]) -> str:
    """Write the report."""
    root = ET.Element("testsuites", {"name": name, **_counts([c for s in suites for c in s.cases])})
    for suite in suites:
        part = ET.SubElement(root, "testsuite", {"name": printable_text(suite.name)})
        part.attrib.update(_counts(suite.cases))
        for case in suite.cases:
            _write(part, case)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _write(suite: ET.Element, case: JunitCase) -> None:
    attributes = {"name": case.name, "classname": case.classname, "file": case.file}
    attributes["line"] = str(case.line) if case.line else ""
    attributes["time"] = _seconds(case.duration_us)
    shown = {name: printable_text(value) for name, value in attributes.items() if value}
    written = ET.SubElement(suite, "testcase", shown)
    for tag, told in (("failure", case.failure), ("error", case.error)):
        if told:
            kind, text = told
            first = printable_text(text.split("\n", 1)[0])
            ET.SubElement(written, tag, {"type": kind, "message": first}).text = printable_text(
                text
            )
    if case.skipped:
        ET.SubElement(written, "skipped", {"message": printable_text(case.skipped)})
    if case.note:
        ET.SubElement(written, "system-out").text = printable_text(case.note)


def _counts(cases: Sequence[JunitCase]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(sum(case.failure is not None for case in cases)),
        "errors": str(sum(case.error is not None for case in cases)),
        "skipped": str(sum(bool(case.skipped) for case in cases)),
        "time": _seconds(sum(case.duration_us for case in cases)),
    }


def _seconds(duration_us: int) -> str:
    return str(Decimal(duration_us).scaleb(-6).quantize(Decimal("0.001")))
