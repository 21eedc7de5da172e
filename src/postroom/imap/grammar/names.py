"""Mailbox names (RFC 3501 5.1): modified UTF-7 both ways, INBOX, limits; and LIST's patterns.

A name is Unicode inside, its levels apart by SEPARATOR; on the wire it is modified UTF-7 in an astring. Names are
keys of a database and never paths, so "..", "~" and their like are as good as any other.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

from postroom.imap.grammar.faults import NameFault, SyntaxFault
from postroom.imap.grammar.tokens import read_astring, write_astring
from postroom.net.limits import IMAP_MAILBOX_LEVELS, IMAP_MAILBOX_NAME_OCTETS
from postroom.store.values import INBOX, SEPARATOR

_BASE64_RUN: Final = re.compile(rb"&([A-Za-z0-9+,]*+)-")
_NOT_DIRECT: Final = re.compile(r"[^\x20-\x7e]+|&")
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_WILDCARD: Final = re.compile(rb"[*%]")
_WILDCARDS: Final = re.compile(rb"[*%]{2,}")
_SEPARATOR: Final = SEPARATOR.encode()[0]
_BELOW_INBOX: Final = INBOX + SEPARATOR
_LOWER: Final = 0x20
"""The bit that makes an ASCII letter a small one."""


def read_mailbox(buffer: bytes, position: int) -> tuple[str, int]:
    """A mailbox's name. Raises `NameFault` for one that no mailbox can have."""
    octets, position = read_astring(buffer, position)
    return decode_name(octets), position


def write_mailbox(name: str) -> bytes:
    """A name as an astring."""
    return write_astring(encode_name(name))


def decode_name(octets: bytes) -> str:
    """A name from the wire. Any case of INBOX, alone or as first level, is INBOX (RFC 3501 5.1).

    Only the canonical modified UTF-7 of a name is taken (RFC 3501 5.1.3): nothing that could stand for itself is
    encoded, no bits are left over, runs don't touch; so that no two spellings name one mailbox. Refused are also
    controls, lone surrogates, empty levels, names of more than IMAP_MAILBOX_NAME_OCTETS octets (of UTF-8, as the
    store counts) or IMAP_MAILBOX_LEVELS levels: each raises `NameFault`.
    """
    name = _from_utf7(octets)
    if _CONTROLS.search(name) is not None or encode_name(name) != octets:
        raise NameFault("a mailbox name is not in modified UTF-7")
    if len(name.encode()) > IMAP_MAILBOX_NAME_OCTETS:
        raise NameFault("a mailbox name is too long")
    levels = name.split(SEPARATOR)
    if not all(levels):
        raise NameFault("a mailbox name has an empty level")
    if len(levels) > IMAP_MAILBOX_LEVELS:
        raise NameFault("a mailbox name has too many levels")
    if levels[0].isascii() and levels[0].upper() == INBOX:
        return INBOX + name[len(INBOX) :]
    return name


def encode_name(name: str) -> bytes:
    """A name in modified UTF-7, not yet an astring. The name must hold no lone surrogates."""
    return _NOT_DIRECT.sub(_to_base64, name).encode("ascii")


def _from_utf7(octets: bytes) -> str:
    if not octets.isascii():
        raise NameFault("a mailbox name has 8-bit octets")
    if b"&" not in octets:
        return octets.decode("ascii")
    pieces = _BASE64_RUN.split(octets)
    try:
        pieces[1::2] = [_from_base64(run) for run in pieces[1::2]]
        return b"".join(pieces).decode("utf-8")
    except (ValueError, binascii.Error):
        raise NameFault("a mailbox name is not in modified UTF-7") from None


def _from_base64(run: bytes) -> bytes:
    if not run:
        return b"&"
    padded = run.replace(b",", b"/") + b"=" * (-len(run) % 4)
    return binascii.a2b_base64(padded, strict_mode=True).decode("utf-16-be").encode("utf-8")


def _to_base64(run: re.Match[str]) -> str:
    if run[0] == "&":
        return "&-"
    encoded = binascii.b2a_base64(run[0].encode("utf-16-be"), newline=False)
    return "&" + encoded.rstrip(b"=").replace(b"/", b",").decode("ascii") + "-"


@dataclass(frozen=True, slots=True)
class Pattern:
    """What LIST and LSUB ask for (RFC 3501 6.3.8), made by `pattern`. "*" stands for anything, "%" for anything
    without the separator.

    All places where the pattern could stand are followed at once, as bits of one number, so that a match takes time
    in proportion to the name alone, whatever the wildcards. Names are held against it in their wire form: neither
    wildcards nor the separator occur in modified UTF-7's base64.
    """

    prefix: bytes
    """What comes before the first wildcard."""
    letters: dict[int, int]
    """For each octet: the places of the pattern, after the prefix, that ask for it."""
    anything: int
    """Places of "*"."""
    level: int
    """Places of "%"."""
    end: int
    """The bit of the place behind the last."""

    def matches(self, name: str) -> bool:
        """Whether a mailbox of this name is asked for."""
        octets, prefix = encode_name(name), self.prefix
        any_case = len(INBOX) if name == INBOX or name.startswith(_BELOW_INBOX) else 0
        if any_case:
            prefix = prefix[:any_case].upper() + prefix[any_case:]
        if not octets.startswith(prefix):
            return False
        wild = self.anything | self.level
        places = 1
        places |= (places & wild) << 1
        for at, octet in enumerate(octets[len(prefix) :], len(prefix)):
            asked = self.letters.get(octet, 0)
            if at < any_case:
                asked |= self.letters.get(octet | _LOWER, 0)
            staying = self.anything if octet == _SEPARATOR else wild
            places = (places & asked) << 1 | places & staying
            if not places:
                return False
            places |= (places & wild) << 1
        return bool(places & self.end)


def pattern(reference: bytes, mailbox: bytes) -> Pattern:
    """The pattern that LIST's two arguments make together: the reference is put before the mailbox name.

    INBOX may be spelled in any case. Raises `SyntaxFault` where both are longer than IMAP_MAILBOX_NAME_OCTETS.
    """
    octets = reference + mailbox
    if len(octets) > IMAP_MAILBOX_NAME_OCTETS:
        raise SyntaxFault("a pattern is too long")
    octets = _WILDCARDS.sub(lambda run: b"*" if b"*" in run[0] else b"%", octets)
    prefix = _WILDCARD.split(octets, 1)[0]
    places: dict[int, int] = {}
    for place, octet in enumerate(octets[len(prefix) :]):
        places[octet] = places.get(octet, 0) | 1 << place
    return Pattern(
        prefix=prefix,
        letters=places,
        anything=places.pop(b"*"[0], 0),
        level=places.pop(b"%"[0], 0),
        end=1 << len(octets) - len(prefix),
    )
