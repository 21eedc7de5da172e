"""Octets of a named charset as text: never an exception, never a codec that is no charset."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.charsets import decoded

TEXTS = [
    (b"Gr\xc3\xbc\xc3\x9fe", b"utf-8", "Grüße"),
    (b"Gr\xfc\xdfe", b"ISO-8859-1", "Grüße"),
    (b"Gr\xfc\xdfe", b"latin1", "Grüße"),
    (b"\x80", b"iso-8859-1", "€"),
    (b"\xa4", b"iso-8859-15", "€"),
    (b"\xf0\xcf\xce\xd4\xc1", b"KOI8-R", "Понта"),
    (b"\x82\xa0", b"Shift_JIS", "あ"),
    (b'\x1b$B$"\x1b(B', b"iso-2022-jp", "あ"),
    (b"\xc4\xe3", b"gb2312", "你"),
    (b"\xb0\xa1", b"ks_c_5601-1987", "가"),
    (b"plain", b"us-ascii", "plain"),
    (b"\xc3\xbc", b"us-ascii", "ü"),
    (b"\xc3\xbc", None, "ü"),
    (b"\xc3\xbc", b"", "ü"),
    (b"\xc3\xbc", b"no-such-charset", "ü"),
    (b"\xc3\xbc", b"utf-8*de", "ü"),
    (b"\xc3\xbc", b' "utf-8" ', "ü"),
    (b"\xff\xfe", b"utf-8", "\ufffd\ufffd"),
    (b"a\0b", b"utf-8", "a\0b"),
]


@pytest.mark.parametrize(("octets", "charset", "text"), TEXTS)
def test_a_charset_is_decoded(octets: bytes, charset: bytes | None, text: str) -> None:
    assert decoded(octets, charset) == text


NOT_CHARSETS = """zlib hex rot13 idna punycode base64 bz2 uu quopri unicode_escape raw_unicode_escape undefined mbcs
oem zlib_codec hex_codec string_escape"""


@pytest.mark.parametrize("name", NOT_CHARSETS.split())
def test_codecs_that_are_no_charsets_are_never_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    codecs.register(lambda each: asked.append(each))
    assert decoded(b"x\\u0041", name.encode()) == "x\\u0041"
    assert decoded(b"x", b"never_heard_of_" + name.encode()) == "x"
    assert asked == []


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([row[1] for row in TEXTS]) | st.binary(max_size=70))
def test_any_octets_of_any_charset_are_text(octets: bytes, charset: bytes | None) -> None:
    assert isinstance(decoded(octets, charset), str)
