from __future__ import annotations

import pytest

from tallygate.domain.policy.patterns import fault_of_pattern


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[a-z0-9-]{1,64}$",
        r"^hk[0-9]+_[0-9a-f]{32}$",
        r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$",
        r"^(?:a|b|[\]^-]c)?$",
        r"^(?P<kind>job|cron):\d{2,}$",
        r"(?i)^a+?b*?$",
        r"^[^]]\.$",
        r"^a{}b{$",
        r"^(x+)?(?:é)$",
        r"^x{0,3}$",
    ],
)
def test_what_both_read_alike_is_taken(pattern: str) -> None:
    assert fault_of_pattern(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        pytest.param("(", "is not a regular expression", id="syntax"),
        pytest.param(r"\p{L}", "is not a regular expression", id="RE2 only"),
        pytest.param(r"(a)\1", "uses \\1", id="backreference"),
        pytest.param(r"(?P<x>a)(?P=x)", "uses (?P=", id="named backreference"),
        pytest.param(r"a\Z", "uses \\Z", id="end in Python's way"),
        pytest.param(r"(?=a)a", "uses (?=a", id="lookahead"),
        pytest.param(r"(?<!a)b", "uses (?<!", id="lookbehind"),
        pytest.param(r"(?>a)", "uses (?>a", id="atomic group"),
        pytest.param(r"(a)?(?(1)b|c)", "uses (?(1", id="condition"),
        pytest.param(r"a*+", "possessive", id="possessive"),
        pytest.param(r"a{1001}", "1000 times", id="long repetition"),
        pytest.param(r"a{,5}", "write {0,5}", id="open count"),
        pytest.param(r"a{,}", "write {0,}", id="open counts"),
        pytest.param(r"[[a]]", "escape it", id="set in a set"),
        pytest.param(r"(a+)+", "exponential", id="nested"),
        pytest.param(r"(?:a{2,})*", "exponential", id="nested by counts"),
        pytest.param(r"(a+|b)+", "exponential", id="nested in one branch"),
        pytest.param(r"(a+b?)*", "exponential", id="nested beside an option"),
        pytest.param(r"(a+b{0,2})*", "exponential", id="nested beside a count from none"),
        pytest.param(r"((?:a+))+", "exponential", id="nested twice"),
        pytest.param(r"(a+){2}", "exponential", id="nested twice over"),
    ],
)
def test_what_one_of_them_does_not_have_is_refused(pattern: str, part: str) -> None:
    assert part in str(fault_of_pattern(pattern))
