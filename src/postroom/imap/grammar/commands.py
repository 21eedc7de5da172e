"""Each command's arguments as a value, and its reader (RFC 3501 6 and 9): all of them under one name.

A session takes the head with `read_head`, finds the verb in its table, and calls that row's reader:

    >>> read_head(b"a1 uid fetch 1:* FLAGS\\r\\n")
    Head(tag=b'a1', verb=b'UID FETCH', position=12)

A reader `read_<command>(buffer, position)` starts behind the verb, reads to the end of the command, line end
included, and gives the value. `read_append_head` stops before the letter, which never enters the grammar.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from postroom.imap.grammar.append import (
    Append,
    append_names_by_literal,
    read_append_head,
)
from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.letters import (
    Copy,
    ExpungeUids,
    Fetch,
    Store,
    read_copy,
    read_expunge_uids,
    read_fetch,
    read_search,
    read_store,
)
from postroom.imap.grammar.listing import (
    List,
    Return,
    Selection,
    read_list,
    read_lsub,
)
from postroom.imap.grammar.logins import (
    Authenticate,
    Enable,
    Id,
    Login,
    Nothing,
    read_authenticate,
    read_enable,
    read_id,
    read_login,
    read_nothing,
    read_sasl_response,
)
from postroom.imap.grammar.mailboxes import (
    Create,
    Delete,
    Rename,
    Select,
    Status,
    StatusItem,
    Subscribe,
    read_create,
    read_delete,
    read_rename,
    read_select,
    read_status,
    read_subscribe,
)
from postroom.imap.grammar.search import (
    Search,
)
from postroom.imap.grammar.tokens import read_tag

__all__ = [
    "Append",
    "Authenticate",
    "Copy",
    "Create",
    "Delete",
    "Enable",
    "ExpungeUids",
    "Fetch",
    "Head",
    "Id",
    "List",
    "Login",
    "Nothing",
    "Rename",
    "Return",
    "Search",
    "Select",
    "Selection",
    "Status",
    "StatusItem",
    "Store",
    "Subscribe",
    "append_names_by_literal",
    "read_append_head",
    "read_authenticate",
    "read_copy",
    "read_create",
    "read_delete",
    "read_enable",
    "read_expunge_uids",
    "read_fetch",
    "read_head",
    "read_id",
    "read_list",
    "read_login",
    "read_lsub",
    "read_nothing",
    "read_rename",
    "read_sasl_response",
    "read_search",
    "read_select",
    "read_status",
    "read_store",
    "read_subscribe",
]


class Head(NamedTuple):
    """Tag and verb of a command, and where its arguments begin."""

    tag: bytes
    """The tag; b"*" where the client sent none, so that the answer is an untagged BAD."""
    verb: bytes
    """In upper case, with its UID: b"UID FETCH"; empty where there is none."""
    position: int
    """Right behind the verb: a space or the line's end stands there."""


_BEHIND_TAG: Final = (b" ", b"\r", b"\n", b"")
_VERB: Final = re.compile(rb" ((?:UID )?[A-Z][A-Z0-9.\-]{0,63})(?=[ \r\n])", re.IGNORECASE)


def read_head(buffer: bytes) -> Head:
    """Tag and verb. Never raises: what can't be read stands in the answer as "*" or is no verb of any table."""
    try:
        tag, position = read_tag(buffer, 0)
    except SyntaxFault:
        return Head(b"*", b"", 0)
    if buffer[position : position + 1] not in _BEHIND_TAG:
        return Head(b"*", b"", 0)  # Half a tag could be another command's.
    found = _VERB.match(buffer, position)
    if found is None:
        return Head(tag, b"", position)
    return Head(tag, found[1].upper(), found.end())
