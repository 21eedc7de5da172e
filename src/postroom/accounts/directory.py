"""Who somebody is: the authority's word about a password joined with the index's account, and what names are
legal.

The one way in for every protocol. It takes the index as a callable, so that accounts does not import the store's
engine.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Final

from postroom.accounts.authority import Attempt, Authority, Outcome
from postroom.accounts.sasl import Credentials
from postroom.net.limits import LOGIN_OCTETS
from postroom.net.log import event
from postroom.store.values import Account

logger = logging.getLogger(__name__)

_ALNUM: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ATOM: Final = _ALNUM | frozenset("!#$%&'*+-=?^_`{|}~")
"""RFC 5321 4.1.2's atext in lower case, without "/"."""
_LABEL: Final = _ALNUM | frozenset("-")


def account_name(text: str) -> str:
    """The account's name that `text` means: lower case, composed (NFC), user@domain, at most 255 octets.

    An account's name names a folder, so it is never a path (docs/security.md, "shell or file in address"):
    the local part is a dot-atom without "/", the domain is labels of letters, digits and hyphens; letters,
    marks and digits may be of any script (RFC 6531 3.3). Raises ValueError that says what is wrong.
    """
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    if len(name.encode("utf-8", "surrogatepass")) > LOGIN_OCTETS:
        raise ValueError(f"an account's name has at most {LOGIN_OCTETS} octets")
    local_part, at, domain = name.partition("@")
    if not at or not local_part or not domain:
        raise ValueError("an account's name is an address: user@domain")
    if not all(_made_of(_ATOM, atom) for atom in local_part.split(".")):
        raise ValueError("the part before the @ has a character, or a dot, where an account's name can't")
    labels = domain.split(".")
    if not all(_made_of(_LABEL, label) and label[0] != "-" != label[-1] for label in labels):
        raise ValueError("the part after the @ is no domain name")
    if any(len(label.encode()) > 63 for label in labels) or (
        _ALNUM.issuperset(labels[-1]) and labels[-1].isdecimal()
    ):
        raise ValueError("the part after the @ is no domain name")
    return name


def _made_of(allowed: frozenset[str], word: str) -> bool:
    """Whether a word has characters, all of them `allowed`, or letters, marks and digits beyond ASCII."""
    return bool(word) and all(
        char in allowed if char.isascii() else unicodedata.category(char)[0] in "LMN" for char in word
    )


class Directory:
    """Logins for every protocol. `lookup` gives an account by its name (the store's `account`)."""

    def __init__(self, lookup: Callable[[str], Awaitable[Account | None]], authority: Authority) -> None:
        self._lookup = lookup
        self._authority = authority

    async def login(
        self, credentials: Credentials, peer: str, protocol: str, session: str | None = None
    ) -> Account | Outcome:
        """The account, or why not; never Outcome.OK. `peer` is the client's IP address, `session` the
        conversation's id for the log.

        A disabled account, one that is gone from the index, and a name that none could have get the answer of
        a wrong password after the same work. One line is logged either way: `login` or `login-failed`, with
        the peer.
        """
        try:
            name = account_name(credentials.login)
        except ValueError:
            name = credentials.login
        word = await self._authority.login(Attempt(name, credentials.password, peer, protocol))
        account = await self._lookup(word.address) if word.outcome is Outcome.OK else None
        if account is not None and not account.disabled:
            event(
                logger, logging.INFO, "login", session=session, protocol=protocol, peer=peer, login=account.address
            )
            return account
        outcome = Outcome.DENIED if word.outcome is Outcome.OK else word.outcome
        event(
            logger,
            logging.INFO,
            "login-failed",
            session=session,
            protocol=protocol,
            peer=peer,
            login=name,
            reason=outcome.value,
        )
        return outcome
