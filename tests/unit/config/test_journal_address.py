"""``JOURNAL_URL`` for PostgreSQL, as people write it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from config.docs import describe
from config.errors import SettingsError
from config.journal_address import parse_journal, passwords_in, without_password
from config.settings import Settings


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("postgresql://kim:pw@db.example.org:5432/bots", "postgresql://kim:pw@db.example.org:5432/bots"),
        ("postgres://kim:pw@db.example.org/bots", "postgresql://kim:pw@db.example.org/bots"),
        ("  POSTGRES://kim@db/bots\n", "postgresql://kim@db/bots"),
        ("postgresql+asyncpg://kim:pw@db/bots", "postgresql://kim:pw@db/bots"),
        ("postgresql+psycopg2://kim:pw@db/bots", "postgresql://kim:pw@db/bots"),
        ("postgresql://kim:p%40w@db/bots?sslmode=require", "postgresql://kim:p%40w@db/bots?sslmode=require"),
        ("postgresql://kim:pw@[2001:db8::1]:5433/bots", "postgresql://kim:pw@[2001:db8::1]:5433/bots"),
        ("postgresql://kim:pw@one:5432,two:5432/bots", "postgresql://kim:pw@one:5432,two:5432/bots"),
        ("postgresql:///bots?host=/var/run/postgresql", "postgresql:///bots?host=/var/run/postgresql"),
        ("postgresql://localhost", "postgresql://localhost"),
        ("postgresql://ep-a-pooler.eu.neon.tech/b?channel_binding=require", None),
        ("postgres://u8x:p4c@ec2-1.compute-1.amazonaws.com:5432/d1", None),
    ],
)
def test_the_usual_forms_are_accepted(written: str, meant: str | None, tmp_path: Path) -> None:
    """Each host's form is one address; there is no file then."""
    settings = Settings.load({"JOURNAL_URL": written}, folder=tmp_path)
    assert settings.journal_database == (meant or f"postgresql://{written.partition('://')[2]}")
    assert settings.journal_file is None
    assert settings.records_file is None


@pytest.mark.parametrize(
    "written",
    [
        *("postgresql:bots", "postgresql:/db/bots", "postgres://kim:p@ss@db/bots", "postgres://kim:p#w@db/bots"),
        *("postgresql://kim:p/w@db/bots", "postgresql://db:port/bots", "postgresql://kim:p w@db/bots"),
        *("postgresql://db/bots/more", "postgresql://db:123456/bots", "postgresql://kim@db/bots#x"),
    ],
)
def test_a_malformed_address_is_one_line(written: str, tmp_path: Path) -> None:
    """It shows the form and how signs in a password are written, and repeats nothing."""
    with pytest.raises(SettingsError) as failed:
        Settings.load({"JOURNAL_URL": written}, folder=tmp_path)
    (line,) = failed.value.lines
    assert line.startswith("JOURNAL_URL must be postgresql://user:password@host:5432/database; in the password, write")
    assert "kim" not in line


def test_other_databases_are_told_what_there_is(tmp_path: Path) -> None:
    """The line names all three kinds."""
    with pytest.raises(SettingsError) as failed:
        Settings.load({"JOURNAL_URL": "mysql://db/bots"}, folder=tmp_path)
    assert all(word in str(failed.value) for word in ("sqlite:///", "postgresql://", "memory:"))


def test_the_password_is_shown_nowhere(tmp_path: Path) -> None:
    """Neither `check` nor the log has it, as written or as meant."""
    settings = Settings.load({"JOURNAL_URL": "postgres://kim:hu%24h@db/bots"}, folder=tmp_path)
    assert {"hu%24h", "hu$h"} <= settings.secrets()
    shown = "\n".join(describe(settings))
    assert "JOURNAL_URL: postgresql://kim:***@db/bots" in shown
    assert "hu%24h" not in shown
    assert without_password("postgresql://db/b?user=kim&password=hush") == "postgresql://db/b?user=kim&password=***"
    assert passwords_in("postgresql://db/b?password=hu%24h") == {"hu%24h", "hu$h"}
    assert passwords_in("postgresql://kim@db/b") == frozenset()


@given(st.text())
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    """Nothing but a setting's error is raised; what is accepted is accepted again."""
    for written in (text, f"postgres://{text}"):
        with suppress(PydanticCustomError):
            parsed = parse_journal(written)
            assert parse_journal(parsed) == parsed
