"""The house itself: what must stay true of the code, whatever it does.

Rules that a linter states are left to it (pyproject.toml); here is what it cannot say.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
FOLDERS = ("bot", "adapters", "config", "tests", "benchmarks")
PACKAGES = FOLDERS[:3]  # what is shipped
LONGEST_FUNCTION = 60  # lines: what fits on a screen

# What each part may not import: imports point inward (adapters -> bot), except in the composition root.
FORBIDDEN = {
    "bot": {"adapters", "config", "tests", "discord", "slack_bolt", "slack_sdk", "openai", "aiohttp", "pydantic"},
    "adapters": {"bot.__main__", "bot.bootstrap", "bot.lifecycle", "config", "tests", "pydantic_settings"},
    "config": {"bot", "adapters", "tests", "discord", "slack_bolt", "slack_sdk", "openai", "aiohttp"},
    "benchmarks": {"config"},
}
COMPOSITION_ROOT = {"bot/bootstrap.py": {"adapters", "config"}, "bot/__main__.py": {"config"}}


@cache
def sources() -> list[str]:
    """Every Python file of the project, from its top."""
    files = [file for folder in FOLDERS for file in (HOUSE / folder).rglob("*.py")]
    return [*sorted(file.relative_to(HOUSE).as_posix() for file in files), "install.py"]


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse((HOUSE / source).read_text(encoding="utf-8"))


def each_source(chosen: Callable[[str], bool] = lambda source: True) -> pytest.MarkDecorator:
    """Run a test for each file. The module scope puts a file's tests side by side, so one process parses it once."""
    return pytest.mark.parametrize("source", [source for source in sources() if chosen(source)], scope="module")


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """Functions and imports, wherever in the file: all that is looked at, found in one walk."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Import, ast.ImportFrom)
    return tuple(node for node in ast.walk(parsed(source)) if isinstance(node, kinds))


def functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in nodes(source) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def imports(source: str) -> Iterator[str]:
    """The full names of the modules that are imported, wherever in the file."""
    for node in nodes(source):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@each_source()
def test_no_function_is_longer_than_a_screen(source: str) -> None:
    """A function that does not fit on a screen does more than one thing."""
    long = {
        f"{source}:{node.lineno} {node.name}": length
        for node in functions(source)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert not long


@each_source()
def test_imports_point_inward(source: str) -> None:
    """The core knows no platform, no vendor and no setting; adapters know the core; nobody knows the tests."""
    forbidden = FORBIDDEN.get(source.partition("/")[0], set()) - COMPOSITION_ROOT.get(source, set())
    outward = {name for name in imports(source) for package in forbidden if is_within(name, package)}
    assert not outward


@pytest.mark.parametrize("sdk", ["discord", "slack_sdk", "slack_bolt", "openai"])
def test_each_sdk_stays_behind_its_adapter(sdk: str) -> None:
    """What a platform's library does is known in one folder, so that it can be replaced there."""
    home = {"slack_sdk": "slack", "slack_bolt": "slack"}.get(sdk, sdk)
    strangers = [
        source
        for source in sources()
        if source.startswith(PACKAGES) and not source.startswith(f"adapters/{home}")
        if any(is_within(name, sdk) for name in imports(source))
    ]
    assert not strangers


@each_source()
def test_every_module_says_what_it_is_for(source: str) -> None:
    """Whoever opens a file reads first what it is, and so what does not belong in it."""
    docstring = ast.get_docstring(parsed(source)) or ""
    assert len(docstring) >= 25, f"{source} opens with {docstring!r}"


@each_source(lambda source: source.startswith("tests/"))
def test_every_test_says_what_must_hold(source: str) -> None:
    """A test that fails tells in a sentence which promise was broken."""
    silent = [
        f"{source}:{node.lineno} {node.name}"
        for node in functions(source)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert not silent


@each_source()
def test_every_exception_to_the_linter_has_its_reason(source: str) -> None:
    """A `noqa` names its rule and says, in the same line, why it does not hold there."""
    lines = (HOUSE / source).read_text(encoding="utf-8").splitlines()
    marked = [line for line in lines if re.search(r"#\s*noqa", line) and "re.search" not in line]
    unexplained = [line for line in marked if not re.search(r"# noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* \(.{4,}\)", line)]
    assert not unexplained


def test_folders_of_code_are_packages() -> None:
    """A folder without ``__init__.py`` would be left out of what is installed, without a word."""
    bare = {str(Path(source).parent) for source in sources() if "/" in source and not init_of(source).is_file()}
    assert not bare


def init_of(source: str) -> Path:
    return HOUSE / Path(source).parent / "__init__.py"


def test_what_lies_beside_the_code_is_installed_with_it() -> None:
    """Defaults, prompts and the page's files are package data; one that is forgotten is missing only elsewhere."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    forgotten = [
        file
        for package in PACKAGES
        for file in (HOUSE / package).rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"} and file.name != "ruff.toml"
        if not any(part.startswith(".") for part in file.relative_to(HOUSE).parts)  # a linter's cache
        if not any(is_matched(within_its_package(file), pattern) for pattern in patterns)
    ]
    assert not forgotten


def within_its_package(file: Path) -> Path:
    """A file's path from the innermost package that it is in, which is what patterns are matched with."""
    package = next(folder for folder in file.parents if (folder / "__init__.py").is_file())
    return file.relative_to(package)


def is_matched(path: Path, pattern: str) -> bool:
    """Whether a pattern of package data names a file: a star does not go over a slash."""
    steps = pattern.split("/")
    return len(steps) == len(path.parts) and all(map(fnmatch.fnmatch, path.parts, steps))


def test_the_lock_is_hashed_and_names_no_registry() -> None:
    """Whoever installs takes packages from where they trust, and gets what was tested."""
    lock = (HOUSE / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    pinned = re.findall(r"^([a-z0-9._-]+)==(?:.*\\\n)((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", lock, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE))


def test_the_lock_has_all_that_the_project_asks_for() -> None:
    """A dependency that is added without the lock would be missing on a fresh machine."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for group in project["optional-dependencies"].values() for name in group),
    ]
    names = {re.match(r"[\w.-]+", requirement, re.ASCII).group().lower().replace(".", "-") for requirement in wanted}  # type: ignore[union-attr]  # every requirement starts with its name
    locked = set(
        re.findall(r"^([a-z0-9-]+)==", (HOUSE / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert names <= locked


def test_the_files_of_the_project_are_all_there() -> None:
    """A newcomer, an operator and a host each find the file that they look for."""
    expected = "README.md CONTRIBUTING.md CHANGELOG.md LICENSE Makefile Procfile .env.example .ci/run requirements.lock"
    assert [name for name in expected.split() if not (HOUSE / name).is_file()] == []
