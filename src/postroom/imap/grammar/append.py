"""APPEND (RFC 3501 6.3.11) up to its letter, which never enters the grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from postroom.imap.grammar.dates import Moment, read_date_time
from postroom.imap.grammar.flags import FlagList, read_flag_list
from postroom.imap.grammar.names import read_mailbox
from postroom.imap.grammar.tokens import LiteralHead, at, read_literal_head, read_space


@dataclass(frozen=True, slots=True)
class Append:
    """APPEND up to its literal (RFC 3501 6.3.11)."""

    mailbox: str
    flags: FlagList
    moment: Moment | None
    """None: now."""
    literal: LiteralHead


_NAME_BY_LITERAL: Final = re.compile(rb" \{[0-9]+\+?\}\r?\n\Z")


def append_names_by_literal(buffer: bytes, position: int) -> bool:
    """Whether the literal that the buffer ends in is APPEND's mailbox name, not yet the letter: the session then
    collects it as it does in any other command. `position` is behind the verb."""
    return _NAME_BY_LITERAL.match(buffer, position) is not None


def read_append_head(buffer: bytes, position: int) -> Append:
    """Mailbox, flags, date and the head of the letter's literal, with which the buffer ends."""
    mailbox, position = read_mailbox(buffer, read_space(buffer, position))
    position = read_space(buffer, position)
    flags, moment = FlagList(), None
    if at(buffer, position, b"("):
        flags, position = read_flag_list(buffer, position)
        position = read_space(buffer, position)
    if at(buffer, position, b'"'):
        moment, position = read_date_time(buffer, position)
        position = read_space(buffer, position)
    return Append(mailbox, flags, moment, read_literal_head(buffer, position))
