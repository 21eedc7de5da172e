"""The authority in another process: `RemoteAuthority` asks, `handlers` answer, over `net.ipc`.

Passwords travel as text of one code point an octet, through a socket that only our own user can open; neither side
logs a question. Whatever happens to the other process, a login has an answer within AUTHORITY_SECONDS, and the next
one finds a restarted authority by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from postroom.accounts.authority import (
    AppPassword,
    AppPasswords,
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
from postroom.accounts.secrets import SecretsFault
from postroom.net.ipc import Failed, Handler, Json, Peer, Refused, Unreachable, Values
from postroom.net.limits import AUTHORITY_RETRY_SECONDS, AUTHORITY_SECONDS
from postroom.net.log import event

_logger = logging.getLogger("postroom.accounts")
_NO_ANSWER: Final = (TimeoutError, Refused, Failed, ValueError)
"""A question that is too long for a line (ValueError) is one that can't be answered, too."""


class RemoteAuthority:
    """`Authority`, `Exchanges` and `AppPasswords` through the socket at `path`; `seconds` is how long an answer is
    waited for."""

    def __init__(self, path: str | os.PathLike[str], *, seconds: float = AUTHORITY_SECONDS) -> None:
        self._peer = Peer(path)
        self._seconds = seconds

    async def login(self, attempt: Attempt) -> Login:
        """Check a password; UNAVAILABLE where no answer can be had."""
        try:
            answer = await self._call(
                "login",
                login=attempt.login,
                password=attempt.password.decode("latin-1"),
                peer=attempt.peer,
                protocol=attempt.protocol,
            )
            return _login(answer)
        except _NO_ANSWER:
            return Login(Outcome.UNAVAILABLE)

    async def scram_for_all(self) -> bool | None:
        """Whether all passwords have SCRAM keys; None where no answer can be had."""
        try:
            said = (await self._call("scram-for-all")).get("all")
        except _NO_ANSWER:
            return None
        return said if isinstance(said, bool) else None

    async def scram_first(self, opening: Opening) -> Challenge:
        """Begin a SCRAM exchange; UNAVAILABLE where no answer can be had."""
        try:
            answer = await self._call(
                "scram-first",
                login=opening.login,
                bare=opening.bare.decode("latin-1"),
                nonce=opening.nonce.decode("latin-1"),
                peer=opening.peer,
                protocol=opening.protocol,
            )
            return Challenge(_outcome(answer), _octets(answer, "nonce"), _octets(answer, "message"))
        except _NO_ANSWER:
            return Challenge(Outcome.UNAVAILABLE)

    async def scram_final(self, proof: Proof) -> Verdict:
        """End one; UNAVAILABLE where no answer can be had."""
        try:
            answer = await self._call(
                "scram-final",
                nonce=proof.nonce.decode("latin-1"),
                without=proof.without.decode("latin-1"),
                proof=proof.proof.decode("latin-1"),
                peer=proof.peer,
            )
            return Verdict(_outcome(answer), _text(answer, "address"), _octets(answer, "signature"))
        except _NO_ANSWER:
            return Verdict(Outcome.UNAVAILABLE)

    async def vouch(self, voucher: Voucher) -> Login:
        """Count a certificate; UNAVAILABLE where no answer can be had."""
        try:
            return _login(
                await self._call(
                    "vouch",
                    login=voucher.login,
                    right=voucher.right,
                    peer=voucher.peer,
                    protocol=voucher.protocol,
                )
            )
        except _NO_ANSWER:
            return Login(Outcome.UNAVAILABLE)

    async def token(self, token: Token) -> Login:
        """Have a token verified; UNAVAILABLE where no answer can be had."""
        try:
            return _login(
                await self._call(
                    "token",
                    login=token.login,
                    token=token.token.decode("latin-1"),
                    peer=token.peer,
                    protocol=token.protocol,
                )
            )
        except _NO_ANSWER:
            return Login(Outcome.UNAVAILABLE)

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        """Make and keep hash and SCRAM keys; see `Authority`.

        Raises ValueError where the authority refuses; SecretsFault, Failed, TimeoutError.
        """
        try:
            said = await self._call(
                "set-password", address=address, password=password.decode("latin-1"), ready_hash=ready_hash
            )
        except Refused as why:
            raise ValueError(str(why)) from None
        _kept(said)

    async def add_app_password(self, address: str, name: str, protocols: Sequence[str]) -> str:
        """Make an app password, and give it. Raises ValueError where the authority refuses; SecretsFault, Failed,
        TimeoutError. Where its answer is lost there may be one that nobody knows, to be revoked by its name."""
        words: list[Json] = list(protocols)
        try:
            said = await self._call("add-app-password", address=address, called=name, protocols=words)
        except Refused as why:
            raise ValueError(str(why)) from None
        _kept(said)
        return _text(said, "password")

    async def app_passwords(self, address: str) -> list[AppPassword]:
        """All of an account, by name. Raises SecretsFault, Failed, TimeoutError."""
        said = await self._call("app-passwords", address=address)
        _kept(said)
        rows = said.get("rows")
        return [_app_password(row) for row in rows] if isinstance(rows, list) else []

    async def revoke_app_password(self, address: str, name: str) -> bool:
        """Take one away. Raises SecretsFault, Failed, TimeoutError."""
        said = await self._call("revoke-app-password", address=address, called=name)
        _kept(said)
        return said.get("revoked") is True

    async def remove(self, address: str) -> None:
        """Forget an account's secrets. Raises SecretsFault, Failed, TimeoutError."""
        _kept(await self._call("remove", address=address))

    async def close(self) -> None:
        """Let go of the connection."""
        await self._peer.close()

    async def _call(self, name: str, **values: Json) -> Values:
        """Ask until there is an answer: an authority that was killed is back within a second, and each question may
        be asked twice."""
        async with asyncio.timeout(self._seconds):
            while True:
                try:
                    return await self._peer.call(name, **values)
                except Unreachable:
                    await asyncio.sleep(AUTHORITY_RETRY_SECONDS)


