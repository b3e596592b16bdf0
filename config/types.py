"""The kinds of value that a setting can have, and how one is declared.

What belongs here: parsing and checking of one value, from an environment variable's text or from TOML. What does not:
which settings there are (`config.settings`), and rules about several of them (`config.validators`).

Every check raises a `PydanticCustomError` of type ``setting`` whose message completes the sentence
"NAME must be ..." and never holds a secret.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from pathlib import Path
from string import Formatter
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError, PydanticUndefined

# The longest sentence of our own, in characters: it stands under an answer, or in its place, in one message.
LONGEST_SENTENCE = 500

# How `JOURNAL_URL` begins where it names a file; what follows is its path.
FILE_SCHEME = "sqlite:///"
# How it names no file: in our form, and as SQLite, SQLAlchemy and other drivers write it.
MEMORY = "memory:"
_MEMORY_NAMES = re.compile(r"memory(?::/{0,3})?|(?:sqlite:/{0,3})?:memory:", re.IGNORECASE)
_FILE = re.compile(r"sqlite:///(?P<path>[^?#]*[^?#/])", re.IGNORECASE)


# The name or the IP address of a host, maybe within an address of the web and with a port.
_HOST_NAME = re.compile(r"(https?://)?([\w.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?/?|[0-9a-f:.]+", re.IGNORECASE)


class SettingsGroup(BaseModel):
    """A group of settings, and a table of the TOML file: frozen, and without a word that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def setting(
    variable: str,
    why: str,
    *,
    default: object = PydanticUndefined,
    ge: int | None = None,
    le: int | None = None,
) -> Any:  # noqa: ANN401 (it stands where a value of any type is declared, as pydantic's own Field does)
    """Declare one setting: a field of a concern.

    `variable` is the environment variable that sets it, empty where only the TOML file can. `why` is the one line that
    the help, the README and the example show. Without a `default`, its default stands in ``defaults.toml``. `ge` and
    `le` are the least and the most that a number may be.
    """
    return Field(default=default, description=why, json_schema_extra={"variable": variable}, ge=ge, le=le)


def must_be(what: str) -> PydanticCustomError:
    """The error of a malformed value; `what` completes "NAME must be ..."."""
    # As a parameter, because braces in the template would be taken for one.
    return PydanticCustomError("setting", "{what}", {"what": what})


def _listed(value: object) -> object:
    """Split what a variable says: ``U1, U2`` is two names. In TOML, ids that are numbers may go without quotes."""
    if isinstance(value, str):
        return [name for part in value.split(",") if (name := part.strip())]
    if isinstance(value, list):
        return [str(name) if isinstance(name, int) and not isinstance(name, bool) else name for name in value]
    return value


def _table(value: object) -> object:
    """Parse what an environment variable says: a JSON object."""
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except ValueError:
        raise must_be('a JSON object such as {"temperature": 0.3}') from None
    if not isinstance(parsed, dict):
        raise must_be('a JSON object such as {"temperature": 0.3}')
    return parsed


def _credential(value: SecretStr) -> SecretStr:
    """Refuse what cannot be sent as a header: a token copied with its prefix, a quote's half or a line break."""
    text = value.get_secret_value()
    if any(letter.isspace() for letter in text) or not (text.isascii() and text.isprintable()):
        raise must_be("one word of plain letters, digits and signs: copy it again, without spaces or line breaks")
    return value


def _address(*schemes: str) -> Callable[[str], str]:
    """Accept an address with one of `schemes`; the empty one means that none is set."""
    example = f"an address such as {schemes[-1]}://example.org/..."

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port  # raises where it is no number
        except ValueError:
            raise must_be(example) from None
        if value and (parts.scheme not in schemes or not parts.hostname or any(map(str.isspace, value))):
            raise must_be(example)
        if parts.username or parts.password:
            raise must_be("an address without a user or a password in it: addresses are logged")
        return value.rstrip("/")

    return check


def _host(value: str) -> str:
    """Accept an IP address or a name to listen on."""
    if not value or any(map(str.isspace, value)) or "/" in value:
        raise must_be("an address to listen on, such as 127.0.0.1 or 0.0.0.0")
    return value


def _spaced(value: object) -> object:
    """Split a list of host names as a variable says it: by commas, by spaces, or by both."""
    return value.replace(",", " ").split() if isinstance(value, str) else _listed(value)


