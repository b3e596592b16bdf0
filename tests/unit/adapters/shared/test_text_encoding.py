"""Which charset a text file is in: declared, marked or detected; and what is no text at all."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.shared.text_encoding import SAMPLE_BYTES, charset_in, decode_text

FRENCH = "Voilà une phrase en français, avec des caractères accentués : été, hiver, Noël, garçon."
JAPANESE = "これはテストです。日本語の文章を書いています。"
CHINESE = "这是一个测试文件、包含中文内容。会议在星期五举行。"
RUSSIAN = "Привет, это тестовый файл на русском языке. Встреча в пятницу."


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        (b"", ""),
        ("naïve → ✓".encode(), "naïve → ✓"),
        (codecs.BOM_UTF8 + b"bom", "bom"),
        ("Notepad".encode("utf-16"), "Notepad"),
        (codecs.BOM_UTF16_BE + "big".encode("utf-16-be"), "big"),
        ("four bytes".encode("utf-32"), "four bytes"),
        (b"\x1b[31mred\x1b[0m log", "\x1b[31mred\x1b[0m log"),
        ("a,b\r\nü,ß".encode("utf-16-le"), "a,b\r\nü,ß"),
        ("a,b\r\nü,ß".encode("utf-16-be"), "a,b\r\nü,ß"),
        (b"caf\xe9", "café"),
        (b"\xff\xd8\xff\xe0", None),
        (b"\x7fELF\x02\x01\x01\0\0\0", None),
        (b"\x01\x02\x03\x04", None),
        (b"\x01\xe9\x03\x04", None),
    ],
)
def test_what_is_text(data: bytes, text: str | None) -> None:
    """What is text in some charset is read; a binary is not text, whatever its name."""
    assert decode_text(data) == text


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        (FRENCH, "cp1252"),
        ("name;city\nJosé;Málaga\nFrançois;Orléans\nJürgen;Köln\n", "cp1252"),
        ("¿Dónde está la reunión de mañana?", "cp1252"),
        ("Rødgrød med fløde på en ø", "cp1252"),
        ("A reunião será na sexta-feira às dezoito horas. Não esqueça o relatório, por favor. Até amanhã!", "cp1252"),
        ("temperature 21°C, “naïve”, 10 €", "cp1252"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        ("這是一個測試文件、包含中文內容。會議在星期五舉行。", "big5"),
        ("이것은 한국어 테스트 파일입니다. 회의는 금요일입니다.", "cp949"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        ("Dobrý den, schůzka bude v pátek večer, děkuji.", "cp1250"),
        ("Sastanak je u petak, čekamo vas, žao mi je što kasnim.", "cp1250"),
        ("Vă rugăm să confirmaţi până vineri şi să veniţi.", "cp1250"),
        ("Zażółć gęślą jaźń. Spotkanie odbędzie się w piątek.", "cp1250"),
        ("Αυτό είναι ένα αρχείο δοκιμής στα ελληνικά.", "cp1253"),
        ("هذا ملف اختبار باللغة العربية.", "cp1256"),
    ],
)
def test_an_undeclared_charset_is_detected(text: str, charset: str) -> None:
    """A few words in a common charset are read as they were written."""
    assert decode_text(text.encode(charset)) == text


@pytest.mark.parametrize(
    ("text", "charset"), [(FRENCH, "cp1252"), (JAPANESE, "cp932"), (CHINESE, "gb18030"), (RUSSIAN, "cp1251")]
)
def test_a_long_file_is_read_whole(text: str, charset: str) -> None:
    """The detector sees the beginning of a long file, cut at any place, and all of it is read."""
    for length in (SAMPLE_BYTES - 1, 2 * SAMPLE_BYTES):
        long = f"{text}\n" * (length // len(text))
        assert decode_text(long.encode(charset)) == long


@pytest.mark.parametrize(
    ("text", "charset", "declared"),
    [
        ("Привет", "cp1251", "Windows-1251"),
        ("été", "cp1252", "ISO-8859-1"),
        ("10 €", "cp1252", "windows-1252"),
        ("日本語", "cp932", "Shift_JIS"),
        ("日本語", "cp932", "shift-jis"),
        ("日本語", "utf-16-le", "UTF-16"),
        ("日本語", "utf-16-be", "utf-16be"),
        ("Hi", "utf-16-be", "UTF-16"),
        ("日本語", "iso2022_jp", "ISO-2022-JP"),
        ("中文", "gbk", "GB2312"),
        ("שלום", "cp1255", "windows-1255"),
        ("été", "mac_roman", "x-mac-roman"),
        ("naïve", "utf-8", "windows-1252"),  # servers name a default that is not so
        ("日本語", "utf-8", "nonsense"),
        ("日本語", "utf-8", "hex"),
    ],
)
def test_a_declared_charset(text: str, charset: str, declared: str) -> None:
    """The declared charset decides, by any of its names; but what is UTF-8 beyond ASCII is UTF-8."""
    assert decode_text(text.encode(charset), declared) == text


@pytest.mark.parametrize(
    ("media_type", "charset"),
    [
        ("text/plain; charset=UTF-8", "utf-8"),
        ("text/plain;charset='x'; format=flowed", "x"),
        ('text/plain; format=flowed; Charset = "Shift_JIS"', "shift_jis"),
        ("text/plain", ""),
        ("", ""),
    ],
)
def test_the_charset_in_a_media_type(media_type: str, charset: str) -> None:
    """However it is written, the parameter is read."""
    assert charset_in(media_type) == charset


@given(st.text(alphabet=st.characters(min_codepoint=32, exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    """What somebody wrote in a text file is what the model is given, in all encodings that name themselves."""
    utf16 = codecs.BOM_UTF16_LE + text.encode("utf-16-le")

    assert (decode_text(codecs.BOM_UTF8 + text.encode()), decode_text(utf16)) == (text, text)


@given(st.binary(), st.sampled_from(["", "utf-8", "utf-16", "utf-7", "idna", "hex", "shift_jis", "\0"]) | st.text())
def test_no_bytes_make_the_decoder_fail(data: bytes, declared: str) -> None:
    """Whatever is called .txt, in whatever charset, it is text or it is not."""
    decode_text(data, declared)