def _kept(said: Values) -> None:
    """Raises SecretsFault where secrets.db could not be written."""
    if "fault" in said:
        raise SecretsFault(str(said["fault"]))


def _login(answer: Values) -> Login:
    return Login(_outcome(answer), _text(answer, "address"))


def _outcome(answer: Values) -> Outcome:
    """Raises ValueError for a word of another version."""
    return Outcome(answer.get("outcome"))


def _app_password(row: Json) -> AppPassword:
    """Raises Failed for a row of another version."""
    match row:
        case {"name": str(name), "protocols": list(protocols), "created": int(created)}:
            return AppPassword(name, tuple(map(str, protocols)), created)
        case _:
            raise Failed("not an app password")


class Whole(Authority, Exchanges, AppPasswords, Protocol):
    """All that the auth role does."""


def handlers(authority: Whole) -> Mapping[str, Handler]:
    """What the auth role answers, for `ipc.serve`."""
    return _ways_in(authority) | _changes(authority)


def _ways_in(authority: Whole) -> dict[str, Handler]:
    async def login(values: Values) -> Values:
        said = await authority.login(
            Attempt(
                _text(values, "login"),
                _octets(values, "password"),
                _text(values, "peer"),
                _text(values, "protocol"),
            )
        )
        return {"outcome": said.outcome.value, "address": said.address}

    async def scram_for_all(values: Values) -> Values:
        return {"all": await authority.scram_for_all()}

    async def scram_first(values: Values) -> Values:
        said = await authority.scram_first(
            Opening(
                _text(values, "login"),
                _octets(values, "bare"),
                _octets(values, "nonce"),
                _text(values, "peer"),
                _text(values, "protocol"),
            )
        )
        nonce, message = said.nonce.decode("latin-1"), said.message.decode("latin-1")
        return {"outcome": said.outcome.value, "nonce": nonce, "message": message}

    async def scram_final(values: Values) -> Values:
        said = await authority.scram_final(
            Proof(
                _octets(values, "nonce"),
                _octets(values, "without"),
                _octets(values, "proof"),
                _text(values, "peer"),
            )
        )
        signature = said.signature.decode("latin-1")
        return {"outcome": said.outcome.value, "address": said.address, "signature": signature}

    async def vouch(values: Values) -> Values:
        right = values.get("right") is True
        said = await authority.vouch(
            Voucher(_text(values, "login"), right, _text(values, "peer"), _text(values, "protocol"))
        )
        return {"outcome": said.outcome.value, "address": said.address}

    async def token(values: Values) -> Values:
        said = await authority.token(
            Token(
                _text(values, "login"),
                _octets(values, "token"),
                _text(values, "peer"),
                _text(values, "protocol"),
            )
        )
        return {"outcome": said.outcome.value, "address": said.address}

    return {
        "login": login,
        "scram-for-all": scram_for_all,
        "scram-first": scram_first,
        "scram-final": scram_final,
        "vouch": vouch,
        "token": token,
    }


def _changes(authority: Whole) -> dict[str, Handler]:
    async def set_password(values: Values) -> Values:
        address, password = _text(values, "address"), _octets(values, "password")
        await authority.set_password(address, password, ready_hash=values.get("ready_hash") is True)
        return {}

    async def add_app_password(values: Values) -> Values:
        protocols = values.get("protocols")
        words = [str(word) for word in protocols] if isinstance(protocols, list) else []
        made = await authority.add_app_password(_text(values, "address"), _text(values, "called"), words)
        return {"password": made}

    async def app_passwords(values: Values) -> Values:
        found = await authority.app_passwords(_text(values, "address"))
        rows: list[Json] = [
            {"name": each.name, "protocols": list(each.protocols), "created": each.created} for each in found
        ]
        return {"rows": rows}

    async def revoke_app_password(values: Values) -> Values:
        return {"revoked": await authority.revoke_app_password(_text(values, "address"), _text(values, "called"))}

    async def remove(values: Values) -> Values:
        await authority.remove(_text(values, "address"))
        return {}

    return {
        "set-password": _told(set_password),
        "add-app-password": _told(add_app_password),
        "app-passwords": _told(app_passwords),
        "revoke-app-password": _told(revoke_app_password),
        "remove": _told(remove),
    }


def _told(handler: Callable[[Values], Awaitable[Values]]) -> Handler:
    """What a change can't do is said to who asked: a wrong value as a refusal, a fault of secrets.db as such."""

    async def answer(values: Values) -> Values:
        try:
            return await handler(values)
        except ValueError as why:
            raise Refused(str(why)) from None
        except SecretsFault as fault:
            event(_logger, logging.ERROR, "secrets.not-kept", reason=fault)
            return {"fault": str(fault)}

    return answer


def _text(values: Values, name: str) -> str:
    """One text of a question or an answer. Raises Refused: a message of another version, or garbage."""
    value = values.get(name)
    if not isinstance(value, str):
        raise Refused(f"no text: {name}")
    return value


def _octets(values: Values, name: str) -> bytes:
    """A field's octets, as a password's. Raises Refused; its text never says more than the field's name."""
    try:
        return _text(values, name).encode("latin-1")
    except UnicodeEncodeError:
        raise Refused(f"not octets: {name}") from None
