"""Octets of a named charset as text, for any name and any octets.

A name that a letter brings never reaches Python's codec registry: that knows zlib, hex, rot13, idna and codecs that
import modules. Only names of the table below are looked up.
"""

from __future__ import annotations

from encodings.aliases import aliases

_NOT_CHARSETS = frozenset(
    [
        "base64_codec",
        "bz2_codec",
        "hex_codec",
        "quopri_codec",
        "rot_13",
        "uu_codec",
        "zlib_codec",
        "idna",
        "punycode",
        "raw_unicode_escape",
        "unicode_escape",
        "undefined",
        "mbcs",
        "oem",
        "tactis",
    ]
)
_CODECS = {
    **{codec: codec for codec in aliases.values() if codec not in _NOT_CHARSETS},
    **{alias: codec for alias, codec in aliases.items() if codec not in _NOT_CHARSETS},
    # What senders mean by these names is the larger set (WHATWG's Encoding Standard does the same).
    "ascii": "utf_8",
    "us_ascii": "utf_8",
    "646": "utf_8",
    "iso_8859_1": "cp1252",
    "latin_1": "cp1252",
    "latin1": "cp1252",
    "iso8859_1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601_1987": "cp949",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "windows_31j": "cp932",
    "windows_874": "cp874",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "unicode_1_1_utf_7": "utf_7",
}
_NAME_OCTETS = 64


def decoded(octets: bytes, charset: bytes | None) -> str:
    """The text, with U+FFFD for what the charset doesn't have. An unknown or missing charset is read as UTF-8."""
    name = "utf_8"
    if charset and len(charset) <= _NAME_OCTETS:
        # RFC 2231 5: an encoded word may name a language behind a "*".
        plain = charset.partition(b"*")[0].strip(b" \t\"'").lower()
        name = _CODECS.get(plain.replace(b"-", b"_").decode("ascii", "replace"), "utf_8")
    return octets.decode(name, "replace")
