"""The mechanisms, in the order of preference: which are offered when, and who runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postroom.accounts.authority import Login
from postroom.accounts.sasl import external, oauth, plain, scram
from postroom.accounts.sasl.exchange import Ask, Circumstances, Door, Mechanism, NoSuchMechanism

__all__ = ["MECHANISMS", "Row", "offered", "run"]


@dataclass(frozen=True, slots=True)
class Row:
    """One mechanism. `possible` tells where it is offered, provided that a login may happen at all."""

    name: str
    run: Mechanism
    possible: Callable[[Circumstances], bool]
    rfc: str


_ROWS: Final = (
    Row("SCRAM-SHA-256-PLUS", scram.scram_plus, lambda c: c.scram and c.binding is not None, "RFC 7677"),
    Row("SCRAM-SHA-256", scram.scram, lambda c: c.scram, "RFC 7677"),
    Row("PLAIN", plain.plain, lambda _: True, "RFC 4616"),
    Row("LOGIN", plain.login, lambda _: True, "draft-murchison-sasl-login-00"),
    Row("EXTERNAL", external.external, lambda c: bool(c.certified), "RFC 4422 A"),
    Row("OAUTHBEARER", oauth.bearer, lambda c: c.tokens, "RFC 7628"),
    Row("XOAUTH2", oauth.xoauth2, lambda c: c.tokens, "Google, Microsoft"),
)
_BY_NAME: Final = {row.name: row for row in _ROWS}
MECHANISMS: Final = tuple(_BY_NAME)
"""All names that there are: what a tap may show of a line that else is secret."""


def offered(circumstances: Circumstances) -> tuple[str, ...]:
    """The mechanisms that can be done here and now."""
    return tuple(row.name for row in _ROWS if row.possible(circumstances))


async def run(mechanism: str, initial: bytes | None, ask: Ask, door: Door, circumstances: Circumstances) -> Login:
    """Run one exchange. `initial` is the decoded initial response, None where there was none.

    Raises Malformed, Cancelled, NoSuchMechanism.
    """
    row = _BY_NAME.get(mechanism.upper())
    if row is None or not row.possible(circumstances):
        raise NoSuchMechanism("no such mechanism")
    return await row.run(initial, ask, door, circumstances)
