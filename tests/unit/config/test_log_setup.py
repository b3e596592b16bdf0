"""Logging: one record is one line with searchable fields and without secrets."""

from __future__ import annotations

import gc
import io
import json
import logging
import re
import string
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.log_deduplication import INTERVAL_SECONDS, ORIGINS, PASSING, PASSING_OF_ALL, RepeatCounter, origin_of
from config.log_setup import LIBRARIES, MASK, DeduplicatingHandler, SecretMasker, configure

SECRET = "xyzzy-0123456789"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@contextmanager
def logged(*, level: str = "info", style: str = "text", secrets: tuple[str, ...] = (SECRET,)) -> Iterator[io.StringIO]:
    """Set up logging into a text buffer, and restore it afterwards."""
    root = logging.getLogger()
    before = (root.handlers, root.level, {name: logging.getLogger(name).level for name in LIBRARIES})
    stream = io.StringIO()
    try:
        with warnings.catch_warnings():
            configure(level=level, style=style, secrets=secrets, stream=stream)
            yield stream
    finally:
        logging.captureWarnings(capture=False)
        root.handlers, root.level = before[0], before[1]
        for name, was in before[2].items():
            logging.getLogger(name).setLevel(was)


log = logging.getLogger("bot.turns.manager")


def fail() -> None:
    """Fail like a client quoting its request."""
    raise ConnectionError(f"refused: authorization={SECRET}\nnext line")


def log_failure(message: str) -> None:
    """Log a failure with its traceback."""
    try:
        fail()
    except ConnectionError:
        log.exception(message)


def one_line(message: str, style: str = "text", **fields: Any) -> str:
    """The line of one record."""
    with logged(style=style) as stream:
        log.info(message, extra=fields)
    return stream.getvalue()


def test_a_line_has_time_level_logger_message_and_fields() -> None:
    """People can read the line; grep and awk can parse it."""
    line = one_line("turn ended", turn="x7f2k9qa", ending="done", seconds=1.25, writes=7, fallback=False)
    assert re.fullmatch(
        TIME + r" INFO bot\.turns\.manager turn ended turn=x7f2k9qa ending=done seconds=1\.25 writes=7"
        r" fallback=false\n",
        line,
    )


def test_what_never_came_to_be_is_left_out() -> None:
    """A field without a value is left out."""
    assert one_line("turn ended", first_delta=None, messages=0).endswith("turn ended messages=0\n")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two words", '"two words"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "so"', r'"say \"so\""'),
        ("back\\slash", r'"back\\slash"'),
        ("line\nbreak", r'"line\nbreak"'),
        ("\x1b[31mred", r'"\x1b[31mred"'),
        ("right\u202eleft", r'"right\u202eleft"'),
        ("Zoë", "Zoë"),
        (0.1 + 0.2, "0.3"),
        (3.0, "3"),
        ({"a": 1}, "\"{'a': 1}\""),
    ],
)
def test_a_value_stays_in_its_place(value: object, shown: str) -> None:
    """Anything but one plain word is quoted; no character ends the value or the line, or controls the terminal."""
    assert one_line("m", field=value).endswith(f" m field={shown}\n")


@given(st.text(), st.text())
def test_one_record_is_one_line(message: str, value: str) -> None:
    """No user's name and no server's error can forge a record."""
    for style in ("text", "json"):
        line = one_line("%s", style=style, name_=value) if not message else one_line(message, style=style, name_=value)
        assert line.count("\n") == 1
        assert len(line.splitlines()) == 1 or style == "json"


def test_a_traceback_is_indented() -> None:
    """Only a record begins in the first column, so an exception's message cannot look like one."""
    with logged() as stream:
        log_failure("model failed")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR bot.turns.manager model failed")
    assert any("ConnectionError" in line for line in rest)
    assert all(line.startswith("    ") for line in rest)


def test_json_is_one_object_a_line() -> None:
    """JSON has fixed names and keeps types."""
    said = json.loads(one_line("turn ended", style="json", turn="x7", seconds=1.5, ok=True, gone=None, message_="m"))
    assert re.fullmatch(TIME, said.pop("time"))
    assert said == {
        "level": "info",
        "logger": "bot.turns.manager",
        "message": "turn ended",
        "turn": "x7",
        "seconds": 1.5,
        "ok": True,
        "message_": "m",
    }


def test_masking_leaves_json_whole() -> None:
    """Masking a credential keeps the escaped quote after it."""
    line = one_line("refused", style="json", said='header "Authorization: Bearer abcdefgh" is bad')
    assert json.loads(line)["said"] == f'header "Authorization: Bearer {MASK}" is bad'


