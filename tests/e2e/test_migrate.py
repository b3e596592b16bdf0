"""`tickertape migrate` as an operator and a host run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.ports import free_port
from tests.support.process import bot

pytestmark = pytest.mark.sockets

SETTINGS = {"OPENAI_MODEL": "m", "OPENAI_API_KEY": "k"}


async def said(environment: dict[str, str], *arguments: str, folder: Path) -> tuple[int, list[str]]:
    """The exit code and the lines of a command."""
    async with bot(SETTINGS | environment, *arguments, folder=folder) as running:
        code = await running.process.wait()
    return code, running.lines


async def test_it_creates_the_tables_once(bare_database: str, tmp_path: Path) -> None:
    """A look first, then the work, then nothing to do: each with its exit code."""
    environment = {"JOURNAL_URL": bare_database.replace("postgresql:", "postgres:")}
    code, lines = await said(environment, "migrate", "--check", folder=tmp_path)
    assert code == 1
    assert any("to run: 0001 journal (expand: " in line for line in lines)
    code, lines = await said(environment, "migrate", folder=tmp_path)
    assert code == 0
    assert lines[0] == "ran 0001 journal"
    assert "fit this version" in lines[-1]
    for arguments in (("migrate",), ("migrate", "--check")):
        code, lines = await said(environment, *arguments, folder=tmp_path)
        assert code == 0
        assert len(lines) == 1


async def test_check_covers_the_database(bare_database: str, tmp_path: Path) -> None:
    """The missing tables are a failure with its remedy, and no password is shown."""
    url = bare_database.replace("tickertape@", "tickertape:hush-hush@")
    code, lines = await said({"JOURNAL_URL": url}, "check", folder=tmp_path)
    assert code == 1
    assert any("ok   PostgreSQL: version" in line for line in lines)
    assert any("FAIL migrations: " in line and "tickertape migrate" in line for line in lines)
    assert not any("hush" in line for line in lines)


async def test_without_postgresql_there_is_nothing_to_do(tmp_path: Path) -> None:
    """A host may run the command whatever the journal is."""
    for url in ("memory:", f"sqlite:///{tmp_path}/turns.db", ""):
        code, lines = await said({"JOURNAL_URL": url}, "migrate", folder=tmp_path)
        assert code == 0
        assert "nothing to migrate" in lines[0]


async def test_a_wrong_database_is_one_line(bare_database: str, tmp_path: Path) -> None:
    """A setting's error ends with 2, as others do."""
    wrong = {"JOURNAL_URL": bare_database.replace("/test_", "/missing_").replace("@", ":hush-hush@")}
    code, lines = await said(wrong, "migrate", folder=tmp_path)
    assert code == 2
    assert len(lines) == 1
    assert "no such database" in lines[0]
    assert "hush" not in lines[0]


@pytest.mark.parametrize("url", ["postgresql://a:b@c@d/e", "postgres://host:port/x", "postgresql:db"])
async def test_a_malformed_address_is_one_line(url: str, tmp_path: Path) -> None:
    """It shows the form, and does not repeat a password."""
    code, lines = await said({"JOURNAL_URL": url}, "migrate", folder=tmp_path)
    assert code == 2
    assert len(lines) == 1
    assert "postgresql://user:password@host:5432/database" in lines[0]
    assert "c@d" not in lines[0]


async def test_its_help_teaches(tmp_path: Path) -> None:
    """When to run it, what it changes, and its exit codes."""
    code, lines = await said({}, "migrate", "--help", folder=tmp_path)
    text = "\n".join(lines)
    assert code == 0
    assert all(word in text for word in ("--check", "JOURNAL_URL", "Exit codes", "before each new version"))


async def test_a_database_that_is_down_is_waited_for(tmp_path: Path) -> None:
    """The line says so at once; a host starts both together."""
    url = f"postgresql://a:hush-hush@127.0.0.1:{free_port()}/b"
    async with bot(SETTINGS | {"JOURNAL_URL": url}, "migrate", folder=tmp_path) as running:
        line = await running.says("trying again")
    assert "hush" not in line
