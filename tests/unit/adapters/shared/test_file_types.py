"""Kinds of files: the reason that a reader is given for one that is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.file_types import (
    ARCHIVE,
    AUDIO,
    DOCUMENT,
    PDF,
    PROGRAM,
    UNKNOWN_KIND,
    VIDEO,
    kind_of,
    unsupported_image_format,
    unsupported_image_reason,
    unsupported_reason,
)


@pytest.mark.parametrize(
    ("name", "media_type", "why"),
    [
        ("IMG_1.HEIC", "image/heic", unsupported_image_reason("HEIC")),
        ("IMG_1.HEIC", "", unsupported_image_reason("HEIC")),
        ("IMG_1.heif", "application/octet-stream", unsupported_image_reason("HEIC")),
        ("a.avif", "image/avif", unsupported_image_reason("AVIF")),
        ("scan.tif", "image/tiff", unsupported_image_reason("TIFF")),
        ("a.bmp", "image/bmp", unsupported_image_reason("BMP")),
        ("a.psd", "image/vnd.adobe.photoshop", unsupported_image_reason("Photoshop")),
        ("a.jxl", "image/jxl", unsupported_image_reason()),
        ("a", "image/anything", unsupported_image_reason()),
        ("clip.mp4", "video/mp4", VIDEO),
        ("clip.mov", "", VIDEO),
        ("voice-message.ogg", "audio/ogg", AUDIO),
        ("talk.m4a", "", AUDIO),
        ("report.pdf", "application/pdf", PDF),
        ("report.PDF", "application/octet-stream", PDF),
        ("all.zip", "application/zip", ARCHIVE),
        ("all.tar.gz", "application/x-gzip", ARCHIVE),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", DOCUMENT),
        ("a.xls", "application/vnd.ms-excel", DOCUMENT),
        ("setup.exe", "application/x-msdownload", PROGRAM),
        ("mystery", "", UNKNOWN_KIND),
        ("mystery", "application/x-nobody-knows", UNKNOWN_KIND),
    ],
)
def test_why_a_file_is_left_out(name: str, media_type: str, why: str) -> None:
    """The reason says what the file is: a photo of an iPhone is an image, though not one that models take."""
    assert kind_of(name, media_type) == ""
    assert unsupported_reason(name, media_type) == why


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"BM\x36\0\0\0\0\0\0\0", "BMP"),
        (b"\0\0\0\x18ftypisom", ""),
        (b"", ""),
    ],
)
def test_an_image_that_is_called_something_else(data: bytes, kind: str) -> None:
    """The first bytes tell what an image is, where its name does not."""
    assert unsupported_image_format(data) == kind


@given(st.text(), st.text())
def test_any_file_has_a_kind_or_a_reason(name: str, media_type: str) -> None:
    """Whatever a file is called, the reader is told why it is left out."""
    assert kind_of(name, media_type) or unsupported_reason(name, media_type).startswith("it is ")
