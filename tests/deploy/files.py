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


@cache
def service(name: str) -> Mapping[str, Any]:
    """A service of compose.yaml."""
    found: Mapping[str, Any] = read_yaml(ROOT / "compose.yaml")["services"][name]
    return found


def scaled(name: str) -> Mapping[str, Any]:
    """A service of compose.yaml and compose.scale.yaml together.

    Compose merges mappings by key, and volumes by their place in the container
    (https://docs.docker.com/reference/compose-file/merge/). No other list is in both files.
    """
    alone: Mapping[str, Any] = read_yaml(ROOT / "compose.yaml")["services"].get(name, {})
    above: Mapping[str, Any] = read_yaml(ROOT / "compose.scale.yaml")["services"].get(name, {})
    volumes = {each.split(":")[1]: each for one in (alone, above) for each in one.get("volumes", ())}
    environment = {**alone.get("environment", {}), **above.get("environment", {})}
    assert not {key for key in alone.keys() & above.keys() if isinstance(above[key], list)} - {"volumes"}
    return {**alone, **above, "volumes": list(volumes.values()), "environment": environment}


SCALED = tuple(
    sorted({*read_yaml(ROOT / "compose.yaml")["services"], *read_yaml(ROOT / "compose.scale.yaml")["services"]})
)


@cache
def kubernetes(kind: str, file: str = "kubernetes.yaml") -> Mapping[str, Any]:
    """The one resource of a kind."""
    text = (DEPLOY / file).read_text(encoding="utf-8")
    (found,) = [each for each in yaml.safe_load_all(text) if each["kind"] == kind]
    return found  # type: ignore[no-any-return]  # YAML has no types


def pod() -> Mapping[str, Any]:
    """The pod of the one process."""
    found: Mapping[str, Any] = kubernetes("Deployment")["spec"]["template"]["spec"]
    return found


def container() -> Mapping[str, Any]:
    """Its container."""
    (found,) = pod()["containers"]
    return found  # type: ignore[no-any-return]  # YAML has no types


def scaled_pod() -> Mapping[str, Any]:
    """The pod of each of several processes."""
    found: Mapping[str, Any] = kubernetes("Deployment", "kubernetes-scale.yaml")["spec"]["template"]["spec"]
    return found


def fly() -> Mapping[str, Any]:
    """Fly's file."""
    return read_toml(DEPLOY / "fly.toml")


def run_tool(*command: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the tests' environment, with `text` as its input."""
    program, *arguments = command
    path = Path(sys.executable).parent / program
    return subprocess.run([path, *arguments], input=text, capture_output=True, text=True, check=False)
