"""Whom nothing of a stranger's may be kept from: postmaster and abuse (RFC 5321 4.5.1, RFC 2142 4)."""

from __future__ import annotations

from typing import Final

from postroom.smtp.grammar import Address

_NAMES: Final = frozenset(("postmaster", "abuse"))


def is_spared(recipient: Address | None) -> bool:
    """Whether complaints go there: who was refused by a fault of ours must be able to say so."""
    return recipient is not None and recipient.local.partition("+")[0].lower() in _NAMES
