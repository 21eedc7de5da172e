"""Content-Transfer-Encodings undone (RFC 2045 6), leniently: any octets give an answer."""

from __future__ import annotations

import binascii

from postroom.message.parts import Encoding

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_ALPHABET = bytes(set(range(256)) - set(_ALPHABET))


def base64(text: bytes) -> bytes:
    """RFC 2045 6.8: what isn't of the alphabet is passed over, a torn end loses its last octet only."""
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        kept = text.translate(None, _NOT_ALPHABET)
        return binascii.a2b_base64(kept[: len(kept) - (len(kept) % 4 == 1)] + b"==")


def quoted_printable(text: bytes) -> bytes:
    """RFC 2045 6.7: an "=" that begins nothing stands for itself."""
    return binascii.a2b_qp(text)


def q_word(text: bytes) -> bytes:
    """The Q encoding of an encoded word (RFC 2047 4.2)."""
    return binascii.a2b_qp(text, header=True)


def undone(octets: bytes, encoding: Encoding) -> bytes:
    """A body without its transfer encoding; of an unknown one, as it stands."""
    if encoding is Encoding.BASE64:
        return base64(octets)
    if encoding is Encoding.QUOTED_PRINTABLE:
        return quoted_printable(octets)
    return octets
