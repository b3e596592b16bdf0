"""Each rule for the code finds its violation, and nothing in code that keeps it."""

from __future__ import annotations

import pytest

from tests.support import architecture
from tests.support.architecture import PLATFORM_PLAN, PLATFORMS, Rule, Tree, facts

PLAN = {
    f"adapters/{platform}/{module}.py": ""
    for platform in PLATFORMS
    for module in (*PLATFORM_PLAN, "__init__", "events/__init__", "history/__init__", "messages/__init__")
}


def lines(count: int) -> str:
    return "x = 1\n" * count


def function(count: int) -> str:
    return "def f() -> None:\n" + "    pass\n" * (count - 1)


def fields(count: int) -> str:
    return "class C:\n" + "".join(f"    f{number}: int\n" for number in range(count))


def assigned(count: int) -> str:
    return "class C:\n    def m(self):\n" + "".join(f"        self.f{number} = 1\n" for number in range(count))


def sentence(pronouns: int, words: int) -> str:
    return f'"""{" ".join(["that"] * pronouns + ["word"] * (words - pronouns))}"""\n'


SOCKETS = "import asyncio\nimport pytest\n\n@pytest.mark.sockets\nasync def test_x():\n"
PATCH = "def f(monkeypatch, thing):\n    monkeypatch.setattr("
PRODUCT_NAME = "class C:\n    def __init__(self):\n        self._x = 1\n"

VIOLATIONS: list[tuple[Rule, Tree]] = [
    (architecture.imports_outward, {"bot/a.py": "import adapters.slack"}),
    (architecture.imports_outward, {"bot/a/b.py": "def f():\n    from config import settings"}),
    (architecture.imports_outward, {"bot/bootstrap.py": "import tests.support"}),
    (architecture.imports_outward, {"adapters/a.py": "from bot import __main__"}),
    (architecture.imports_outward, {"adapters/a.py": "import config"}),
    (architecture.imports_outward, {"config/a.py": "import bot"}),
    (architecture.imports_outward, {"benchmarks/a.py": "from config.settings import Settings"}),
    (architecture.sdks_outside_their_adapter, {"adapters/discord/a.py": "from slack_sdk import web"}),
    (architecture.sdks_outside_their_adapter, {"adapters/shared/a.py": "import discord"}),
    *((architecture.platforms_differ, {p: PLAN[p] for p in PLAN if p != path}) for path in PLAN if "init" not in path),
    (architecture.platforms_differ, {**PLAN, "adapters/slack/said/parse.py": ""}),
    (architecture.long_files, {"bot/a.py": lines(401)}),
    (architecture.long_functions, {"config/a.py": function(41)}),
    (architecture.long_functions, {"bot/a.py": f"class C:\n    async {function(41).replace('    ', '        ')}"}),
    (architecture.large_classes, {"bot/a.py": fields(16)}),
    (architecture.large_classes, {"bot/a.py": assigned(16)}),
    (architecture.large_classes, {"adapters/a.py": fields(8) + assigned(8).partition("\n")[2].replace(".f", ".g")}),
    (architecture.mutable_modules, {"bot/a.py": "cache = {}"}),
    (architecture.mutable_modules, {"bot/a.py": "SEEN: set[str] = set()"}),
    (architecture.mutable_modules, {"adapters/a.py": "import collections\nQUEUE = collections.deque()"}),
    (architecture.mutable_modules, {"config/a.py": "NAMES = [name for name in 'abc']"}),
    (architecture.wordy_files, {"bot/a.py": sentence(4, 80)}),
    (architecture.wordy_files, {"bot/a.py": f"# {'who ' * 4}{'word ' * 90}\n"}),
    (architecture.wordy_overall, {"bot/a.py": sentence(2, 79), "adapters/a.py": sentence(2, 70)}),
    (architecture.long_readme, {"README.md": "x" * 7169}),
    (architecture.patched_names, {"tests/a.py": f"from bot import a\n\n{PATCH}a, 'b', 1)"}),
    (architecture.patched_names, {"tests/a.py": f"{PATCH}'adapters.a.B', 1)"}),
    (architecture.patched_names, {"tests/a.py": f"{PATCH}thing, 'b', 1)"}),
    (architecture.patched_names, {"tests/a.py": "from unittest import mock\n\nwith mock.patch('bot.a.B'):\n    pass"}),
    (architecture.patched_names, {"benchmarks/a.py": "import bot.a as module\n\nmodule.LIMIT = 3"}),
    (architecture.private_access, {"bot/a.py": PRODUCT_NAME, "tests/a.py": "def f(c):\n    return c._x"}),
    (architecture.private_access, {"bot/a.py": "def _f(): pass", "tests/a.py": "from bot.a import _f"}),
    (architecture.private_access, {"bot/a.py": "def _f(): pass", "tests/a.py": "import bot.a\n\nbot.a._f()"}),
    (architecture.bare_sleeps, {"tests/a.py": f"{SOCKETS}    await asyncio.sleep(0.05)"}),
    (architecture.bare_sleeps, {"tests/a.py": f"{SOCKETS}    while True:\n        await asyncio.sleep(1)"}),
    (
        architecture.bare_sleeps,
        {"tests/a.py": "pytestmark = pytest.mark.sockets\nasync def later():\n    await asyncio.sleep(2)"},
    ),
]

