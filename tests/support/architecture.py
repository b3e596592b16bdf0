"""The rules for the project's code, as pure functions of a source tree: each returns its violations, in order.

A tree maps paths from the project's top to texts, so that a test can violate a rule without touching a file.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath

Tree = Mapping[str, str]
Rule = Callable[[Tree], list[str]]

PRODUCT = ("bot", "adapters", "config")
PLATFORMS = ("slack", "discord")
FILE_LINES = 400
FUNCTION_LINES = 40
CLASS_ATTRIBUTES = 15
# One field per sentence of `[words]`, and one per table of the TOML file.
LARGE_CLASSES = {"bot/strings.py Strings", "config/settings.py Settings"}
README_BYTES = 7 * 1024

# What each part may not import: imports point inward (adapters -> bot), except in the composition root.
FORBIDDEN = {
    "bot": {"adapters", "config", "tests", "discord", "slack_bolt", "slack_sdk", "openai", "aiohttp", "pydantic"},
    "adapters": {"bot.__main__", "bot.bootstrap", "bot.lifecycle", "config", "tests", "pydantic_settings"},
    "config": {"bot", "adapters", "tests", "discord", "slack_bolt", "slack_sdk", "openai", "aiohttp"},
    "benchmarks": {"config"},
}
COMPOSITION_ROOT = {
    "bot/bootstrap.py": {"adapters", "config"},
    "bot/bootstrap_admin.py": {"adapters", "config"},
    "bot/bootstrap_commands.py": {"adapters", "config"},
    "bot/bootstrap_journal.py": {"adapters", "config"},
    "bot/bootstrap_lanes.py": {"adapters", "config"},
    "bot/bootstrap_metrics.py": {"adapters", "config"},
    "bot/bootstrap_models.py": {"adapters", "config"},
    "bot/bootstrap_oauth.py": {"adapters", "config"},
    "bot/bootstrap_platforms.py": {"adapters", "config"},
    "bot/bootstrap_postgres.py": {"adapters", "config"},
    "bot/bootstrap_records.py": {"adapters", "config"},
    "bot/bootstrap_shared.py": {"adapters", "config"},
    "bot/bootstrap_tracing.py": {"adapters", "config"},
    "bot/__main__.py": {"config"},
}

# Where an SDK may be imported in the product.
SDK_HOMES = {
    "discord": "adapters/discord/",
    "slack_sdk": "adapters/slack/",
    "slack_bolt": "adapters/slack/",
    "openai": "adapters/openai/",
    "asyncpg": "adapters/postgres/",
    "cryptography": "adapters/shared/sealing.py",
    "opentelemetry": "adapters/opentelemetry/",
}

PLATFORM_PLAN = (
    "check",
    "errors",
    "events/codec",
    "events/handler",
    "events/mentions",
    "events/parse",
    "history/cache",
    "history/reader",
    "history/recovery",
    "messages/channel",
    "messages/renderer",
    "options",
    "platform",
    "rate_limits",
    "state",
)

PLATFORM_FOLDERS = ("events", "history", "interactions", "messages")

# Subpackages of one platform alone: each Slack workspace has a token of its own, Discord has one for all servers.
PLATFORM_EXTRAS = {"slack": ("oauth",)}

# Relative pronouns in docstrings and comments, per 1,000 words: httpx has 11, trio 18, stamina 20.
PRONOUNS_OVERALL = 25.0
PRONOUNS_IN_A_FILE = 40.0
WORDS_TO_JUDGE = 80  # a shorter file's rate says little
PRONOUN = re.compile(r"\b(that|which|who|whom|whose|what|whatever|whoever)\b", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z']+")

# A sleep for a fixed time; `asyncio.sleep(0)` only lets others run.
_FIXED_SLEEP = re.compile(r"asyncio\.sleep\((?!0\b(?!\.))[\d._]+\)")

MUTABLE_LITERALS = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)
MUTABLE_CALLS = {"dict", "list", "set", "defaultdict", "deque", "OrderedDict", "Counter", "bytearray"}


# ----------------------------------------------------------------------------------------------------- facts of a file


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method."""

    name: str
    line: int
    length: int  # lines, from `def` to the end
    documented: bool


@dataclass
class Facts:
    """All that the rules look at in a file; the syntax tree itself would cost too much memory to keep."""

    lines: int
    docstring: str
    imports: list[str] = field(default_factory=list)  # full names, wherever in the file
    functions: list[Function] = field(default_factory=list)
    classes: dict[str, set[str]] = field(default_factory=dict)  # attributes of each instance
    mutables: list[str] = field(default_factory=list)  # names of the module bound to something mutable
    docstrings: list[str] = field(default_factory=list)
    private: set[str] = field(default_factory=set)  # private names that the file defines
    private_access: list[tuple[int, str]] = field(default_factory=list)  # of another object's
    patches: list[tuple[int, str]] = field(default_factory=list)  # what is replaced in the project's own code
    sleeps: list[str] = field(default_factory=list)  # tests with sockets that sleep for a fixed time


