"""Kinds of files by type and name: which a model can be given, and why it is not given the others. Pure.

What belongs here: the tables. What does not: sizes, and what the bytes say of themselves (`attachments`).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from types import MappingProxyType

# The image types that chat models take (https://platform.openai.com/docs/guides/images-vision).
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

# Types that are text though they do not start with ``text/``. Read by `kind_of`.
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

# Names that say text where a platform says nothing, or only ``application/octet-stream``. Read by `kind_of`.
_SUFFIXES = """
.txt .md .markdown .rst .adoc .tex .log .csv .tsv .json .jsonl .ndjson .xml .html .htm .css .scss .svg .yaml .yml .toml
.ini .cfg .conf .env .properties .diff .patch .srt .vtt .eml .sql .graphql .proto .tf .hcl .nix .ipynb
.py .pyi .js .mjs .cjs .jsx .ts .tsx .vue .c .h .cc .cpp .hpp .cs .java .kt .kts .scala .go .rs .rb .php .pl .lua .r
.jl .swift .m .hs .ml .ex .exs .erl .clj .lisp .el .sh .bash .zsh .fish .ps1 .bat .zig .dart .asm .s .v .vhd
"""
TEXT_SUFFIXES = frozenset(_SUFFIXES.split())

# Names without a suffix that are text. Read by `kind_of`.
TEXT_NAMES = frozenset({"makefile", "dockerfile", "procfile", "readme", "license", "changelog", "gemfile", "rakefile"})

# Suffixes of images, where a platform does not say the type. Read by `kind_of`.
IMAGE_SUFFIXES = MappingProxyType(
    {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}
)

# Types that say nothing about a file. Read by `kind_of` and `refusal`.
_NO_TYPE = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/unknown"})

UNKNOWN_KIND = "it is neither an image nor a text file"
VIDEO = "it is a video, which the model cannot watch"
AUDIO = "it is a sound recording, which the model cannot hear"
PDF = "it is a PDF, which is not read"
ARCHIVE = "it is an archive, which is not unpacked"
DOCUMENT = "it is an office document, which is not read"
PROGRAM = "it is a program, which is not read"

# Image kinds that models do not take, by the last part of the type, and the names that people know them by.
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

# Reasons by type, and by suffix where the type says nothing. A type is looked up whole, then by what it begins with.
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
_BY_BEGINNING = (
    ("video/", VIDEO),
    ("audio/", AUDIO),
    ("application/vnd.openxmlformats-officedocument", DOCUMENT),
    ("application/vnd.oasis.opendocument", DOCUMENT),
    ("application/vnd.ms-", DOCUMENT),
    ("application/vnd.apple.", DOCUMENT),
    ("application/vnd.google-apps", DOCUMENT),
)
# By suffix, one line for each reason.
_SUFFIXES_OF = (
    (PDF, ".pdf"),
    (VIDEO, ".mp4 .mov .m4v .webm .mkv .avi .wmv .mpg .mpeg .3gp .flv"),
    (AUDIO, ".mp3 .m4a .wav .ogg .oga .opus .flac .aac .wma .amr .aiff"),
    (ARCHIVE, ".zip .gz .tgz .tar .7z .rar .bz2 .xz .zst .jar .iso .dmg .cab"),
    (DOCUMENT, ".doc .docx .xls .xlsx .xlsm .ppt .pptx .odt .ods .odp .rtf .pages .numbers .key .epub .gdoc .gsheet"),
    (PROGRAM, ".exe .dll .so .dylib .msi .apk .ipa .bin .class .pyc .wasm .deb .rpm"),
)
_BY_SUFFIX = MappingProxyType({suffix: why for why, suffixes in _SUFFIXES_OF for suffix in suffixes.split()})


def kind_of(name: str, media_type: str) -> str:
    """``image``, ``text`` or an empty string, by what the platform says, and by the name where it says nothing."""
    plain, suffix = plain_type(media_type), PurePosixPath(name.lower()).suffix
    if plain in IMAGE_TYPES:
        return "image"
    if plain == "image/svg+xml":
        return "text"
    if plain.startswith("text/") or plain in TEXT_TYPES or plain.endswith(("+json", "+xml")):
        return "text"
    by_name = suffix in TEXT_SUFFIXES or name.lower() in TEXT_NAMES
    if by_name and not plain.startswith(("image/", "audio/")):
        return "text"  # a platform's guess at a type is worth less than a name: .ts is said to be video/mp2t
    if plain in _NO_TYPE and suffix in IMAGE_SUFFIXES:
        return "image"
    return ""


def plain_type(media_type: str) -> str:
    """A media type without its parameters, in lower case."""
    return media_type.partition(";")[0].strip().lower()


def refusal(name: str, media_type: str) -> str:
    """Why a file of no use to `kind_of` is left out, by the same evidence."""
    plain, suffix = plain_type(media_type), PurePosixPath(name.lower()).suffix
    if plain.startswith("image/"):
        return other_image(_OTHER_IMAGES.get(plain.partition("/")[2], ""))
    if (known := _BY_TYPE.get(plain)) is not None:
        return known
    for beginning, why in _BY_BEGINNING:
        if plain.startswith(beginning):
            return why
    if suffix[1:] in _OTHER_IMAGES:
        return other_image(_OTHER_IMAGES[suffix[1:]])
    return _BY_SUFFIX.get(suffix, UNKNOWN_KIND)


def other_image(kind: str = "") -> str:
    """Why an image of another kind than `IMAGE_TYPES` is left out; `kind` is its name, where that is known."""
    named = f" ({kind})" if kind and kind != "another format" else ""
    return f"it is an image of a kind that the model does not take{named}"


def image_kind(data: bytes) -> str:
    """The name of an image kind that models do not take, by an image's first bytes; empty where they show none."""
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
