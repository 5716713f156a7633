"""
Annotations as GitHub's workflow commands: one line of stdout each.

Exact   A runner reads commands at the start of any line, so everything else that is printed
        beside them must not begin with `::`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tallygate.reports.plain import printable_text


def workflow_command(command: str, properties: Mapping[str, object], message: str) -> str:
    """Write one command, for example `::error file=a.yaml,line=3::is wrong`."""
    named = ",".join(
        f"{name}={_property(str(value))}" for name, value in properties.items() if value
    )
    return f"::{command}{' ' if named else ''}{named}::{_data(message)}"


def _data(text: str) -> str:
    return printable_text(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