def test_json_keeps_a_traceback_in_its_object() -> None:
    """A failure is one line too."""
    with logged(style="json") as stream:
        log_failure("model failed")
    (line,) = stream.getvalue().splitlines()
    assert "ConnectionError" in json.loads(line)["trouble"]


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("secret", [SECRET, 'quo"te\\back', "it's-secret"])
def test_no_secret_is_in_any_line(style: str, secret: str) -> None:
    """A secret is masked in message, arguments, fields, tracebacks and stacks, in any spelling."""
    with logged(style=style, secrets=(secret,)) as stream:
        log.info("token %s", secret)
        log.info("token %r", secret)
        log.info("fields", extra={"url": f"wss://h/?t={secret}&x=1", "nested": {"token": [secret]}})
        try:
            raise ValueError(secret)
        except ValueError:
            log.exception("failed", stack_info=True)
        log.warning("json %s", json.dumps({"token": secret}))
    text = stream.getvalue()
    assert MASK in text
    for spelling in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert spelling not in text


def test_a_longer_secret_that_begins_with_a_shorter_is_masked_whole() -> None:
    """No part of a token remains."""
    masker = SecretMasker(["token-1234", "token-1234-5678"])
    assert masker("a token-1234-5678 b token-1234 c") == f"a {MASK} b {MASK} c"


def test_a_tests_short_token_masks_nothing() -> None:
    """With the token ``t`` lines stay readable."""
    assert SecretMasker(["t", "x", ""])("a text") == "a text"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("authorization: Bearer abcdefghij", f"authorization: Bearer {MASK}"),
        ("wss://h/link/?ticket=0123456789&app_id=1", f"wss://h/link/?ticket={MASK}&app_id=1"),
        ("sent xoxb-1234567890-abc!", f"sent {MASK}!"),
        ("sent xapp-1-A0-123-abc", f"sent {MASK}"),
        ("authorization: Bot MTEyMjMzNDQ1NTY2Nzc4.G_abcd.efghijkl", f"authorization: Bot {MASK}"),
        ("the Bot reconnected; x=1", "the Bot reconnected; x=1"),
    ],
)
def test_what_looks_like_a_credential_is_masked_unasked(text: str, masked: str) -> None:
    """Tickets made by servers are masked too, because libraries quote them."""
    assert SecretMasker([])(text) == masked


@given(st.text(string.ascii_letters + string.digits + "-_.\"'\\", min_size=8), st.text(), st.text())
def test_any_secret_anywhere_is_masked(secret: str, before: str, after: str) -> None:
    """Masking does not depend on the surrounding text."""
    if secret not in MASK and secret not in before + MASK + after:
        assert secret not in SecretMasker([secret])(before + secret + after)


def test_the_masker_tells_nothing_of_what_it_knows() -> None:
    """The repr of the masker contains no secret."""
    assert SECRET not in repr(SecretMasker([SECRET]))


def test_libraries_are_heard_when_something_is_wrong() -> None:
    """Libraries' info lines are dropped; their warnings are logged."""
    with logged() as stream:
        logging.getLogger("discord.gateway").info("heartbeat")
        logging.getLogger("slack_sdk").warning("stale")
        log.debug("not asked for")
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["slack_sdk"]


def test_at_debug_libraries_say_what_they_do_but_not_every_byte() -> None:
    """Libraries' debug lines contain whole requests, so they are never logged."""
    with logged(level="debug") as stream:
        logging.getLogger("openai").debug("request body")
        logging.getLogger("openai").info("retrying")
        log.debug("asked for")
    assert [line.split()[3] for line in stream.getvalue().splitlines()] == ["retrying", "asked"]


def test_warnings_of_python_are_lines_too() -> None:
    """A deprecation warning is one record."""
    with logged() as stream:
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    assert " WARNING py.warnings " in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_setting_up_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    """A second set-up replaces the first; the default is standard error."""
    with logged() as stream:
        configure(level="info", style="text", secrets=())
        log.info("once")
    assert stream.getvalue() == ""
    assert capsys.readouterr().err.count("once") == 1


# -------------------------------------------------------------------------------------------------- what is repeated


def record(
    name: str = "asyncio", message: str = "socket.accept() out of system resource", *, at: float = 0.0, line: int = 7,
    level: int = logging.ERROR, error: Exception | None = None,
) -> logging.LogRecord:  # fmt: skip
    exc_info = (type(error), error, None) if error is not None else None
    made = logging.LogRecord(name, level, "library.py", line, message, (), exc_info)
    made.created = at
    return made


def written(*records: logging.LogRecord, closed: bool = False) -> list[str]:
    """The lines of these records, written by one handler."""
    stream = io.StringIO()
    handler = DeduplicatingHandler(stream)
    for each in records:
        handler.handle(each)
    if closed:
        handler.close()
    return stream.getvalue().splitlines()


