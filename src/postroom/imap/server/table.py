"""The table of verbs: dispatch, legality, CAPABILITY, masking and tests come from it. Nothing about a verb is
decided outside its row and its handler."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from postroom.accounts.sasl import MECHANISMS
from postroom.imap.grammar.commands import (
    read_append_head,
    read_authenticate,
    read_copy,
    read_create,
    read_delete,
    read_enable,
    read_expunge_uids,
    read_fetch,
    read_head,
    read_id,
    read_list,
    read_login,
    read_lsub,
    read_nothing,
    read_rename,
    read_search,
    read_select,
    read_status,
    read_store,
    read_subscribe,
)
from postroom.imap.server import (
    any as anytime,
)
from postroom.imap.server import (
    appending,
    copying,
    expunging,
    fetching,
    flagging,
    listing,
    login,
    mailboxes,
    searching,
    watching,
)
from postroom.imap.server.session import Session, State


@dataclass(frozen=True, slots=True)
class Row:
    """One verb."""

    verb: bytes
    states: State
    """Where it is legal."""
    read: Callable[[bytes, int], Any]
    """Its arguments, from behind the verb on. Raises `SyntaxFault`."""
    handle: Callable[[Session, Any], Awaitable[bytes]]
    """Does it; gives what stands behind the tagged OK, or nothing where it has given that answer itself."""
    section: str
    """Where it is defined."""
    help: str
    expunges: bool = True
    """Whether an EXPUNGE may be told before its answer (RFC 3501 7.4.1, 5.5)."""
    by_uid: bool = False
    """Whether a FETCH that is told before its answer has the UID."""
    secret: bool = False
    """Its arguments are a secret: the tap never shows them, and they are not taken in clear."""
    streams: bool = False
    """Its last literal is a letter, which the handler reads."""
    capability: bytes = b""
    """The words by which CAPABILITY tells of it."""


_ANY, _NEW, _IN, _SELECTED = State.ANY, State.NOT_AUTHENTICATED, State.LOGGED_IN, State.SELECTED

_ROWS: Final = (
    Row(b"CAPABILITY", _ANY, read_nothing, anytime.capability, "RFC 3501 6.1.1", "what this server can do"),
    Row(b"NOOP", _ANY, read_nothing, anytime.noop, "RFC 3501 6.1.2", "hear the news"),
    Row(b"LOGOUT", _ANY, read_nothing, anytime.logout, "RFC 3501 6.1.3", "end"),
    Row(b"ID", _ANY, read_id, anytime.id_, "RFC 2971 3.1", "say who you are", capability=b"ID"),
    Row(b"STARTTLS", _NEW, read_nothing, login.starttls, "RFC 3501 6.2.1", "begin TLS"),
    Row(
        b"AUTHENTICATE",
        _NEW,
        read_authenticate,
        login.authenticate,
        "RFC 3501 6.2.2",
        "log in by a SASL mechanism",
        secret=True,
        capability=b"SASL-IR",
    ),
    Row(b"LOGIN", _NEW, read_login, login.login, "RFC 3501 6.2.3", "log in by name and password", secret=True),
    Row(b"ENABLE", _IN, read_enable, anytime.enable, "RFC 5161 3.1", "switch extensions on", capability=b"ENABLE"),
    Row(b"SELECT", _IN, read_select, mailboxes.select, "RFC 3501 6.3.1", "open a mailbox"),
    Row(b"EXAMINE", _IN, read_select, mailboxes.examine, "RFC 3501 6.3.2", "open a mailbox to look at only"),
    Row(
        b"CREATE",
        _IN,
        read_create,
        mailboxes.create,
        "RFC 3501 6.3.3, RFC 6154 3",
        "make a mailbox",
        capability=b"CREATE-SPECIAL-USE",
    ),
    Row(b"DELETE", _IN, read_delete, mailboxes.delete, "RFC 3501 6.3.4", "take a mailbox away with its letters"),
    Row(b"RENAME", _IN, read_rename, mailboxes.rename, "RFC 3501 6.3.5", "rename a mailbox"),
    Row(b"SUBSCRIBE", _IN, read_subscribe, mailboxes.subscribe, "RFC 3501 6.3.6", "put a name on your list"),
    Row(b"UNSUBSCRIBE", _IN, read_subscribe, mailboxes.unsubscribe, "RFC 3501 6.3.7", "take it off again"),
    Row(
        b"LIST",
        _IN,
        read_list,
        listing.list_,
        "RFC 3501 6.3.8, RFC 5258 3, RFC 6154 2",
        "which mailboxes there are",
        capability=b"LIST-EXTENDED CHILDREN SPECIAL-USE",
    ),
    Row(b"LSUB", _IN, read_lsub, listing.lsub, "RFC 3501 6.3.9", "which names are on your list"),
    Row(
        b"NAMESPACE",
        _IN,
        read_nothing,
        anytime.namespace,
        "RFC 2342 5",
        "where mailboxes stand",
        capability=b"NAMESPACE",
    ),
    Row(b"STATUS", _IN, read_status, mailboxes.status, "RFC 3501 6.3.10", "how a mailbox stands"),
    Row(
        b"APPEND",
        _IN,
        read_append_head,
        appending.append,
        "RFC 3501 6.3.11, RFC 4315 2.2",
        "put a letter into a mailbox",
        streams=True,
    ),
    Row(b"IDLE", _IN, read_nothing, watching.idle, "RFC 2177 3", "hear the news at once", capability=b"IDLE"),
    Row(b"CHECK", _SELECTED, read_nothing, anytime.check, "RFC 3501 6.4.1", "have all made durable"),
    Row(b"CLOSE", _SELECTED, read_nothing, expunging.close, "RFC 3501 6.4.2", "expunge and leave the mailbox"),
    Row(
        b"UNSELECT",
        _SELECTED,
        read_nothing,
        mailboxes.unselect,
        "RFC 3691 2",
        "leave the mailbox",
        capability=b"UNSELECT",
    ),
    Row(b"EXPUNGE", _SELECTED, read_nothing, expunging.expunge, "RFC 3501 6.4.3", "take away what is \\Deleted"),
    Row(b"SEARCH", _SELECTED, read_search, searching.search, "RFC 3501 6.4.4", "find letters", expunges=False),
    Row(b"FETCH", _SELECTED, read_fetch, fetching.fetch, "RFC 3501 6.4.5", "read letters", expunges=False),
    Row(b"STORE", _SELECTED, read_store, flagging.store, "RFC 3501 6.4.6", "change flags", expunges=False),
    Row(b"COPY", _SELECTED, read_copy, copying.copy, "RFC 3501 6.4.7, RFC 4315 3", "copy letters"),
    Row(b"MOVE", _SELECTED, read_copy, copying.move, "RFC 6851 3.1", "move letters", capability=b"MOVE"),
    Row(b"UID SEARCH", _SELECTED, read_search, searching.uid_search, "RFC 3501 6.4.8", "find UIDs", by_uid=True),
    Row(b"UID FETCH", _SELECTED, read_fetch, fetching.uid_fetch, "RFC 3501 6.4.8", "read letters", by_uid=True),
    Row(b"UID STORE", _SELECTED, read_store, flagging.uid_store, "RFC 3501 6.4.8", "change flags", by_uid=True),
    Row(b"UID COPY", _SELECTED, read_copy, copying.uid_copy, "RFC 3501 6.4.8", "copy letters", by_uid=True),
    Row(b"UID MOVE", _SELECTED, read_copy, copying.uid_move, "RFC 6851 3.1", "move letters", by_uid=True),
    Row(
        b"UID EXPUNGE",
        _SELECTED,
        read_expunge_uids,
        expunging.uid_expunge,
        "RFC 4315 2.1",
        "take some of the \\Deleted away",
        by_uid=True,
        capability=b"UIDPLUS",
    ),
)

TABLE: Final[Mapping[bytes, Row]] = {row.verb: row for row in _ROWS}

EXTENSIONS: Final = tuple(row.capability for row in _ROWS if row.capability)
"""What the rows put into CAPABILITY."""


_HIDDEN: Final = b" ***\r\n"
_SECRET: Final = re.compile(
    rb"\s*+(?:\S++\s++){0,2}?(?:%b)(?![A-Z0-9])(?:\s+(?:%b)(?!\S))?"
    % (
        b"|".join(row.verb for row in _ROWS if row.secret),
        b"|".join(mechanism.encode() for mechanism in MECHANISMS),
    ),
    re.IGNORECASE,
)
"""A secret verb, also where a person forgot the tag or put something else before it, and SASL's mechanism."""


class Mask:
    """What the tap may show of a client's lines: not the arguments of a secret verb, and nothing of what stands
    behind such a command until a verb that is known: a client whose AUTHENTICATE was refused may not have waited
    before it said its password."""

    __slots__ = ("_wary",)

    def __init__(self) -> None:
        self._wary = False

    def __call__(self, line: bytes) -> bytes:
        """A line's part that may be shown."""
        found = _SECRET.match(line)
        if found is not None:
            self._wary = True
            hidden = line[found.end() :].strip()
            return found[0].rstrip() + (_HIDDEN if hidden else b"\r\n")
        if read_head(line).verb in TABLE:
            self._wary = False
            return line
        return _HIDDEN.lstrip() if self._wary else line
