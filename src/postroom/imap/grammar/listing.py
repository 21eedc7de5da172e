"""LIST and LSUB (RFC 3501 6.3.8, 6.3.9; RFC 5258): their arguments read, their responses written.

>>> write_list(b"LIST", [b"\\HasNoChildren"], "INBOX")
b'* LIST (\\HasNoChildren) "/" INBOX\\r\\n'
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.names import write_mailbox
from postroom.imap.grammar.tokens import (
    at,
    read_astring,
    read_end,
    read_list_mailbox,
    read_next,
    read_open,
    read_space,
    read_word,
)
from postroom.net.limits import IMAP_LIST_PATTERNS
from postroom.store.values import SEPARATOR


class Selection(enum.Enum):
    """Which mailboxes LIST is to show (RFC 5258 3.1, RFC 6154 6)."""

    SUBSCRIBED = b"SUBSCRIBED"
    REMOTE = b"REMOTE"
    RECURSIVEMATCH = b"RECURSIVEMATCH"
    """Always together with SUBSCRIBED."""
    SPECIAL_USE = b"SPECIAL-USE"


class Return(enum.Enum):
    """What LIST is to tell of each (RFC 5258 3.2, RFC 6154 6)."""

    SUBSCRIBED = b"SUBSCRIBED"
    CHILDREN = b"CHILDREN"
    SPECIAL_USE = b"SPECIAL-USE"


@dataclass(frozen=True, slots=True)
class List:
    """LIST and LSUB (RFC 3501 6.3.8, 6.3.9; RFC 5258). Reference and patterns are what `names.pattern` takes; the
    one pattern b"" of a plain LIST asks for the separator and the reference's root."""

    reference: bytes
    patterns: tuple[bytes, ...]
    selection: frozenset[Selection] = frozenset()
    returns: frozenset[Return] = frozenset()
    extended: bool = False
    """Whether the command used RFC 5258's syntax anywhere."""


_SELECTIONS: Final = {option.value: option for option in Selection}
_RETURNS: Final = {option.value: option for option in Return}

Option = TypeVar("Option", Selection, Return)


def read_list(buffer: bytes, position: int) -> List:
    """LIST, extended or not; an unknown option is refused, as RFC 5258 3 asks."""
    selection: frozenset[Selection] = frozenset()
    returns: frozenset[Return] = frozenset()
    position = read_space(buffer, position)
    if selecting := at(buffer, position, b"("):
        selection, position = _read_options(buffer, position, _SELECTIONS)
        position = read_space(buffer, position)
    reference, position = read_astring(buffer, position)
    position = read_space(buffer, position)
    several = at(buffer, position, b"(")
    patterns, position = _read_patterns(buffer, position)
    if returning := at(buffer, position, b" "):
        word, position = read_word(buffer, position + 1)
        if word != b"RETURN":
            raise SyntaxFault("LIST has an unknown parameter")
        returns, position = _read_options(buffer, read_space(buffer, position), _RETURNS)
    read_end(buffer, position)
    if Selection.RECURSIVEMATCH in selection and Selection.SUBSCRIBED not in selection:
        raise SyntaxFault("RECURSIVEMATCH is for SUBSCRIBED only")
    return List(reference, patterns, selection, returns, selecting or several or returning)


def _read_options(buffer: bytes, position: int, options: dict[bytes, Option]) -> tuple[frozenset[Option], int]:
    position = read_open(buffer, position)
    if at(buffer, position, b")"):
        return frozenset(), position + 1
    found: set[Option] = set()
    more = True
    while more:
        word, position = read_word(buffer, position)
        if (option := options.get(word)) is None:
            raise SyntaxFault("LIST has no such option")
        found.add(option)
        more, position = read_next(buffer, position)
    return frozenset(found), position


def _read_patterns(buffer: bytes, position: int) -> tuple[tuple[bytes, ...], int]:
    more = at(buffer, position, b"(")
    if not more:
        pattern, position = read_list_mailbox(buffer, position)
        return (pattern,), position
    position += 1
    patterns: list[bytes] = []
    while more:
        pattern, position = read_list_mailbox(buffer, position)
        patterns.append(pattern)
        if len(patterns) > IMAP_LIST_PATTERNS:
            raise SyntaxFault("LIST has too many patterns")
        more, position = read_next(buffer, position)
    return tuple(patterns), position


def read_lsub(buffer: bytes, position: int) -> List:
    """LSUB: a reference and one pattern."""
    reference, position = read_astring(buffer, read_space(buffer, position))
    pattern, position = read_list_mailbox(buffer, read_space(buffer, position))
    read_end(buffer, position)
    return List(reference, (pattern,))


def write_list(verb: bytes, attributes: Sequence[bytes], name: str, *, child_info: bytes = b"") -> bytes:
    """One untagged LIST or LSUB response (RFC 3501 7.2.2).

    `attributes` have their backslash. `child_info` is the list of extended data as it stands, such as
    b'("CHILDINFO" ("SUBSCRIBED"))' (RFC 5258 3.5), or empty.
    """
    line = b'* %b (%b) "%b" %b' % (verb, b" ".join(attributes), SEPARATOR.encode(), write_mailbox(name))
    if child_info:
        line += b" " + child_info
    return line + b"\r\n"
