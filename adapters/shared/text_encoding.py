"""Decodes text files: finds the charset, or rejects binary data. Pure.

Order of evidence: a byte order mark; UTF-8 beyond ASCII, since text in another charset is almost never valid UTF-8 by
accident; the declared charset; plain ASCII; UTF-16 without a mark; the detector.
"""

from __future__ import annotations

import codecs
import re
from types import MappingProxyType

from charset_normalizer import CharsetMatches, from_bytes

# Input for the detector: the first pages of a book are as much evidence as the whole book. Takes 2 ms. Bytes.
SAMPLE_BYTES = 64_000

# Charsets of text files without a mark: those of Windows by region, and of East Asia. With all of Python's charsets,
# the detector picks rare ones for short texts.
CANDIDATE_CHARSETS = (
    *("cp1252", "cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949"),
    *("cp1251", "koi8_r", "cp866", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256"),
)

# Signs of Central European (cp1250) instead of Western (cp1252) text, since the detector confuses many texts: letters
# absent from Western languages, and characters that would be symbols within a word in cp1252. As decoded by cp1250.
_CENTRAL_EUROPEAN = re.compile("[šžśŠŽŚťŤźŹ]|(?<=[^\\W\\d_])[ąłżľ]|[łżşŁŻŞ](?=[^\\W\\d_])")

# Control characters except those of texts: tab, line feed, form feed, carriage return, escape (coloured logs).
_CONTROL_CHARACTER = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")

# A file with more other control characters per thousand counts as binary.
_MAX_CONTROLS_PER_THOUSAND = 5

# First bytes of binary formats with some text in them.
_BINARY_SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"PK\x03\x04", b"%PDF-", b"\x7fELF", b"\x1f\x8b"),
    b"\xd0\xcf\x11\xe0",  # older office documents
)

# Escape sequences before a run of Japanese in ISO-2022-JP.
_ISO2022_JP_ESCAPES = (b"\x1b$B", b"\x1b$@")

# Longer marks first: UTF-32's mark begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Charset labels with another name in Python, or a narrower meaning. Browsers map these labels the same way
# (https://encoding.spec.whatwg.org/#names-and-labels).
_LABELS = MappingProxyType(
    {
        "iso-8859-1": "cp1252",
        "latin-1": "cp1252",
        "latin1": "cp1252",
        "us-ascii": "cp1252",
        "ascii": "cp1252",
        "shift_jis": "cp932",
        "shift-jis": "cp932",
        "sjis": "cp932",
        "x-sjis": "cp932",
        "windows-31j": "cp932",
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "x-gbk": "gb18030",
        "euc-kr": "cp949",
        "ks_c_5601-1987": "cp949",
        "windows-874": "cp874",
        "iso-8859-9": "cp1254",
        "x-mac-roman": "mac_roman",
        "macintosh": "mac_roman",
        "unicode": "utf-16",
        "ucs-2": "utf-16",
    }
)

_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)


def charset_in(media_type: str) -> str:
    """The charset parameter of a media type (``text/plain; charset=utf-8``); empty if missing."""
    found = _CHARSET.search(media_type)
    return found.group(1).lower() if found else ""


def decode_text(data: bytes, *declared: str) -> str | None:
    """The text in `data`; None if it is binary. `declared` are charset names, the most trusted first."""
    for mark, charset in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decode(data, charset)
    if data.startswith(_BINARY_SIGNATURES):
        return None
    names = [codec for name in declared if (codec := _codec_name(name))]
    if not data.isascii() and not any(name.startswith(("utf-16", "utf-32")) for name in names):
        names = ["utf-8", *names]
    if any(switch in data for switch in _ISO2022_JP_ESCAPES):  # pure ASCII bytes, valid as UTF-8
        names.append("iso2022_jp")
    for name in (*names, "utf-8"):
        if (text := _decode(data, _with_byte_order(data, name))) is not None:
            return text
    if data and (guessed := _detect_utf16(data) or _detect(data)) is not None:
        return _decode(data, guessed)
    return None


def _codec_name(name: str) -> str:
    """Python's name of a text charset; empty if unknown."""
    name = name.strip().lower()
    try:
        found = codecs.lookup(_LABELS.get(name, name))
    except (LookupError, ValueError):  # ValueError: a name with a NUL
        return ""
    is_text: bool = getattr(found, "_is_text_encoding", True)  # Python's codecs include hex and zlib
    return found.name if is_text else ""


def _with_byte_order(data: bytes, charset: str) -> str:
    """Add the byte order to UTF-16 or UTF-32 without a mark: by the position of zeros, else little-endian."""
    if charset not in ("utf-16", "utf-32"):
        return charset
    return charset + ("-be" if data.startswith(b"\0") else "-le")


def _detect_utf16(data: bytes) -> str | None:
    """Undeclared UTF-16, by the zero in every second byte of Western text; None if it is something else."""
    if len(data) % 2 or b"\0" not in data[:SAMPLE_BYTES]:
        return None
    even, odd, half = data[:SAMPLE_BYTES:2].count(0), data[1:SAMPLE_BYTES:2].count(0), len(data[:SAMPLE_BYTES]) // 2
    if odd > half * 0.6 and not even:
        return "utf-16-le"
    return "utf-16-be" if even > half * 0.6 and not odd else None


def _detect(data: bytes) -> str | None:
    """The detector's charset for a sample cut at white space; None for binary data."""
    if b"\0" in data or _looks_binary(data.decode("latin-1")):
        return None
    sample = data[:SAMPLE_BYTES]
    if len(data) > SAMPLE_BYTES:
        sample = sample[: max(sample.rfind(b"\n"), sample.rfind(b" "), SAMPLE_BYTES // 2)]
    return _choose(from_bytes(sample, cp_isolation=list(CANDIDATE_CHARSETS), preemptive_behaviour=False))


def _choose(matches: CharsetMatches) -> str | None:
    best = matches.best()
    if best is None:
        return None
    western = next((m for m in matches if "cp1252" in (m.encoding, *m.could_be_from_charset)), None)
    if best.encoding != "cp1250" or western is None or western.coherence < best.coherence:
        return best.encoding
    return best.encoding if _CENTRAL_EUROPEAN.search(str(best)) else "cp1252"


def _decode(data: bytes, charset: str) -> str | None:
    """Decode `data`; None if it is invalid in this charset, or looks binary."""
    try:
        text = data.decode(charset)
    except (UnicodeError, LookupError):
        return None
    return None if _looks_binary(text) else text


def _looks_binary(text: str) -> bool:
    """Whether there are more control characters than in a text."""
    if "\0" in text:
        return True
    return len(_CONTROL_CHARACTER.findall(text)) * 1000 > len(text) * _MAX_CONTROLS_PER_THOUSAND
