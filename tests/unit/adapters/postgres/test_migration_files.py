"""The migration files, and the comparison with a database."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from adapters.postgres.migrations.files import Kind, Migration, all_migrations, parse_migrations
from adapters.postgres.migrations.runner import Recorded, compare

FIRST, SECOND = (
    Migration(number, f"step_{number}", Kind.EXPAND, "adds a table", "CREATE TABLE ...") for number in (1, 2)
)


def recorded(migration: Migration) -> Recorded:
    return Recorded(migration.number, migration.name, migration.kind.value, migration.checksum)


def test_the_migrations_of_this_version_are_well_formed() -> None:
    """Numbers follow each other, so that two branches with the same number are noticed."""
    numbers = [each.number for each in all_migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_no_migration_needs_more_than_a_transaction() -> None:
    """Each runs as a whole or not at all, and names its schema: the search path is the user's."""
    for each in all_migrations():
        assert not re.search(r"\b(COMMIT|ROLLBACK|CONCURRENTLY|VACUUM)\b", each.script, re.IGNORECASE), each.title
        for name in re.findall(r"CREATE (?:TABLE|FUNCTION|TYPE)\s+(?:IF NOT EXISTS )?(\S+)", each.script):
            assert name.startswith("tickertape."), each.title


@pytest.mark.parametrize("name", ["1_journal.sql", "0001-journal.sql", "0001_Journal.sql"])
def test_a_malformed_name_is_refused(name: str) -> None:
    """Another form would be sorted, or recorded, differently."""
    with pytest.raises(ValueError, match=r"is named 0001_words\.sql"):
        parse_migrations([(name, "-- expand: adds a table\n")])


def test_a_migration_tells_its_kind_and_purpose() -> None:
    """Without its kind nobody could tell whether an older version still runs."""
    with pytest.raises(ValueError, match="begins with its kind"):
        parse_migrations([("0001_journal.sql", "CREATE TABLE t ()")])


def test_a_number_is_taken_once() -> None:
    """Two migrations with one number would hide each other."""
    files = [(f"0001_{name}.sql", "-- expand: adds a table\n") for name in ("a", "b")]
    with pytest.raises(ValueError, match="number 1 is taken by a"):
        parse_migrations(files)


def test_line_ends_do_not_change_a_migration() -> None:
    """Git writes other line ends on Windows."""
    windows = replace(FIRST, script="a\r\nb\r\n")
    assert windows.checksum == replace(FIRST, script="a\nb\n").checksum != FIRST.checksum


def test_an_older_database_asks_for_the_command() -> None:
    """The line names the command."""
    found = compare([FIRST, SECOND], [recorded(FIRST)])
    assert found.pending == (SECOND,)
    assert "tickertape migrate" in found.problem


def test_a_database_with_later_additions_is_accepted() -> None:
    """During a deploy the earlier version runs on."""
    found = compare([FIRST], [recorded(FIRST), recorded(SECOND)])
    assert found.later == (recorded(SECOND),)
    assert not found.problem


def test_a_database_without_what_this_version_needs_is_refused() -> None:
    """A later contraction has removed tables or columns in use here."""
    contracted = replace(recorded(SECOND), kind="contract")
    assert "install the later version" in compare([FIRST], [recorded(FIRST), contracted]).problem


def test_another_text_under_a_known_number_is_refused() -> None:
    """The tables are not those that this version was made for."""
    found = compare([FIRST], [replace(recorded(FIRST), checksum="other")])
    assert found.changed == ("0001 step_1",)
    assert "another text" in found.problem