@pytest.mark.slow
def test_a_library_that_repeats_itself_is_cut_short() -> None:
    """Asyncio's error for each refused connection becomes a few lines and a count."""
    flood = [record(at=number / 1000) for number in range(100_000)]
    lines = written(*flood, record("bot.turns.manager", "turn ended", at=125.0))
    assert len(lines) == 2 * (PASSING + 1) + 1
    told = [line for line in lines if line.startswith("left out")]
    assert [int(line.split()[2]) for line in told] == [60_000 - PASSING, 40_000 - PASSING]
    assert all("socket.accept() out of system resource" in line for line in told)
    assert lines[-1] == "turn ended"


def test_our_own_lines_all_pass() -> None:
    """Our own records always pass, also during a library's flood."""
    ours = [record("bot.turns.runner", "turn ended", at=number / 100) for number in range(1000)]
    floods = [record(at=number / 100) for number in range(1000)]
    lines = written(*(each for pair in zip(ours, floods, strict=True) for each in pair))
    assert lines.count("turn ended") == 1000
    assert len(lines) < 1020
    assert (
        written(*(record(f"{name}.x", "m") for name in ("adapters", "bot", "config") for _ in range(50))) == ["m"] * 150
    )


@pytest.mark.parametrize(
    "name", ["asyncio", "aiohttp.server", "discord.gateway", "slack_bolt", "py.warnings", "root", "x"]
)
def test_every_library_counts(name: str) -> None:
    """This holds for any library."""
    assert len(written(*(record(name) for _ in range(50)), closed=True)) == PASSING + 1


def test_what_varies_does_not_make_it_another() -> None:
    """Numbers, memory addresses and text after the first line are ignored in comparisons."""
    varied = [record(message=f"callback <x at 0x7f{number:04x}> fd={number}\nsocket: {number}") for number in range(50)]
    assert len({origin_of(each) for each in varied}) == 1
    assert len(written(*varied)) == 2 * PASSING


def test_other_trouble_of_the_same_library_is_heard() -> None:
    """Another line of code, exception type or message each has its own count."""
    others = [
        record(line=8), record(error=KeyError()), record(error=OSError()), record(message="other"), record("asyncio.x"),
        record(level=logging.INFO),
    ]  # fmt: skip
    passed = [line for line in written(*([record()] * 50), *others) if "Error" not in line]  # exceptions have lines too
    assert len(passed) == PASSING + len(others)


def test_a_flood_of_ever_new_messages_is_bounded() -> None:
    """Lines and memory are bounded, even if every message differs."""
    repeats = RepeatCounter()
    letters = [f"{'abcdefghij'[n % 10]}{'abcdefghij'[n // 10 % 10]}{'x' * (n // 100)}" for n in range(5_000)]
    passed = sum(repeats.allows(record(message=message)) for message in letters)
    assert passed == PASSING_OF_ALL
    assert len(repeats) == ORIGINS + 1
    assert len(repeats.start_interval(1.0)) <= ORIGINS + 1
    assert len(repeats) == 0


class TrackedError(ValueError):
    """An error with weak references."""


def test_what_was_left_out_keeps_nothing_alive() -> None:
    """No record is kept, because it would keep its traceback's frames alive."""
    repeats = RepeatCounter()
    errors = [TrackedError("big") for _ in range(50)]
    kept = [weakref.ref(error) for error in errors]
    for error in errors:
        repeats.allows(record(error=error))
    del errors, error
    gc.collect()
    assert len(repeats) == 1
    assert [each() for each in kept] == [None] * 50


@pytest.mark.parametrize("later", [INTERVAL_SECONDS, -5.0])
def test_the_next_minute_is_heard_again(later: float) -> None:
    """This holds after a clock was set back, too."""
    lines = written(*([record()] * 50), record(at=later))
    assert lines[-2].startswith(f"left out {50 - PASSING} more")
    assert lines[-1] == record().getMessage()


def test_the_end_tells_what_was_left_out() -> None:
    """Closing the handler writes the pending counts."""
    assert written(*([record()] * 50), closed=True)[-1].startswith(f"left out {50 - PASSING} more")
    assert len(written(record(), closed=True)) == 1


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_is_told_of_repeats_is_masked(style: str) -> None:
    """A token in a library's message template is masked in the summary."""
    with logged(style=style) as stream:
        for _ in range(50):
            logging.getLogger("slack_sdk").error(f"refused {SECRET}")  # noqa: G004 (as libraries do)
        (handler,) = logging.getLogger().handlers
        handler.close()
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count(MASK) == PASSING + 1
    assert f"left out {50 - PASSING} more" in stream.getvalue()