@cache
def facts(text: str) -> Facts:
    """Read a file's text."""
    tree = ast.parse(text)
    found = Facts(text.count("\n"), ast.get_docstring(tree) or "")
    nodes = list(ast.walk(tree))
    bindings = dict(_bindings(nodes))
    found.mutables = list(_mutables(tree))
    found.sleeps = list(_sleeps(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            found.imports += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.imports += [f"{node.module}.{name.name}" for name in node.names]
            found.private_access += [(node.lineno, name.name) for name in node.names if _is_private(name.name)]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            _add_definition(found, node)
        elif isinstance(node, ast.Attribute) and _is_private(node.attr):
            if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
                found.private.add(node.attr)
            else:
                found.private_access.append((node.lineno, node.attr))
        elif isinstance(node, ast.Assign | ast.Call):
            found.patches += [(node.lineno, name) for name in _patched(node, bindings)]
    if found.docstring:
        found.docstrings.append(found.docstring)
    return found


def _add_definition(found: Facts, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
    docstring = ast.get_docstring(node)
    if docstring:
        found.docstrings.append(docstring)
    if _is_private(node.name):
        found.private.add(node.name)
    if isinstance(node, ast.ClassDef):
        found.classes[node.name] = set(_attributes(node))
    else:
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        found.functions.append(Function(node.name, node.lineno, length, bool(docstring)))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    """Annotated fields, and every `self.x` that is assigned in a method; not those of nested classes."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if "ClassVar" not in ast.unparse(statement.annotation):
                yield statement.target.id
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for each in ast.walk(statement):
                if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and _is_self(each.value):
                    yield each.attr


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _mutables(tree: ast.Module) -> Iterator[str]:
    """Module-level names bound to a dict, list or set; a mapping can be a `MappingProxyType`, a list a tuple."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            if "Final" in ast.unparse(statement.annotation):
                continue
            targets, value = [statement.target], statement.value
        else:
            continue
        if _is_mutable(value):
            yield from (target.id for target in targets if isinstance(target, ast.Name) and target.id != "__all__")


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return _last_name(value.func) in MUTABLE_CALLS
    return isinstance(value, MUTABLE_LITERALS)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _first_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _bindings(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """Which full name each imported name stands for."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((name.asname or name.name.partition(".")[0], name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((name.asname or name.name, f"{node.module}.{name.name}") for name in node.names)


def _patched(node: ast.Assign | ast.Call, bindings: Mapping[str, str]) -> Iterator[str]:
    """What of the project, or of unknown origin, a call or an assignment replaces."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Attribute) and _is_ours(bindings.get(_first_name(target.value), "")):
                yield ast.unparse(target)
        return
    if not node.args:
        return
    called, first = ast.unparse(node.func), node.args[0]
    if called not in {"monkeypatch.setattr", "monkeypatch.delattr"} and not re.search(r"\b(mock\.)?patch\b", called):
        return
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        if _is_ours(first.value):
            yield first.value
    elif (full := bindings.get(_first_name(first), "")) == "" or _is_ours(full):
        yield ast.unparse(first)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in {*PRODUCT, "tests", "benchmarks", "install"}


def _sleeps(tree: ast.Module) -> Iterator[str]:
    """Functions of tests in real time that sleep for a fixed time, other than between two looks at a condition."""
    all_sockets = any(_is_real_time(ast.unparse(each)) for each in tree.body if _is_pytestmark(each))
    for node in tree.body:
        for each in ast.walk(node) if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(each, ast.AsyncFunctionDef):
                marks = " ".join(map(ast.unparse, each.decorator_list))
                if (all_sockets or _is_real_time(marks)) and any(_fixed_sleeps(each)):
                    yield each.name


def _is_real_time(marks: str) -> bool:
    """Whether a test with these marks runs in real time: with sockets, but not on the virtual clock."""
    return "mark.sockets" in marks and "virtual=True" not in marks


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


def _fixed_sleeps(node: ast.AST) -> Iterator[ast.Call]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.While) and not isinstance(child.test, ast.Constant):
            continue  # polls a condition
        if (
            isinstance(child, ast.Call)
            and _last_name(child.func) == "sleep"
            and _FIXED_SLEEP.fullmatch(ast.unparse(child))
        ):
            yield child
        yield from _fixed_sleeps(child)


@cache
def prose(text: str) -> tuple[int, int]:
    """How many words, and how many relative pronouns, the docstrings and comments of a file have."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]
    # A shebang, and what a linter or a type checker reads, is no prose.
    spoken = [comment for comment in comments if not comment.startswith(("!", "noqa", "type"))]
    joined = "\n".join([*facts(text).docstrings, *spoken])
    return len(WORD.findall(joined)), len(PRONOUN.findall(joined))


# --------------------------------------------------------------------------------------------------------------- rules


def python_files(tree: Tree, folders: Iterable[str]) -> dict[str, str]:
    chosen = tuple(folders)
    return {path: text for path, text in tree.items() if path.endswith(".py") and path.partition("/")[0] in chosen}


def product_files(tree: Tree) -> dict[str, str]:
    return python_files(tree, PRODUCT)


def files_of_tests(tree: Tree) -> dict[str, str]:
    return python_files(tree, ("tests", "benchmarks"))


def imports_outward(tree: Tree) -> list[str]:
    """The core knows no platform, vendor or setting; adapters know the core; only the composition root knows all."""
    return [
        f"{path}: {name}"
        for path, text in python_files(tree, FORBIDDEN).items()
        for name in facts(text).imports
        if any(is_within(name, package) for package in _forbidden_in(path))
    ]


def _forbidden_in(path: str) -> set[str]:
    return FORBIDDEN[path.partition("/")[0]] - COMPOSITION_ROOT.get(path, set())


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def sdks_outside_their_adapter(tree: Tree) -> list[str]:
    """Each platform's library is imported in one folder, where it can be replaced."""
    return [
        f"{path}: {name}"
        for path, text in product_files(tree).items()
        for name in facts(text).imports
        if not path.startswith(SDK_HOMES.get(name.partition(".")[0], path))
    ]


def platforms_differ(tree: Tree) -> list[str]:
    """Slack and Discord have the same subpackages, and in them the modules of `PLATFORM_PLAN`."""
    found = []
    for platform in PLATFORMS:
        home = f"adapters/{platform}"
        folders = {PurePosixPath(path).parent.as_posix() for path in tree if path.startswith(f"{home}/")}
        unplanned = folders - {
            home,
            *(f"{home}/{name}" for name in (*PLATFORM_FOLDERS, *PLATFORM_EXTRAS.get(platform, ()))),
        }
        found += sorted(unplanned)
        planned = [f"{home}/{module}" for module in PLATFORM_PLAN]
        found += [name for name in planned if f"{name}.py" not in tree and f"{name}/__init__.py" not in tree]
    return found


def long_files(tree: Tree) -> list[str]:
    """No file of the product has over 400 lines."""
    sizes = {path: facts(text).lines for path, text in product_files(tree).items()}
    return [f"{path}: {size} lines" for path, size in sizes.items() if size > FILE_LINES]


def long_functions(tree: Tree) -> list[str]:
    """No function of the product has over 40 lines."""
    return [
        f"{path}:{function.line} {function.name}: {function.length} lines"
        for path, text in product_files(tree).items()
        for function in facts(text).functions
        if function.length > FUNCTION_LINES
    ]


def large_classes(tree: Tree) -> list[str]:
    """No class of the product has over 15 instance attributes."""
    return [
        f"{path} {name}: {len(attributes)} attributes"
        for path, text in product_files(tree).items()
        for name, attributes in facts(text).classes.items()
        if len(attributes) > CLASS_ATTRIBUTES and f"{path} {name}" not in LARGE_CLASSES
    ]


def mutable_modules(tree: Tree) -> list[str]:
    """No module of the product holds a dict, list or set that could change."""
    return [f"{path}: {name}" for path, text in product_files(tree).items() for name in facts(text).mutables]


def wordy_files(tree: Tree) -> list[str]:
    """No file of the product has over 40 relative pronouns per 1,000 words of prose."""
    counts = {path: prose(text) for path, text in product_files(tree).items()}
    return [
        f"{path}: {1000 * pronouns / words:.0f}"
        for path, (words, pronouns) in counts.items()
        if words >= WORDS_TO_JUDGE and 1000 * pronouns / words > PRONOUNS_IN_A_FILE
    ]


def wordiness(tree: Tree) -> float:
    """Relative pronouns per 1,000 words of the product's prose."""
    counts = [prose(text) for text in product_files(tree).values()]
    return 1000 * sum(pronouns for _, pronouns in counts) / max(1, sum(words for words, _ in counts))


def wordy_overall(tree: Tree) -> list[str]:
    """The product has at most 25 relative pronouns per 1,000 words of prose."""
    rate = wordiness(tree)
    return [f"{rate:.1f}"] if rate > PRONOUNS_OVERALL else []


def long_readme(tree: Tree) -> list[str]:
    """The README has at most 7 KB."""
    size = len(tree["README.md"].encode())
    return [f"{size} bytes"] if size > README_BYTES else []


def patched_names(tree: Tree) -> list[str]:
    """Tests replace nothing in the project's code: what they need to change is an option or an argument."""
    files = files_of_tests(tree)
    return [f"{path}:{line} {name}" for path, text in files.items() for line, name in facts(text).patches]


def private_access(tree: Tree) -> list[str]:
    """Tests use no private name of the product."""
    owned = {name for text in product_files(tree).values() for name in facts(text).private}
    return [
        f"{path}:{line} {name}"
        for path, text in files_of_tests(tree).items()
        for line, name in facts(text).private_access
        if name in owned and name not in facts(text).private
    ]


def bare_sleeps(tree: Tree) -> list[str]:
    """Tests in real time wait for a condition, not for a while."""
    return [f"{path} {name}" for path, text in files_of_tests(tree).items() for name in facts(text).sleeps]