KEPT: list[tuple[Rule, Tree]] = [
    (
        architecture.bare_sleeps,
        {"tests/a.py": "pytestmark = pytest.mark.sockets(virtual=True)\nasync def f():\n    await asyncio.sleep(2)"},
    ),
    (architecture.imports_outward, {"adapters/a.py": "from bot.ports import Channel", "bot/a.py": "import bot.b"}),
    (architecture.imports_outward, {"bot/bootstrap.py": "import adapters.slack\nimport config"}),
    (
        architecture.sdks_outside_their_adapter,
        {"adapters/slack/a.py": "import slack_sdk", "tests/a.py": "import discord"},
    ),
    (architecture.platforms_differ, PLAN),
    (architecture.platforms_differ, {**PLAN, "adapters/slack/messages/mrkdwn.py": ""}),
    (architecture.long_files, {"bot/a.py": lines(400), "tests/a.py": lines(900)}),
    (architecture.long_functions, {"bot/a.py": function(40)}),
    (architecture.large_classes, {"bot/a.py": fields(15) + assigned(15).replace("C", "D")}),
    (
        architecture.mutable_modules,
        {"bot/a.py": "A = (1,)\nB = frozenset({1})\nC = MappingProxyType({})\n__all__ = ['A']"},
    ),
    (
        architecture.wordy_files,
        {"bot/a.py": sentence(3, 80), "bot/b.py": sentence(50, 79), "bot/c.py": "that = which = 1"},
    ),
    (architecture.wordy_overall, {"bot/a.py": sentence(25, 1000)}),
    (architecture.long_readme, {"README.md": "x" * 7168}),
    (architecture.patched_names, {"tests/a.py": f"import sys\n\n{PATCH}sys, 'argv', [])"}),
    (architecture.private_access, {"bot/a.py": PRODUCT_NAME, "tests/a.py": f"{PRODUCT_NAME}\nC()._x\n"}),
    (architecture.private_access, {"bot/a.py": PRODUCT_NAME, "tests/a.py": "sys._getframe()"}),
    (architecture.bare_sleeps, {"tests/a.py": f"{SOCKETS}    while not done():\n        await asyncio.sleep(0.01)"}),
    (architecture.bare_sleeps, {"tests/a.py": f"{SOCKETS}    await asyncio.sleep(0)"}),
    (architecture.bare_sleeps, {"tests/a.py": "async def test_virtual():\n    await asyncio.sleep(60)"}),
]


def names(cases: list[tuple[Rule, Tree]]) -> list[str]:
    return [rule.__name__ for rule, _ in cases]


@pytest.mark.parametrize(("rule", "tree"), VIOLATIONS, ids=names(VIOLATIONS))
def test_a_violation_is_found(rule: Rule, tree: Tree) -> None:
    """Code that breaks a rule makes the rule fail, once for each violation."""
    assert len(rule(tree)) == 1


@pytest.mark.parametrize(("rule", "tree"), KEPT, ids=names(KEPT))
def test_code_that_keeps_a_rule_is_left_alone(rule: Rule, tree: Tree) -> None:
    """A rule finds nothing at its very limit."""
    assert rule(tree) == []


def test_docstrings_of_all_kinds_and_comments_are_prose() -> None:
    """Modules, classes and functions have docstrings; directives to tools are no prose."""
    text = '"""One who."""\nclass C:\n    """Two."""\n    def f(self):\n        """Three that."""\n'
    text += "        # four which\n        return 'who'  # noqa: X1 (that)\n"
    assert architecture.prose(text) == (7, 3)
    assert len(facts(text).docstrings) == 3
