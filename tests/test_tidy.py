"""
The sources read as data: sizes, names, calls that do not belong, files that nobody uses.

What a tool already checks (ruff, mypy, import-linter) is not repeated here.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src"
CORE: Final = ("src/tallygate/domain/", "src/tallygate/application/")

MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 60
TEST_MODULE_LINES: Final = 500

BANNED_NOUNS: Final = {
    "utils": "name what it does",
    "util": "name what it does",
    "helpers": "name what it helps with",
    "helper": "name what it helps with",
    "common": "say what is shared",
    "manager": "say what it does with them",
    "base": "name the idea, not its place in a tree",
    "misc": "unattributed, unpriced, or a noun",
}
"""Words in the names of modules and classes, and what to write instead."""

BANNED_WORDS: Final = {
    "vendor": "provider",
    "waiver": "override",
    "bypass": "override",
    "shadow": "report_only",
    "verdict": "decision",
    "denial": "violation",
    "tariff": "rate",
    "showback": "a report by owner",
    "chargebacks": "chargeback",
}
"""Words in any name that the sources define: the last column of docs/glossary.md, as far as it
cannot be an honest word elsewhere."""

BANNED_NAMES: Final = {"prompt_tokens", "completion_tokens", "llm_provider", "gen_ai_system"}
"""Names that OpenTelemetry has dropped; on the wire they are text, in the core they are not."""

BANNED_CALLS: Final = {
    "float": "money and counts are exact: Decimal or int",
    "print": "return it, an edge prints",
    "open": "an adapter reads files",
    "input": "an edge asks",
    "eval": "no code from data",
    "exec": "no code from data",
    "datetime.now": "take now_ns as a parameter",
    "datetime.utcnow": "take now_ns as a parameter",
    "datetime.today": "take now_ns as a parameter",
    "date.today": "take now_ns as a parameter",
    "uuid.uuid1": "take the randomness as a parameter",
    "uuid.uuid4": "take the randomness as a parameter",
    "uuid4": "take the randomness as a parameter",
    "urllib.request.urlopen": "an adapter asks the network",
}
"""Calls that the core may not make, and what it does instead."""

MACHINE_TEXT: Final = (
    r"pypi\.org",
    r"pythonhosted\.org",
    r"proxy\.golang\.org",
    r"sum\.golang\.org",
    r"registry\.npmjs\.org",
    r"crates\.io",
    r"repo1?\.maven",
    r"deb\.debian\.org",
    r"(?<![\w.])/root/",
    r"(?<![\w.])/work/",
    r"(?<![\w.])/home/\w",
    r"(?<![\w.])/Users/\w",
    r"(?<![\w.])/opt/wheels",
)
"""Registry hosts and paths of one machine; they have no place in a file that others get."""

MACHINE_TEXT_ALLOWED: Final = {"tests/test_tidy.py": "the patterns themselves"}

BINARY: Final = {".wasm", ".png", ".gz", ".db"}


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file, read and parsed once."""

    path: str
    text: str
    tree: ast.Module


@cache
def tracked() -> tuple[str, ...]:
    """Every file that git has or would take, so that a finding comes before the commit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return tuple(sorted(path for path in listed if path and (ROOT / path).is_file()))


@cache
def sources(under: str) -> tuple[Source, ...]:
    found = []
    for path in tracked():
        if path.startswith(under) and path.endswith(".py"):
            text = (ROOT / path).read_text(encoding="utf-8")
            found.append(Source(path, text, ast.parse(text)))
    return tuple(found)


def core() -> Iterator[Source]:
    return (source for source in sources("src/") if source.path.startswith(CORE))


def module_name(path: str) -> str:
    return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def words(name: str) -> list[str]:
    """Split `snake_case` and `CamelCase` into lower-case words."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` for a name or a chain of attributes, else what can be said of its end."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case _:
            return ""


def defined_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name that a module makes: functions, classes, parameters, variables, fields."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def listing(found: list[str]) -> str:
    """Put each finding on a line of its own; pytest would cut the list."""
    return "\n".join(["", *found])


def test_modules_are_short_enough_to_be_read_in_one_go() -> None:
    long = [
        f"{source.path}: {lines} lines, at most {limit}"
        for under, limit in (("src/", MODULE_LINES), ("tests/", TEST_MODULE_LINES))
        for source in sources(under)
        if (lines := len(source.text.splitlines())) > limit
    ]

    assert not long, listing(long)


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{source.path}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES}"
        for under in ("src/", "tests/", "bench/")
        for source in sources(under)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]

    assert not long, listing(long)


def test_modules_and_classes_are_named_for_what_they_are() -> None:
    vague = [
        f"{source.path}: {name}: {BANNED_NOUNS[word]}"
        for under in ("src/", "tests/", "bench/")
        for source in sources(under)
        for name in (
            *Path(source.path).with_suffix("").parts[1:],
            *(node.name for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)),
        )
        for word in words(name)
        if word in BANNED_NOUNS
    ]

    assert not vague, listing(vague)


def test_one_word_per_thing_as_in_the_glossary() -> None:
    wrong = [
        f"{source.path}:{line}: {name}: say {BANNED_WORDS.get(word, 'the current name')}"
        for source in sources("src/")
        for line, name in defined_names(source.tree)
        for word in (*words(name), name)
        if word in BANNED_WORDS or word in BANNED_NAMES
    ]

    assert not wrong, listing(wrong)


def test_the_core_makes_no_call_that_belongs_to_an_edge() -> None:
    calls = [
        f"{source.path}:{node.lineno}: {call}(): {BANNED_CALLS[banned]}"
        for source in core()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and (call := dotted(node.func))
        for banned in BANNED_CALLS
        if call == banned or call.endswith(f".{banned}")
        if not (call.endswith(f".{banned}") and "." not in banned)
    ]

    assert not calls, listing(calls)


