"""Which names mailboxes and accounts may have; pure. Names are database keys, never paths."""

from __future__ import annotations

import unicodedata

from postroom.net.limits import ACCOUNT_OCTETS, IMAP_MAILBOX_LEVELS, IMAP_MAILBOX_NAME_OCTETS
from postroom.store.values import INBOX, SEPARATOR

__all__ = ["canonical", "is_account_name", "is_mailbox_name", "levels_above"]

_FORBIDDEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Unicode categories: controls, lone surrogates, line and paragraph separators (RFC 5198 2)."""


def canonical(name: str) -> str:
    """A mailbox's name with its first level as INBOX where that is "inbox" in any case (RFC 9051 5.1)."""
    first, separator, rest = name.partition(SEPARATOR)
    if first.isascii() and first.upper() == INBOX:
        return INBOX + separator + rest
    return name


def is_mailbox_name(name: str) -> bool:
    """Whether a mailbox may be called so: no empty level, no controls, within the limits."""
    levels = name.split(SEPARATOR)
    return all(levels) and len(levels) <= IMAP_MAILBOX_LEVELS and _clean(name, IMAP_MAILBOX_NAME_OCTETS)


def levels_above(name: str) -> list[str]:
    """The names that must exist above a mailbox, topmost first.

    >>> levels_above("a/b/c")
    ['a', 'a/b']
    """
    levels = name.split(SEPARATOR)
    return [SEPARATOR.join(levels[:count]) for count in range(1, len(levels))]


def is_account_name(address: str) -> bool:
    """Whether an account may be called so: lower case, no slash, no leading dot (docs/design.md, "Contracts")."""
    return (
        bool(address)
        and address == address.lower()
        and SEPARATOR not in address
        and not address.startswith(".")
        and _clean(address, ACCOUNT_OCTETS)
    )


def _clean(name: str, octets: int) -> bool:
    if len(name) > octets or any(unicodedata.category(letter) in _FORBIDDEN for letter in name):
        return False
    return len(name.encode("utf-8")) <= octets
