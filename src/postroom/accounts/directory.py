r"""Who somebody is: the authority's word about a login joined with the index's account, and what names are legal.

The one way in for every protocol. It takes the index as callables, so that accounts does not import the store's
engine.

Each failure is one line of the log, made for fail2ban. The peer stands before anything that a client said, what it
said is quoted and escaped (`net.log.value`), and the expression holds the whole line, so that no login name can
look like another's address:

    failregex = ^\s*INFO postroom\.accounts\.directory login-failed (?:session=\S+ )?protocol=[a-z0-9]+ peer=<HOST>
                login=(?:"(?:[^"\\]|\\.)*"|[^\s"]*) reason=(?:denied|"too many failures")$

(one line in a filter's file, with single spaces). A login that could not be checked is another event,
`login-unavailable`: it bans nobody.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from postroom.accounts.authority import (
    Attempt,
    Authority,
    Challenge,
    Exchanges,
    Login,
    Opening,
    Outcome,
    Proof,
    Token,
    Verdict,
    Voucher,
)
from postroom.accounts.offering import always
from postroom.accounts.sasl import Ask, Credentials, offered, run
from postroom.accounts.sasl.exchange import Circumstances
from postroom.accounts.sasl.external import certified, one_of
from postroom.net.limits import LOGIN_OCTETS
from postroom.net.log import event
from postroom.net.stream import Stream
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


Lookup = Callable[[str], Awaitable[Account | None]]


async def _no_short(short: str) -> Account | None:
    return None


@dataclass(frozen=True, slots=True)
class Ways:
    """What a site offers beside passwords in so many words."""

    exchanges: Exchanges
    scram: Callable[[], bool] = always
    """Whether SCRAM is offered now."""
    tokens: bool = False
    """Whether somebody verifies OAuth tokens."""


class Directory:
    """Logins for every protocol. `lookup` gives an account by its name (the store's `account`), `by_short` one by
    its name without a domain."""

    def __init__(
        self, lookup: Lookup, authority: Authority, ways: Ways | None = None, by_short: Lookup = _no_short
    ) -> None:
        self._lookup = lookup
        self._by_short = by_short
        self._authority = authority
        self._ways = ways

    def offered(self, stream: Stream) -> tuple[str, ...]:
        """The SASL mechanisms that can be done on a connection as it is now, in the order of preference; whether a
        login may happen there at all is not asked."""
        return offered(self._circumstances(stream))

    async def login(
        self, credentials: Credentials, peer: str, protocol: str, session: str | None = None
    ) -> Account | Outcome:
        """The account, or why not; never Outcome.OK. `peer` is the client's IP address, `session` the
        conversation's id for the log.

        A disabled account, one that is gone from the index, and a name that none could have get the answer of
        a wrong password after the same work. One line is logged either way: `login`, `login-failed` or
        `login-unavailable`, with the peer.
        """
        caller = _Caller(self, self._authority, self._ways, peer, protocol)
        return await self._concluded(await caller.password(credentials), caller, session)

    async def authenticate(
        self, mechanism: str, initial: bytes | None, ask: Ask, stream: Stream, protocol: str, session: str | None
    ) -> Account | Outcome:
        """The same by SASL. `initial` is the decoded initial response, None where there was none.

        Raises Malformed, Cancelled, NoSuchMechanism (`accounts.sasl`), and what `ask` raises.
        """
        caller = _Caller(self, self._authority, self._ways, stream.peer.host, protocol)
        word = await run(mechanism, initial, ask, caller, self._circumstances(stream))
        return await self._concluded(word, caller, session)

    def _circumstances(self, stream: Stream) -> Circumstances:
        if self._ways is None:
            return Circumstances()
        return Circumstances(stream.channel_binding(), _certified(stream), self._ways.scram(), self._ways.tokens)

    async def _concluded(self, word: Login, caller: _Caller, session: str | None) -> Account | Outcome:
        account = await self._lookup(word.address) if word.outcome is Outcome.OK else None
        if account is not None and not account.disabled:
            _log(logging.INFO, "login", session, caller, account.address)
            return account
        outcome = Outcome.DENIED if word.outcome is Outcome.OK else word.outcome
        if outcome is Outcome.UNAVAILABLE:
            _log(logging.WARNING, "login-unavailable", session, caller, caller.name)
        else:
            _log(logging.INFO, "login-failed", session, caller, caller.name, outcome.value)
        return outcome

    async def name_of(self, login: str) -> str:
        """The account's name that a login means: an address in any case, or a short name. What means none is given
        back as it is."""
        try:
            return account_name(login)
        except ValueError:
            pass
        if "@" not in login:
            account = await self._by_short(unicodedata.normalize("NFC", login).lower())
            if account is not None:
                return account.address
        return login

    async def is_account(self, name: str) -> bool:
        """Whether somebody may log in by this name."""
        account = await self._lookup(name)
        return account is not None and not account.disabled


def _log(
    level: int, name: str, session: str | None, caller: _Caller, login: str, reason: str | None = None
) -> None:
    event(
        logger,
        level,
        name,
        session=session,
        protocol=caller.protocol,
        peer=caller.peer,
        login=login,
        reason=reason,
    )


def _certified(stream: Stream) -> tuple[str, ...]:
    """The names in the client's certificate. `ssl` gives one only where it was verified."""
    try:
        return () if stream.tls is None else certified(stream.tls.getpeercert())
    except ValueError:  # no handshake yet
        return ()


class _Caller:
    """One who is at the door: what a mechanism asks, asked for them. `name` is the account that they claim."""

    def __init__(
        self, directory: Directory, authority: Authority, ways: Ways | None, peer: str, protocol: str
    ) -> None:
        self.peer = peer
        self.protocol = protocol
        self.name = ""
        self._directory = directory
        self._authority = authority
        self._ways = ways

    @property
    def _exchanges(self) -> Exchanges:
        assert self._ways is not None, "no mechanism that asks for more was offered"
        return self._ways.exchanges

    async def password(self, claim: Credentials) -> Login:
        """See `sasl.exchange.Door`."""
        self.name = await self._directory.name_of(claim.login)
        return await self._authority.login(Attempt(self.name, claim.password, self.peer, self.protocol))

    async def scram_first(self, login: str, bare: bytes, nonce: bytes) -> Challenge:
        """See `sasl.exchange.Door`."""
        self.name = await self._directory.name_of(login)
        return await self._exchanges.scram_first(Opening(self.name, bare, nonce, self.peer, self.protocol))

    async def scram_final(self, nonce: bytes, without: bytes, proof: bytes) -> Verdict:
        """See `sasl.exchange.Door`."""
        return await self._exchanges.scram_final(Proof(nonce, without, proof, self.peer))

    async def certificate(self, wanted: str, certified: tuple[str, ...]) -> Login:
        """See `sasl.exchange.Door`."""
        names = [await self._directory.name_of(name) for name in one_of(wanted, certified)]
        self.name = names[0] if names else ""
        for name in names:
            if await self._directory.is_account(name):
                self.name = name
                return await self._vouch(right=True)
        return await self._vouch(right=False)

    async def token(self, login: str, token: bytes) -> Login:
        """See `sasl.exchange.Door`."""
        self.name = await self._directory.name_of(login) if login else ""
        word = await self._exchanges.token(Token(self.name, token, self.peer, self.protocol))
        if word.outcome is not Outcome.OK:
            return word
        owner = await self._directory.name_of(word.address)
        if self.name in ("", owner) and await self._directory.is_account(owner):
            self.name = owner
            return Login(Outcome.OK, owner)
        return await self._vouch(right=False)

    async def _vouch(self, *, right: bool) -> Login:
        return await self._exchanges.vouch(Voucher(self.name or self.peer, right, self.peer, self.protocol))
