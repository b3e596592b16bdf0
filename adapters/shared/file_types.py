"""Classifies files by media type and name: supported kinds, and the reason for omitting each other kind. Pure.

Sizes and image headers: see `attachments`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from types import MappingProxyType

# Image types accepted by chat models (https://platform.openai.com/docs/guides/images-vision).
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

# Text types outside ``text/``.
TEXT_TYPES = frozenset(
    {
        "application/json",
        "application/ld+json",
        "application/javascript",
        "application/x-javascript",
        "application/typescript",
        "application/xml",
        "application/x-yaml",
        "application/yaml",
        "application/toml",
        "application/sql",
        "application/x-sh",
        "application/x-python",
        "application/csv",
        "application/x-ndjson",
        "message/rfc822",
    }
)

# Text suffixes, for files without a type or with ``application/octet-stream``.
_SUFFIXES = """
.txt .md .markdown .rst .adoc .tex .log .csv .tsv .json .jsonl .ndjson .xml .html .htm .css .scss .svg .yaml .yml .toml
.ini .cfg .conf .env .properties .diff .patch .srt .vtt .eml .sql .graphql .proto .tf .hcl .nix .ipynb
.py .pyi .js .mjs .cjs .jsx .ts .tsx .vue .c .h .cc .cpp .hpp .cs .java .kt .kts .scala .go .rs .rb .php .pl .lua .r
.jl .swift .m .hs .ml .ex .exs .erl .clj .lisp .el .sh .bash .zsh .fish .ps1 .bat .zig .dart .asm .s .v .vhd
"""
TEXT_SUFFIXES = frozenset(_SUFFIXES.split())

# Text files without a suffix.
TEXT_NAMES = frozenset({"makefile", "dockerfile", "procfile", "readme", "license", "changelog", "gemfile", "rakefile"})

# Image suffixes, for files without a type.
IMAGE_SUFFIXES = MappingProxyType(
    {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}
)

# Types without information about a file.
_UNKNOWN_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/unknown"})

UNKNOWN_KIND = "it is neither an image nor a text file"
VIDEO = "it is a video, which the model cannot watch"
AUDIO = "it is a sound recording, which the model cannot hear"
PDF = "it is a PDF, which is not read"
ARCHIVE = "it is an archive, which is not unpacked"
DOCUMENT = "it is an office document, which is not read"
PROGRAM = "it is a program, which is not read"

# Unsupported image formats by subtype, with their common names.
_OTHER_IMAGES = MappingProxyType(
    {
        **dict.fromkeys(("heic", "heif", "heic-sequence", "heif-sequence"), "HEIC"),
        "avif": "AVIF",
        **dict.fromkeys(("tiff", "tif"), "TIFF"),
        **dict.fromkeys(("bmp", "x-bmp", "x-ms-bmp", "dib"), "BMP"),
        **dict.fromkeys(("x-icon", "vnd.microsoft.icon", "ico"), "ICO"),
        **dict.fromkeys(("vnd.adobe.photoshop", "x-photoshop", "psd"), "Photoshop"),
        **dict.fromkeys(("jxl", "jp2", "x-adobe-dng", "dng", "cr2", "nef", "arw", "raw", "hif"), "another format"),
    }
)

# Reasons by full type, then by the beginning of the type, then by suffix.
_BY_TYPE = MappingProxyType(
    {
        "application/pdf": PDF,
        "application/x-pdf": PDF,
        **dict.fromkeys(
            [
                *("application/zip", "application/x-zip-compressed", "application/gzip", "application/x-gzip"),
                *("application/x-tar", "application/x-7z-compressed", "application/x-rar-compressed"),
                *("application/vnd.rar", "application/x-bzip2", "application/x-xz", "application/zstd"),
                *("application/java-archive", "application/x-compressed-tar", "application/x-rar"),
            ],
            ARCHIVE,
        ),
        **dict.fromkeys(
            ["application/x-msdownload", "application/x-executable", "application/vnd.android.package-archive"],
            PROGRAM,
        ),
        **dict.fromkeys(["application/msword", "application/rtf", "application/x-iwork-pages-sffpages"], DOCUMENT),
    }
)
_BY_TYPE_PREFIX = (
    ("video/", VIDEO),
    ("audio/", AUDIO),
    ("application/vnd.openxmlformats-officedocument", DOCUMENT),
    ("application/vnd.oasis.opendocument", DOCUMENT),
    ("application/vnd.ms-", DOCUMENT),
    ("application/vnd.apple.", DOCUMENT),
    ("application/vnd.google-apps", DOCUMENT),
)
# By suffix, one line per reason.
_SUFFIXES_BY_REASON = (
    (PDF, ".pdf"),
    (VIDEO, ".mp4 .mov .m4v .webm .mkv .avi .wmv .mpg .mpeg .3gp .flv"),
    (AUDIO, ".mp3 .m4a .wav .ogg .oga .opus .flac .aac .wma .amr .aiff"),
    (ARCHIVE, ".zip .gz .tgz .tar .7z .rar .bz2 .xz .zst .jar .iso .dmg .cab"),
    (DOCUMENT, ".doc .docx .xls .xlsx .xlsm .ppt .pptx .odt .ods .odp .rtf .pages .numbers .key .epub .gdoc .gsheet"),
    (PROGRAM, ".exe .dll .so .dylib .msi .apk .ipa .bin .class .pyc .wasm .deb .rpm"),
)
_BY_SUFFIX = MappingProxyType(
    {suffix: reason for reason, suffixes in _SUFFIXES_BY_REASON for suffix in suffixes.split()}
)


def kind_of(name: str, media_type: str) -> str:
    """``image``, ``text``, or empty if unsupported; by media type, or by name if the type is unknown."""
    base_type, suffix = media_type_without_parameters(media_type), PurePosixPath(name.lower()).suffix
    if base_type in IMAGE_TYPES:
        return "image"
    if base_type == "image/svg+xml":
        return "text"
    if base_type.startswith("text/") or base_type in TEXT_TYPES or base_type.endswith(("+json", "+xml")):
        return "text"
    by_name = suffix in TEXT_SUFFIXES or name.lower() in TEXT_NAMES
    if by_name and not base_type.startswith(("image/", "audio/")):
        return "text"  # trust the name more than the platform's guess: it calls .ts video/mp2t
    if base_type in _UNKNOWN_TYPES and suffix in IMAGE_SUFFIXES:
        return "image"
    return ""


def media_type_without_parameters(media_type: str) -> str:
    """The media type in lower case without parameters."""
    return media_type.partition(";")[0].strip().lower()


def unsupported_reason(name: str, media_type: str) -> str:
    """The reason for omitting a file of unsupported kind, for the reader."""
    base_type, suffix = media_type_without_parameters(media_type), PurePosixPath(name.lower()).suffix
    if base_type.startswith("image/"):
        return unsupported_image_reason(_OTHER_IMAGES.get(base_type.partition("/")[2], ""))
    if (known := _BY_TYPE.get(base_type)) is not None:
        return known
    for beginning, reason in _BY_TYPE_PREFIX:
        if base_type.startswith(beginning):
            return reason
    if suffix[1:] in _OTHER_IMAGES:
        return unsupported_image_reason(_OTHER_IMAGES[suffix[1:]])
    return _BY_SUFFIX.get(suffix, UNKNOWN_KIND)


def unsupported_image_reason(kind: str = "") -> str:
    """The reason for omitting an image outside `IMAGE_TYPES`; `kind` is the format's name, if known."""
    named = f" ({kind})" if kind and kind != "another format" else ""
    return f"it is an image of a kind that the model does not take{named}"


def unsupported_image_format(data: bytes) -> str:
    """The name of an unsupported image format, by the first bytes; empty if not recognized."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in (b"avif", b"avis"):
        return "AVIF"
    if brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
        return "HEIC"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    if data.startswith(b"BM") and data[6:10] == b"\0\0\0\0":
        return "BMP"
    if data.startswith(b"\0\0\1\0"):
        return "ICO"
    return "Photoshop" if data.startswith(b"8BPS") else ""
