"""The pages for people: links, the metrics table, and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.metrics import metric_names
from tests.support.paths import ROOT

TOP_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
PAGES = [*(ROOT / name for name in TOP_PAGES), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    """A page's path from the top of the project."""
    return page.relative_to(ROOT).as_posix()


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub derives them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links, except to the web."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return (target for target in LINK.findall(text) if "://" not in target)


def is_broken(page: Path, target: str) -> bool:
    """Whether a link's file or anchor is missing."""
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists():
        return True
    return bool(anchor) and file.suffix == ".md" and anchor not in anchors(file)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Every linked file and anchor exists."""
    assert [target for target in links(page) if is_broken(page, target)] == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """The check fails for a missing file and for a missing anchor, and ignores code and the web."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` title!\n[x](#a-b-title) [y](no.md) [z](page.md#no) [w](https://w#no)\n```\n[c](c.md)\n```\n"
    )
    assert [target for target in links(page) if is_broken(page, target)] == ["no.md", "page.md#no"]


def test_every_page_is_linked() -> None:
    """A reader reaches every page of docs/ from the README, the contributing guide or a page linked there."""
    linked = {(page.parent / target.partition("#")[0]).resolve() for page in PAGES for target in links(page)}
    folders = {path for path in linked if path.is_dir()}
    pages = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert [page for page in pages if page not in linked and not folders & set(page.parents) - {ROOT / "docs"}] == []


def test_the_plan_of_the_platforms_exists() -> None:
    """Every path of the plan in docs/architecture.md is a module of both platforms."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## One plan for every platform")[2].partition("\n## ")[0]
    paths = re.findall(r"^\| `([a-z_/]+)` \|", section, re.MULTILINE)
    modules = [ROOT / "adapters" / platform / f"{path}.py" for platform in ("slack", "discord") for path in paths]
    assert len(paths) >= 12
    assert [module.as_posix() for module in modules if not module.is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_in_the_text_exist(page: Path) -> None:
    """Every path from the top of the project, in backticks, exists."""
    text = page.read_text(encoding="utf-8")
    paths: list[str] = re.findall(r"`((?:bot|adapters|config|tests|benchmarks|docs)/[\w./-]+)`", text)
    made_by_the_operator = {"config/tickertape.toml", "config/my_prompt.md"}
    assert [path for path in paths if not (ROOT / path).exists() and path not in made_by_the_operator] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name != "benchmarks"], ids=lambda page: page.name
)
def test_pages_are_plain_english(page: Path) -> None:
    """At most 25 relative pronouns per 1,000 words: where the field has a noun, use it."""
    text = page.read_text(encoding="utf-8")
    words = len(re.findall(r"[A-Za-z']+", text))
    pronouns = len(re.findall(r"\b(?:that|which|who|whom|whose|what|whatever|whoever)\b", text, re.IGNORECASE))
    assert 1000 * pronouns <= 25 * words


def test_the_operations_page_explains_every_metric() -> None:
    """Each exposed series is explained, and each explained series is exposed."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(tickertape_[a-z_]+)", page)) == metric_names()


def test_the_readme_is_short() -> None:
    """At most 7 KB: people read it in a few minutes; details are in docs/."""
    assert len((ROOT / "README.md").read_bytes()) <= 7_000


def test_the_readme_names_the_test_commands() -> None:
    """`make test` for every change, `make test-all` for everything."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "`make test`" in text
    assert "`make test-all`" in text
    assert "make demo" in text
