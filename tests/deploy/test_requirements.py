"""requirements.txt, for images and for hosts that look for this name: the part of the lock needed to run the bot.

Nothing can be installed into a running image, so traces and PostgreSQL's driver are part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.files import read_toml
from tests.support.paths import ROOT


@cache
def pinned(file: str) -> Mapping[str, str]:
    """A lock's packages by name, each with version, marker and hashes."""
    text = (ROOT / file).read_text(encoding="utf-8")
    blocks = re.findall(r"^([a-z0-9-]+)(==(?:.+\\\n)+.+)$", text, re.MULTILINE)
    return dict(blocks)


def here(texts: Iterable[str]) -> set[str]:
    """The names of the requirements on this machine, without extras."""
    found = [Requirement(text) for text in texts]
    return {
        canonicalize_name(each.name) for each in found if each.marker is None or each.marker.evaluate({"extra": ""})
    }


def test_it_pins_what_the_lock_pins() -> None:
    """A package has the same version, marker and hashes in both, so the tested packages are the running ones."""
    assert pinned("requirements.txt").items() <= pinned("requirements.lock").items()


def test_it_holds_what_the_bot_needs_and_no_more() -> None:
    """The dependencies of the bot, its traces and PostgreSQL, with all of theirs; no tests, no demonstration model."""
    project = read_toml(ROOT / "pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    wanted = here([*project["dependencies"], *extras["otel"], *extras["postgres"]])
    while more := {name for each in wanted for name in here(requires(each) or [])} - wanted:
        wanted |= more
    listed = pinned("requirements.txt")
    assert wanted <= listed.keys()
    for_other_machines = {name for name, text in listed.items() if " ; " in text}
    assert listed.keys() - wanted <= for_other_machines
