"""The deployment files as values, for the tests that compare them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

DEPLOY = ROOT / "config" / "deploy"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, with its lines joined."""

    name: str
    text: str

    def words(self) -> list[str]:
        """Return its words without options."""
        return [word for word in shlex.split(self.text) if not word.startswith("--")]

    def command(self) -> list[str]:
        """Return the command of CMD, ENTRYPOINT or HEALTHCHECK. Raises `ValueError` unless it is in exec form."""
        command = json.loads(self.text[self.text.index("[") :])
        assert isinstance(command, list)
        return command


@cache
def dockerfile() -> tuple[Instruction, ...]:
    """The Dockerfile's instructions, in order."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    joined = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return tuple(Instruction(name, text.strip()) for name, text in pairs)


@cache
def final_stage() -> tuple[Instruction, ...]:
    """The instructions of the stage that is shipped."""
    everything = dockerfile()
    last = max(number for number, each in enumerate(everything) if each.name == "FROM")
    return everything[last:]


def only(name: str) -> Instruction:
    """Return the shipped stage's one instruction of a name."""
    (found,) = [each for each in final_stage() if each.name == name]
    return found


@cache
def image_environment() -> Mapping[str, str]:
    """The variables set by the image."""
    words = [word for each in final_stage() if each.name == "ENV" for word in each.words()]
    return dict(word.split("=", maxsplit=1) for word in words)


def dockerignore() -> tuple[str, ...]:
    """The patterns of .dockerignore, in order."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def is_ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether the build never sees a file: the last pattern decides that matches it or a folder above it.

    The rules: https://docs.docker.com/build/concepts/context/#dockerignore-files
    """
    parts = path.split("/")
    names = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    verdict = False
    for pattern in patterns:
        if any(_matches(name, pattern.removeprefix("!")) for name in names):
            verdict = not pattern.startswith("!")
    return verdict


def _matches(name: str, pattern: str) -> bool:
    """Whether a path has a pattern's shape; a star stays within one part, two stars stand for any parts."""
    if pattern.startswith("**/"):
        return any(_matches(rest, pattern[3:]) for rest in _tails(name))
    here, there = name.split("/"), pattern.split("/")
    return len(here) == len(there) and all(map(fnmatchcase, here, there))


def _tails(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def read_yaml(path: Path) -> Any:
    """Return the one document of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def run_tool(*command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the tests' environment, with `text` as its input."""
    program, *arguments = command
    path = Path(sys.executable).parent / program
    return subprocess.run([path, *arguments], input=text, capture_output=True, text=True, check=False)
