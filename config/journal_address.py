"""The forms of ``JOURNAL_URL``: an SQLite file, a PostgreSQL database, or memory."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

# Prefix of a journal's file; the path follows.
FILE_SCHEME = "sqlite:///"
# Prefix of a journal's database.
DATABASE_SCHEME = "postgresql://"
# A journal without a file: our form, and the forms of SQLite, SQLAlchemy and other drivers.
MEMORY = "memory:"
_MEMORY_NAMES = re.compile(r"memory(?::/{0,3})?|(?:sqlite:/{0,3})?:memory:", re.IGNORECASE)
_FILE = re.compile(r"sqlite:///(?P<path>[^?#]*[^?#/])", re.IGNORECASE)

# As hosts write it: postgres:// too, and SQLAlchemy's form with a driver. Several hosts are separated by commas.
_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+\w+)?:", re.IGNORECASE | re.ASCII)
_HOST = r"(?:[\w.%-]+|\[[0-9a-fA-F:.]+\])?(?::\d{1,5})?"
_DATABASE = re.compile(
    r"postgres(?:ql)?(?:\+\w+)?://"
    r"(?P<rest>(?:[^:@/?#\s]*(?::(?P<password>[^@/?#\s]*))?@)?"
    rf"{_HOST}(?:,{_HOST})*(?:/[^/?#\s]*)?(?:\?[^#\s]*)?)",
    re.IGNORECASE | re.ASCII,
)
_PASSWORD_PARAMETER = re.compile(r"(?<=[?&]password=)[^&]+")

_FILE_FORMS = (
    f"{FILE_SCHEME}tickertape.db (a file in the working folder), {FILE_SCHEME}/var/lib/tickertape.db (anywhere)"
)
_DATABASE_FORM = f"{DATABASE_SCHEME}user:password@host:5432/database"


def parse_journal(value: str) -> str:
    """Accept a journal address and normalise it: an SQLite file, a PostgreSQL database, memory, or empty text."""
    text = value.strip()
    if not text:
        return ""
    if _MEMORY_NAMES.fullmatch(text):
        return MEMORY
    if (named := _FILE.fullmatch(text)) and text.isprintable():
        return f"{FILE_SCHEME}{named['path']}"
    if (database := _DATABASE.fullmatch(text)) and text.isprintable():
        return f"{DATABASE_SCHEME}{database['rest']}"
    if _POSTGRES.match(text):
        raise _must_be(f"{_DATABASE_FORM}; in the password, write @ as %40, / as %2F, # as %23, ? as %3F and : as %3A")
    raise _must_be(f"{_FILE_FORMS}, {_DATABASE_FORM} (PostgreSQL) or {MEMORY} (none)")


def passwords_in(address: str) -> frozenset[str]:
    """The password of a database's address, as written and as meant."""
    database = _DATABASE.fullmatch(address)
    written = {database["password"]} if database is not None and database["password"] else set()
    written |= set(_PASSWORD_PARAMETER.findall(address))
    return frozenset(written | {unquote(each) for each in written})


def without_password(address: str) -> str:
    """A journal's address to show."""
    if (database := _DATABASE.fullmatch(address)) is not None and database["password"]:
        start, end = database.span("password")
        address = f"{address[:start]}***{address[end:]}"
    return _PASSWORD_PARAMETER.sub("***", address)


def _must_be(expected: str) -> PydanticCustomError:
    return PydanticCustomError("setting", "{expected}", {"expected": expected})


JournalAddress = Annotated[str, AfterValidator(parse_journal)]
