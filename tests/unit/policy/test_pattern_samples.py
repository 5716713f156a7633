from __future__ import annotations

import re

import pytest

from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.domain.policy.pattern_samples import sample_of
from tallygate.domain.policy.patterns import fault_of_pattern

CONTRACT = read_policies(starter_policies()).data["contract"]
SHIPPED = {name: spec["pattern"] for name, spec in CONTRACT["fields"].items() if "pattern" in spec}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_pattern_has_a_sample(name: str) -> None:
    sample = sample_of(SHIPPED[name])

    assert sample is not None
    assert re.fullmatch(SHIPPED[name], sample)


@pytest.mark.parametrize(
    ("pattern", "sample"),
    [
        ("^[a-z][a-z0-9]*([-_][a-z0-9]+)*$", "nightly-digest"),
        ("^wf-[0-9]{4}$", "wf-0000"),
        ("^(red|green)$", "red"),
        ("^(?:a(b|[)|]c)|x)+d$", "abd"),
        (r"^\d{3}\.\w+\-[^a]$", "000.a-A"),
        ("^(?P<kind>job|cron)?:x{2,}y{0,3}$", ":xx"),
        ("^[]x]?[^]a]$", "A"),
        ("^abc.?$", "abc"),
        ("^a{}b{2}$", "a{}bb"),
        (r"^\Aa\b$", "a"),
        ("(?i)^ab$", "ab"),
        (r"^\{[\]\\]\}$", r"{\}"),
        ("^a{2}c*?d+?$", "aad"),
        ("^[A-F]{8}(-[A-F]{4}){2}$", "AAAAAAAA-AAAA-AAAA"),
    ],
)
def test_a_sample_takes_the_short_way(pattern: str, sample: str) -> None:
    assert fault_of_pattern(pattern) is None

    found = sample_of(pattern)

    assert found == sample


@pytest.mark.parametrize("pattern", ["^$", "^a$b", "^[é]$"])
def test_where_the_short_way_leads_nowhere_there_is_no_sample(pattern: str) -> None:
    assert sample_of(pattern) is None
