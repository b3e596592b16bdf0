"""The translation of asyncpg's and the system's errors."""

from __future__ import annotations

import errno
import importlib
import logging
import ssl
from collections.abc import Iterator

import pytest

from adapters.postgres.errors import ErrorTranslator, NotMigrated, ParameterRefused, PoolerFound, StandbyFound
from bot.errors import ConnectFailed, Failure, OutcomeUnknown, Permanent, ServiceError

asyncpg = pytest.importorskip("asyncpg", reason="needs asyncpg: pip install 'tickertape[postgres]'")
exceptions = importlib.import_module("asyncpg.exceptions")

URL = "postgresql://kim:p%40ss-word@db.example.org:5433/bots?sslmode=require"
TRANSLATOR = ErrorTranslator(URL)


def subclasses(base: type[BaseException]) -> Iterator[type[BaseException]]:
    yield base
    for each in base.__subclasses__():
        yield from subclasses(each)


def all_errors() -> list[type[Exception]]:
    """Every exception class of asyncpg."""
    found = {
        each
        for each in subclasses(Exception)
        if each.__module__.startswith("asyncpg") and not issubclass(each, Warning) and not each.__name__.startswith("_")
    }
    return sorted(found, key=lambda each: each.__name__)  # type: ignore[arg-type]  # all of them are errors


def test_every_error_of_the_driver_is_translated() -> None:
    """Whatever asyncpg raises becomes a failure of ours, with the server's name and without an empty text."""
    found = all_errors()
    assert len(found) > 200
    for each in found:
        for connecting in (False, True):
            failure = TRANSLATOR.translate(each("the server's words"), connecting=connecting)
            assert isinstance(failure, Failure), each
            assert str(failure).startswith("PostgreSQL at db.example.org:5433/bots: ")
            assert len(str(failure)) > len("PostgreSQL at db.example.org:5433/bots: ")
            assert not (connecting and isinstance(failure, OutcomeUnknown)), each


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("InvalidPasswordError", Permanent),
        ("InvalidAuthorizationSpecificationError", Permanent),
        ("InvalidCatalogNameError", Permanent),
        ("InsufficientPrivilegeError", Permanent),
        ("ClientConfigurationError", Permanent),
        ("UndefinedTableError", NotMigrated),
        ("InvalidSchemaNameError", NotMigrated),
        ("UndefinedColumnError", NotMigrated),
        ("UndefinedFunctionError", NotMigrated),
        ("TooManyConnectionsError", ConnectFailed),
        ("CannotConnectNowError", ConnectFailed),
        ("ConnectionDoesNotExistError", OutcomeUnknown),
        ("AdminShutdownError", OutcomeUnknown),
        ("CrashShutdownError", OutcomeUnknown),
        ("StatementCompletionUnknownError", OutcomeUnknown),
        ("QueryCanceledError", ServiceError),
        ("LockNotAvailableError", ServiceError),
        ("DeadlockDetectedError", ServiceError),
        ("DiskFullError", ServiceError),
        ("UniqueViolationError", ServiceError),
        ("ReadOnlySQLTransactionError", StandbyFound),
        ("InvalidSQLStatementNameError", PoolerFound),
        ("DuplicatePreparedStatementError", PoolerFound),
        ("ProtocolViolationError", ParameterRefused),
    ],
)
def test_the_failure_names_the_right_reaction(error: str, expected: type[Failure]) -> None:
    """Each kind of error leads to the caller's right next step."""
    assert type(TRANSLATOR.translate(getattr(exceptions, error)("no"))) is expected


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        ConnectionResetError("reset"),
        BrokenPipeError(),
        OSError(errno.ENETUNREACH, "unreachable"),
        TimeoutError(),
        ssl.SSLCertVerificationError("certificate verify failed"),
    ],
)
def test_errors_of_the_system_depend_on_the_time(error: Exception) -> None:
    """A lost connection is certain before a statement was sent, and uncertain after it."""
    assert isinstance(TRANSLATOR.translate(error, connecting=True), ConnectFailed)
    assert isinstance(TRANSLATOR.translate(error), OutcomeUnknown)


def test_an_address_that_the_driver_cannot_read_is_permanent() -> None:
    """Asyncpg reports some with a plain `ValueError`."""
    assert isinstance(TRANSLATOR.translate(ValueError("port"), connecting=True), Permanent)


def test_a_bug_of_ours_stays_what_it_is() -> None:
    """An error of neither asyncpg nor the system passes unchanged, so that it is noticed."""
    assert TRANSLATOR.translate(KeyError("x")) is None
    with pytest.raises(KeyError), TRANSLATOR.translating():
        raise KeyError("x")


@pytest.mark.parametrize(
    "url", [URL, "postgresql://kim@db.example.org/bots?password=p%40ss-word", "postgresql://kim:p%40ss-word@a:1,b:2/c"]
)
def test_no_message_holds_the_password(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the written nor the decoded password appears, even if the driver quotes the address."""
    translator = ErrorTranslator(url)
    for error in (asyncpg.ClientConfigurationError(f"invalid DSN: {url} p@ss-word"), asyncpg.InterfaceError(url)):
        failure = translator.translate(error)
        logging.getLogger(__name__).error("%s", failure)
        assert "p@ss-word" not in caplog.text
        assert "p%40ss-word" not in caplog.text


def test_values_of_a_statement_are_not_quoted() -> None:
    """PostgreSQL quotes wrong values; a reader's text does not belong in a log."""
    error = exceptions.InvalidTextRepresentationError('invalid input syntax for type integer: "my secret question"')
    assert "secret" not in str(TRANSLATOR.translate(error))
