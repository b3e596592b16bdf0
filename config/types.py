"""The value types of settings: parsing and checking of one value, from a variable's text or from TOML.

Every check raises a `PydanticCustomError` of type ``setting``. Its message completes "NAME must be ..." and never
contains a secret.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Annotated, Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from typing_extensions import override

from config.slack_manifest import public_address

# Longest sentence for readers, in characters: it must fit into one message, below an answer.
LONGEST_SENTENCE = 500


# Units of durations, in seconds. Sizes have none: MB may mean 10^6 or 2^20 bytes.
_UNITS = MappingProxyType(
    {"ms": 0.001, "s": 1, "sec": 1, "seconds": 1, "m": 60, "min": 60, "minutes": 60, "h": 3600, "hours": 3600}
)
_DURATION = re.compile(rf"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>{'|'.join(_UNITS)})", re.IGNORECASE | re.ASCII)

# 32 bytes in URL-safe base64; the last digit before the sign has two zero bits.
_KEY = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]=")

# A host name or IP address, optionally as a URL and with a port.
_HOST_NAME = re.compile(r"(https?://)?([\w.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?/?|[0-9a-f:.]+", re.IGNORECASE)


class Choice(StrEnum):
    """One of a few words, in any case."""

    @classmethod
    def aliases(cls) -> dict[str, Self]:
        """Return other spellings in lower case."""
        return {}

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """Find the member of a spelling other than the canonical one."""
        spelling = str(value).strip().casefold()
        return next((member for member in cls if member.value == spelling), cls.aliases().get(spelling))


class Switch(Choice):
    """A part that runs if it makes sense (auto), always or never."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"

    @override
    @classmethod
    def aliases(cls) -> dict[str, Self]:
        on, off = cls("on"), cls("off")
        return {"true": on, "yes": on, "1": on, "false": off, "no": off, "0": off}


def must_be(expected: str) -> PydanticCustomError:
    """Return the error of a malformed value; `expected` completes "NAME must be ..."."""
    # As a parameter, because pydantic would read braces in the template as one.
    return PydanticCustomError("setting", "{expected}", {"expected": expected})


def names_in(value: object) -> object:
    """Split a variable's text: ``U1, U2`` is two names. In TOML, numeric ids need no quotes."""
    if isinstance(value, str):
        return [name for part in value.split(",") if (name := part.strip())]
    if isinstance(value, list):
        return [str(name) if isinstance(name, int) and not isinstance(name, bool) else name for name in value]
    return value


def _duration(value: object) -> object:
    """Convert a text with a unit (``500ms``, ``30 s``, ``5m``, ``1h``) to seconds; leave others to pydantic."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(found["number"]) * _UNITS[found["unit"].lower()] if found else value


def _table(value: object) -> object:
    """Parse a variable's text as a JSON object."""
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
    """Reject a token that no HTTP header can carry: copied with a prefix, half a quote or a line break."""
    text = value.get_secret_value()
    if any(letter.isspace() for letter in text) or not (text.isascii() and text.isprintable()):
        raise must_be("one word of plain letters, digits and signs: copy it again, without spaces or line breaks")
    return value


def _address(*schemes: str) -> Callable[[str], str]:
    """Accept a URL with one of `schemes`, or empty text for none."""
    example = f"an address such as {schemes[-1]}://example.org/..."

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port  # raises unless it is a number
        except ValueError:
            raise must_be(example) from None
        if value and (parts.scheme not in schemes or not parts.hostname or any(map(str.isspace, value))):
            raise must_be(example)
        if parts.username or parts.password:
            raise must_be("an address without a user or a password in it: addresses are logged")
        return value.rstrip("/")

    return check


def _public_address(value: str) -> str:
    """Accept an https address with a public name and no path, or empty text for none."""
    try:
        return public_address(value) if value.strip() else ""
    except ValueError:
        raise must_be("the bot's public https address without a path, such as https://bot.example.com") from None