def _host_names(value: frozenset[str]) -> frozenset[str]:
    """Accept names of hosts as people write them: in any case, also as an address, with a port or a dot at the end."""
    if not all(_HOST_NAME.fullmatch(name.strip()) for name in value):
        raise must_be("names or IP addresses such as bot.example.org or 192.168.1.5, without *")
    return value


def _zone(value: str) -> str:
    """Accept the name of a time zone that this machine knows; UTC it knows always."""
    if value == "UTC":
        return value
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise must_be('a time zone such as "Europe/Paris" that this machine knows') from None
    return value


def _readable(value: Path) -> Path:
    """Accept a text file that can be read."""
    try:
        path = value.expanduser()
        path.read_text(encoding="utf-8")
    except RuntimeError:  # "~name" of a user that this machine does not know
        raise must_be("a file that can be read (its home directory is not known)") from None
    except OSError as error:
        raise must_be(f"a file that can be read ({error.strerror or 'it cannot be'})") from None
    except UnicodeDecodeError:
        raise must_be("a text file in UTF-8") from None
    return path


def _journal(value: str) -> str:
    """Accept the address of a journal: a file of SQLite's, memory, or nothing said. Each comes back as we write it."""
    text = value.strip()
    if not text:
        return ""
    if _MEMORY_NAMES.fullmatch(text):
        return MEMORY
    if (named := _FILE.fullmatch(text)) and text.isprintable():
        return f"{FILE_SCHEME}{named['path']}"
    raise must_be(
        f"{FILE_SCHEME}tickertape.db (a file in the working folder), {FILE_SCHEME}/var/lib/tickertape.db (anywhere) "
        f"or {MEMORY} (none)"
    )


def _sentence(*names: str, may_be_empty: bool = False) -> Callable[[str], str]:
    """Accept one line for readers, in which only `names` may stand in braces: it is a template where there are any."""
    only = " or ".join(f"{{{name}}}" for name in names)
    braces = f"with no braces but {only}" if names else "without braces"
    wanted = must_be(f"one line of {'at most' if may_be_empty else '1 to'} {LONGEST_SENTENCE} characters {braces}")

    def check(value: str) -> str:
        text = value.strip()
        try:
            parts = [part[1:] for part in Formatter().parse(text) if part[1] is not None]
        except ValueError:
            raise wanted from None
        plain = {(name, "", None) for name in names}
        well_formed = set(parts) <= plain if names else not set(text) & set("{}")
        if not well_formed or not text.isprintable() or len(text) > LONGEST_SENTENCE or not (text or may_be_empty):
            raise wanted
        return text

    return check


def _said_words(value: tuple[str, ...]) -> tuple[str, ...]:
    """Accept what a reader may say, as it is compared: in small letters, without what follows it."""
    words = tuple(word.strip().rstrip("!.").strip().casefold() for word in value)
    if not words or not all(words):
        raise must_be('a list of at least one word, such as ["stop"]')
    return words


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


Names = Annotated[frozenset[str], BeforeValidator(_listed)]
HostNames = Annotated[frozenset[str], BeforeValidator(_spaced), AfterValidator(_host_names)]
Table = Annotated[dict[str, Any], BeforeValidator(_table)]
Secret = Annotated[SecretStr, AfterValidator(_credential)]
WebAddress = Annotated[str, AfterValidator(_address("http", "https"))]
SocketAddress = Annotated[str, AfterValidator(_address("ws", "wss"))]
# Slack's SDK joins this and a method's name as they are, so the slash is ours to add.
SlashedAddress = Annotated[
    str, AfterValidator(_address("http", "https")), AfterValidator(lambda url: url and f"{url}/")
]
Host = Annotated[str, AfterValidator(_host)]
Zone = Annotated[str, AfterValidator(_zone)]
TextFile = Annotated[Path, AfterValidator(_readable)]
JournalAddress = Annotated[str, AfterValidator(_journal)]
# Sentences for readers, by what may stand in braces. None: the shipped one (bot/strings.py).
Sentence = Annotated[str, AfterValidator(_sentence())] | None
SilentSentence = Annotated[str, AfterValidator(_sentence(may_be_empty=True))] | None
EndingSentence = Annotated[str, AfterValidator(_sentence("reference"))] | None
CutSentence = Annotated[str, AfterValidator(_sentence("characters"))] | None
MoreSentence = Annotated[str, AfterValidator(_sentence("count"))] | None
LeftOutSentence = Annotated[str, AfterValidator(_sentence("name", "why"))] | None
ThinkingSentence = Annotated[str, AfterValidator(_sentence("thought"))] | None
SaidWords = Annotated[tuple[str, ...], AfterValidator(_said_words)] | None
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
