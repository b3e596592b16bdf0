"""What must stay true of the code, whatever it does, beyond what a linter can check (pyproject.toml).

The rules are in `tests.support.architecture`.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.support import architecture
from tests.support.architecture import SDK_HOMES, Rule, facts, imports_outward, sdks_outside_their_adapter

HOUSE = Path(__file__).parent.parent
FOLDERS = ("bot", "adapters", "config", "tests", "benchmarks")
PACKAGES = FOLDERS[:3]  # what is shipped
LONGEST_FUNCTION = 60  # lines: what fits on a screen; the product's functions are shorter still

RULES: tuple[Rule, ...] = (
    imports_outward,
    sdks_outside_their_adapter,
    architecture.platforms_differ,
    architecture.long_files,
    architecture.long_functions,
    architecture.large_classes,
    architecture.mutable_modules,
    architecture.wordy_files,
    architecture.wordy_overall,
    architecture.long_readme,
    architecture.patched_names,
    architecture.private_access,
    architecture.bare_sleeps,
)


@cache
def tree() -> Mapping[str, str]:
    """Every Python file of the project, and the README, by path from its top."""
    files = [file for folder in FOLDERS for file in (HOUSE / folder).rglob("*.py")]
    paths = [*sorted(file.relative_to(HOUSE).as_posix() for file in files), "install.py", "README.md"]
    return {path: (HOUSE / path).read_text(encoding="utf-8") for path in paths}


def sources() -> list[str]:
    return [path for path in tree() if path.endswith(".py")]


def each_source(chosen: Callable[[str], bool] = lambda source: True) -> pytest.MarkDecorator:
    """Run a test for each file. The module scope puts a file's tests side by side, so one process parses it once."""
    return pytest.mark.parametrize("source", [source for source in sources() if chosen(source)], scope="module")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Rule) -> None:
    """Each rule holds for the whole tree, without exceptions."""
    violations = rule(tree())
    assert not violations, "\n".join([str(rule.__doc__), *violations])


@each_source()
def test_no_function_is_longer_than_a_screen(source: str) -> None:
    """A function that does not fit on a screen does more than one thing."""
    assert not [each for each in facts(tree()[source]).functions if each.length > LONGEST_FUNCTION]


@each_source()
def test_imports_point_inward(source: str) -> None:
    """The core knows no platform, no vendor and no setting; adapters know the core; nobody knows the tests."""
    assert not imports_outward({source: tree()[source]})


@pytest.mark.parametrize("sdk", sorted(SDK_HOMES))
def test_each_sdk_stays_behind_its_adapter(sdk: str) -> None:
    """A platform's library is known in one folder, where it can be replaced."""
    strangers = [each for each in sdks_outside_their_adapter(tree()) if f": {sdk}" in each]
    assert not strangers


@each_source()
def test_every_module_says_what_it_is_for(source: str) -> None:
    """A file opens with a sentence on its content."""
    docstring = facts(tree()[source]).docstring
    assert len(docstring) >= 25, f"{source} opens with {docstring!r}"


@each_source(lambda source: source.startswith("tests/"))
def test_every_test_says_what_must_hold(source: str) -> None:
    """A test that fails tells in a sentence which promise was broken."""
    functions = facts(tree()[source]).functions
    assert not [each for each in functions if each.name.startswith("test_") and not each.documented]


@each_source()
def test_every_exception_to_the_linter_has_its_reason(source: str) -> None:
    """A `noqa` names its rule and says, in the same line, why it does not hold there."""
    marked = [line for line in tree()[source].splitlines() if re.search(r"#\s*noqa", line) and "re.search" not in line]
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
        if HOUSE / "config" / "deploy" not in file.parents  # for other programs: Grafana, Prometheus, Kubernetes
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
