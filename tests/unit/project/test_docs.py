"""The pages for people: links, the metrics table, and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from adapters.prometheus import PrometheusRecorder
from tests.support.paths import ROOT

TOP_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
PAGES = [*(ROOT / name for name in TOP_PAGES), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
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


def test_the_operations_page_explains_every_metric() -> None:
    """Each exposed series is explained, and each explained series is exposed."""
    exposition = PrometheusRecorder().render_metrics()[0].decode()
    exposed = set(re.findall(r"^# TYPE (tickertape_\w+) (?:counter|histogram)", exposition, re.MULTILINE))
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(tickertape_[a-z_]+)", page)) == exposed


def test_the_readme_is_short() -> None:
    """At most 7 KB: people read it in a few minutes; details are in docs/."""
    assert len((ROOT / "README.md").read_bytes()) <= 7_000


def test_the_readme_names_the_test_commands() -> None:
    """`make test` for every change, `make test-all` for everything."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "`make test`" in text
    assert "`make test-all`" in text
    assert "make demo" in text