def _keys(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    """Accept Fernet keys: 32 bytes in URL-safe base64."""
    if not all(_KEY.fullmatch(each.get_secret_value()) for each in value):
        raise must_be("keys of 44 characters, newest first, with commas between: openssl rand -base64 32 | tr +/ -_")
    return value


def _host(value: str) -> str:
    """Accept an IP address or a host name to listen on."""
    if not value or any(map(str.isspace, value)) or "/" in value:
        raise must_be("an address to listen on, such as 127.0.0.1 or 0.0.0.0")
    return value


def _spaced(value: object) -> object:
    """Split a variable's list of host names by commas, spaces or both."""
    return value.replace(",", " ").split() if isinstance(value, str) else names_in(value)


def _host_names(value: frozenset[str]) -> frozenset[str]:
    """Accept host names in any case, as a URL, with a port or with a final dot."""
    if not all(_HOST_NAME.fullmatch(name.strip()) for name in value):
        raise must_be("names or IP addresses such as bot.example.org or 192.168.1.5, without *")
    return value


def _zone(value: str) -> str:
    """Accept a time zone of this machine's database, or UTC."""
    if value == "UTC":
        return value
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise must_be('a time zone such as "Europe/Paris" that this machine knows') from None
    return value


def _readable(value: Path) -> Path:
    """Accept a readable text file."""
    try:
        path = value.expanduser()
        path.read_text(encoding="utf-8")
    except RuntimeError:  # "~name" of an unknown user
        raise must_be("a file that can be read (its home directory is not known)") from None
    except OSError as error:
        raise must_be(f"a file that can be read ({error.strerror or 'it cannot be'})") from None
    except UnicodeDecodeError:
        raise must_be("a text file in UTF-8") from None
    return path


def sentence_of(*names: str, may_be_empty: bool = False) -> Callable[[str], str]:
    """Accept one line for readers with only `names` in braces; with any names it is a template."""
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


def _shards(value: object) -> int:
    """Accept a number of gateway connections, or auto as 0."""
    text = str(value).strip().lower()
    if text == "auto":
        return 0
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,5}", text) or int(text) == 0:
        raise must_be("auto, or a whole number from 1 to 99999")
    return int(text)


def _stop_words(value: tuple[str, ...]) -> tuple[str, ...]:
    """Accept stop words and normalise them for comparison: case-folded, without final punctuation."""
    words = tuple(word.strip().rstrip("!.").strip().casefold() for word in value)
    if not words or not all(words):
        raise must_be('a list of at least one word, such as ["stop"]')
    return words


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`."""
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


Names = Annotated[frozenset[str], BeforeValidator(names_in)]
NameList = Annotated[tuple[str, ...], BeforeValidator(names_in)]  # in the operator's order
HostNames = Annotated[frozenset[str], BeforeValidator(_spaced), AfterValidator(_host_names)]
Table = Annotated[dict[str, Any], BeforeValidator(_table)]
Secret = Annotated[SecretStr, AfterValidator(_credential)]
WebAddress = Annotated[str, AfterValidator(_address("http", "https"))]
SocketAddress = Annotated[str, AfterValidator(_address("ws", "wss"))]
# Slack's SDK joins this and a method name without a slash.
SlashedAddress = Annotated[
    str, AfterValidator(_address("http", "https")), AfterValidator(lambda url: url and f"{url}/")
]
PublicAddress = Annotated[str, AfterValidator(_public_address)]
SecretKeys = Annotated[tuple[SecretStr, ...], BeforeValidator(names_in), AfterValidator(_keys)]
Host = Annotated[str, AfterValidator(_host)]
Zone = Annotated[str, AfterValidator(_zone)]
TextFile = Annotated[Path, AfterValidator(_readable)]
# Sentences for readers, by the names allowed in braces. None selects the one of bot/strings.py.
Sentence = Annotated[str, AfterValidator(sentence_of())] | None
SilentSentence = Annotated[str, AfterValidator(sentence_of(may_be_empty=True))] | None
EndingSentence = Annotated[str, AfterValidator(sentence_of("reference"))] | None
QuotaSentence = Annotated[str, AfterValidator(sentence_of("limit", "until"))] | None
CutSentence = Annotated[str, AfterValidator(sentence_of("characters"))] | None
MoreSentence = Annotated[str, AfterValidator(sentence_of("count"))] | None
LeftOutSentence = Annotated[str, AfterValidator(sentence_of("name", "why"))] | None
CommandSentence = Annotated[str, AfterValidator(sentence_of("command"))] | None
AnsweredBySentence = Annotated[str, AfterValidator(sentence_of("label", "missing"))] | None
ThinkingSentence = Annotated[str, AfterValidator(sentence_of("thought"))] | None
StopWords = Annotated[tuple[str, ...], AfterValidator(_stop_words)] | None
Duration = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_duration)]  # in seconds
Seconds = Annotated[Duration, Field(gt=0, le=86_400)]
Shards = Annotated[int, BeforeValidator(_shards)]  # 0: auto
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