def test_every_module_is_used_by_another_or_is_a_way_in() -> None:
    imported: dict[str, set[str]] = {}
    for source in sources("src/"):
        own = module_name(source.path)
        for target in imports(source):
            imported.setdefault(target, set()).add(own)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "scripts"
    ].values()
    configs = [(ROOT / path).read_text(encoding="utf-8") for path in tracked() if "litellm" in path]
    loaded = re.findall(r"(tallygate[\w.]*)\.\w+", "\n".join(configs))
    ways_in = {target.split(":")[0] for target in scripts} | {"tallygate", *loaded}

    unused = [
        source.path
        for source in sources("src/")
        if (name := module_name(source.path)) not in ways_in
        and not source.path.endswith("/__main__.py")
        and not imported.get(name, set()) - {name}
        and not (
            source.path.endswith("/__init__.py") and any(m.startswith(f"{name}.") for m in imported)
        )
    ]

    assert not unused, listing(unused)


def imports(source: Source) -> Iterator[str]:
    """Modules that a file imports, or names in a string such as `python -m tallygate.standin`."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Constant(value=str(text)) if re.fullmatch(r"tallygate(\.\w+)+(:\w+)?", text):
                named = text.split(":")[0]
                yield from (named, named.rpartition(".")[0])


def error_names() -> list[str]:
    """Return the leaves of the tree: a branch ends in `Error` and is never raised itself."""
    tree = ast.parse((SOURCE / "tallygate/errors.py").read_text(encoding="utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.bases and not node.name.endswith("Error")
    ]


@pytest.mark.parametrize("name", error_names())
def test_every_error_is_raised_somewhere_and_tested(name: str) -> None:
    made = [
        source.path
        for source in sources("src/")
        if source.path != "src/tallygate/errors.py" and re.search(rf"\b{name}\(", source.text)
    ]
    tested = [
        source.path
        for source in sources("tests/")
        if re.search(rf"\b{name}\b", source.text) and source.path != "tests/test_tidy.py"
    ]

    assert made, f"{name} is in errors.py and nothing raises it"
    assert tested, f"{name} is raised in {made[0]} and no test names it"


def test_every_error_has_a_code_of_its_own() -> None:
    tree = ast.parse((SOURCE / "tallygate/errors.py").read_text(encoding="utf-8"))
    codes = re.findall(
        r"^    code(?:: ClassVar\[str\])? = \"(\w+)\"",
        ast.unparse(tree).replace("'", '"'),
        re.MULTILINE,
    )

    assert len(codes) == len(set(codes))
    assert len(codes) >= len(error_names())


def test_no_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    pattern = re.compile("|".join(MACHINE_TEXT))

    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path in tracked()
        if path not in MACHINE_TEXT_ALLOWED and Path(path).suffix not in BINARY
        for number, line in enumerate(
            (ROOT / path).read_text(encoding="utf-8").splitlines(), start=1
        )
        if pattern.search(line)
    ]

    assert not found, listing(found)


def test_every_exception_to_a_check_has_its_code_and_its_reason() -> None:
    mark = re.compile(r"#\s*(noqa|type:\s*ignore)\b(?P<rest>.*)")
    complete = re.compile(
        r"(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*|\[[\w, -]+\])\W*(?P<reason>\w{4,}|\w+\W+\w+)"
    )

    bare = [
        f"{source.path}:{number}: {line.strip()}"
        for under in ("src/", "tests/", "bench/")
        for source in sources(under)
        if source.path != "tests/test_tidy.py"
        for number, line in enumerate(source.text.splitlines(), start=1)
        if (found := mark.search(line)) and not complete.match(found["rest"])
    ]

    assert not bare, listing(["write `# noqa: CODE - why` or `# type: ignore[code]  # why`", *bare])


def test_fakes_stand_in_for_ports_and_mocks_for_nothing() -> None:
    mocks = [
        source.path
        for source in sources("tests/")
        if not source.path.startswith("tests/proxy/")
        and any(name.startswith(("unittest.mock", "mock")) for name in imports(source))
    ]

    assert not mocks, listing(mocks)


def test_names_of_tests_are_sentences() -> None:
    short = [
        f"{source.path}:{node.lineno}: {node.name}"
        for source in sources("tests/")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.split("_")) < 4
    ]

    assert not short, listing(short)


def test_no_test_hides_another_of_the_same_name() -> None:
    twice = []
    for source in sources("tests/"):
        names = [
            node.name
            for node in source.tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        twice += [f"{source.path}: {name}" for name in sorted(set(names)) if names.count(name) > 1]

    assert not twice, listing(twice)


def test_todo_marks_do_not_land() -> None:
    marks = [
        f"{source.path}:{number}"
        for under in ("src/", "tests/", "bench/")
        for source in sources(under)
        if source.path != "tests/test_tidy.py"
        for number, line in enumerate(source.text.splitlines(), start=1)
        if re.search(r"\b(TODO|FIXME|XXX)\b", line)
    ]

    assert not marks, listing(marks)


def test_the_lock_holds_every_dependency_at_a_version_that_is_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", lock, re.MULTILINE):
        locked.setdefault(name, []).append(version)
    wanted = [
        Requirement(text)
        for group in (
            project["project"]["dependencies"],
            project["build-system"]["requires"],
            *project["dependency-groups"].values(),
        )
        for text in group
    ]

    stale = [
        f"{requirement}: the lock has {versions or 'nothing'}; run make lock"
        for requirement in wanted
        if not (versions := locked.get(canonicalize_name(requirement.name), []))
        or not all(requirement.specifier.contains(version) for version in versions)
    ]

    assert not stale, listing(stale)
