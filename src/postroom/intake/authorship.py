"""Whose a submitted letter is: every address of its From field must belong to the account that sends it (RFC 6409
6.1, "Enforce Submission Rights"), as the envelope's sender does. Pure but for the question whose an address is.

The field is read as strictly as it is shown to people: one at most, with at least one address, each of which can be
read. Display names, comments and encoded words are nobody's address. A letter without the field claims nobody, and
goes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from postroom.message.addresses import read_addresses
from postroom.message.headers import unfolded
from postroom.net.limits import AUTHORS
from postroom.smtp.grammar import Address, SyntaxFault, read_address
from postroom.smtp.replies import R550_AUTHOR, R550_FROM, Reply

__all__ = ["authors", "objection"]

_FROM: Final = b"from"
_WSP: Final = b" \t\r"


def authors(header: bytes) -> list[Address] | None:
    """The addresses of a header's From field, none where it has no such field; None where there is more than one
    field, or one that can't be read whole."""
    fields = [
        value
        for name, colon, value in (line.partition(b":") for line in unfolded(header))
        if colon and name.rstrip(_WSP).lower() == _FROM
    ]
    if not fields:
        return []
    if len(fields) > 1:
        return None
    found = []
    for each in read_addresses(fields[0].strip(_WSP), AUTHORS + 1):
        if each.host is None:
            continue  # a group's beginning or end
        try:
            found.append(read_address(f"{(each.mailbox or b'').decode()}@{each.host.decode()}"))
        except (SyntaxFault, UnicodeDecodeError):
            return None
    return found if 0 < len(found) <= AUTHORS else None


async def objection(header: bytes, is_mine: Callable[[Address], Awaitable[bool]]) -> Reply | None:
    """Why a header isn't the account's, or None. Raises what the question raises."""
    found = authors(header)
    if found is None:
        return R550_FROM
    for address in dict.fromkeys(found):
        if not await is_mine(address):
            return R550_AUTHOR
    return None
