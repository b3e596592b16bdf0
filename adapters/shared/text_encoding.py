"""Bytes to text: which charset a text file is in, and whether it is text at all. Pure.

What belongs here: the order in which evidence counts. What does not: downloading (`attachments`), and which files are
tried (`kinds`).

The order: a byte order mark; UTF-8 that holds more than ASCII, since text in another charset is almost never valid
UTF-8 by accident; the declared charset; plain ASCII; UTF-16 without a mark; the detector.
"""

from __future__ import annotations

import codecs
import re

from charset_normalizer import CharsetMatches, from_bytes

# The longest that a detector needs to see, in bytes: of one charset, a book has no more evidence than its first pages.
# The detector takes 2 ms for it.
SAMPLE = 64_000

# The charsets that text files without a mark come in: those of Windows by region, and of East Asia. Of all that Python
# knows, the detector takes short texts for rare ones.
CANDIDATES = [
    *("cp1252", "cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949"),
    *("cp1251", "koi8_r", "cp866", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256"),
]

# What shows that a text is Central European (cp1250) and not Western (cp1252), of which the detector cannot tell many
# texts apart: letters that Western languages lack, and what would be a symbol within a word. As cp1250 reads them.
_CENTRAL = re.compile("[šžśŠŽŚťŤźŹ]|(?<=[^\\W\\d_])[ąłżľ]|[łżşŁŻŞ](?=[^\\W\\d_])")

# Control characters but those that texts do have: tab, line feed, form feed, carriage return, escape (coloured logs).
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")

# A text file may hold so many other control characters in a thousand before it is taken for a binary.
_CONTROLS_PER_THOUSAND = 5

# How files begin that are no text, though a few of their bytes may look like it.
_SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"PK\x03\x04", b"%PDF-", b"\x7fELF", b"\x1f\x8b"),
    b"\xd0\xcf\x11\xe0",  # older office documents
)

# How ISO-2022-JP begins a run of Japanese.
_JAPANESE_SWITCHES = (b"\x1b$B", b"\x1b$@")

# The longer ones first: UTF-32's mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# What servers call charsets that Python knows by another name, or knows in a narrower form: browsers read these labels
# so too (https://encoding.spec.whatwg.org/#names-and-labels).
_LABELS = {
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

_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)


def charset_in(media_type: str) -> str:
    """The charset that a media type declares (``text/plain; charset=utf-8``); empty where it declares none."""
    found = _CHARSET.search(media_type)
    return found.group(1).lower() if found else ""


def decode_text(data: bytes, *declared: str) -> str | None:
    """The text in `data`, or None where it is no text. `declared` are charsets by name, the most trusted first."""
    for mark, charset in _MARKS:
        if data.startswith(mark):
            return _text(data, charset)
    if data.startswith(_SIGNATURES):
        return None
    names = [codec for name in declared if (codec := _codec(name))]
    if not data.isascii() and not any(name.startswith(("utf-16", "utf-32")) for name in names):
        names = ["utf-8", *names]
    if any(switch in data for switch in _JAPANESE_SWITCHES):  # bytes of ASCII alone, which UTF-8 would let pass
        names.append("iso2022_jp")
    for name in (*names, "utf-8"):
        if (text := _text(data, _in_order(data, name))) is not None:
            return text
    if data and (guessed := _without_mark(data) or _detected(data)) is not None:
        return _text(data, guessed)
    return None


def _codec(name: str) -> str:
    """Python's name of a text charset; empty where there is none."""
    name = name.strip().lower()
    try:
        found = codecs.lookup(_LABELS.get(name, name))
    except (LookupError, ValueError):  # ValueError: a name with a NUL
        return ""
    is_text: bool = getattr(found, "_is_text_encoding", True)  # hex and zlib are codecs of Python's too
    return found.name if is_text else ""


def _in_order(data: bytes, charset: str) -> str:
    """UTF-16 or UTF-32 without a mark, with its byte order: that of the zeros, and else the common one."""
    if charset not in ("utf-16", "utf-32"):
        return charset
    return charset + ("-be" if data.startswith(b"\0") else "-le")


def _without_mark(data: bytes) -> str | None:
    """UTF-16 that nobody declared, by the zeros in every second byte that Western text has; None where it is not."""
    if len(data) % 2 or b"\0" not in data[:SAMPLE]:
        return None
    even, odd, half = data[:SAMPLE:2].count(0), data[1:SAMPLE:2].count(0), len(data[:SAMPLE]) // 2
    if odd > half * 0.6 and not even:
        return "utf-16-le"
    return "utf-16-be" if even > half * 0.6 and not odd else None


def _detected(data: bytes) -> str | None:
    """What the detector says of the beginning, cut where no character is: None where it takes it for no text."""
    if b"\0" in data or _is_odd(data.decode("latin-1")):
        return None
    sample = data[:SAMPLE]
    if len(data) > SAMPLE:
        sample = sample[: max(sample.rfind(b"\n"), sample.rfind(b" "), SAMPLE // 2)]
    return _chosen(from_bytes(sample, cp_isolation=CANDIDATES, preemptive_behaviour=False))


def _chosen(matches: CharsetMatches) -> str | None:
    best = matches.best()
    if best is None:
        return None
    western = next((m for m in matches if "cp1252" in (m.encoding, *m.could_be_from_charset)), None)
    if best.encoding != "cp1250" or western is None or western.coherence < best.coherence:
        return best.encoding
    return best.encoding if _CENTRAL.search(str(best)) else "cp1252"


def _text(data: bytes, charset: str) -> str | None:
    """`data` in a charset, if that makes text of it."""
    try:
        text = data.decode(charset)
    except (UnicodeError, LookupError):
        return None
    return None if _is_odd(text) else text


def _is_odd(text: str) -> bool:
    """Whether there are more control characters than text has."""
    if "\0" in text:
        return True
    return len(_CONTROL.findall(text)) * 1000 > len(text) * _CONTROLS_PER_THOUSAND
