"""The authority in another process: `RemoteAuthority` asks, `handlers` answer, over `net.ipc`.

Passwords travel as text of one code point an octet, through a socket that only our own user can open; neither side
logs a question. Whatever happens to the other process, a login has an answer within AUTHORITY_SECONDS, and the next
one finds a restarted authority by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping

from postroom.accounts.authority import Attempt, Authority, Login, Outcome
from postroom.accounts.secrets import SecretsFault
from postroom.net.ipc import Failed, Handler, Json, Peer, Refused, Unreachable, Values
from postroom.net.limits import AUTHORITY_RETRY_SECONDS, AUTHORITY_SECONDS
from postroom.net.log import event

_logger = logging.getLogger("postroom.accounts")


class RemoteAuthority:
    """`Authority` through the socket at `path`; `seconds` is how long an answer is waited for."""

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
            return Login(Outcome(answer.get("outcome")), _text(answer, "address"))
        except (TimeoutError, Refused, Failed, ValueError):
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


def handlers(authority: Authority) -> Mapping[str, Handler]:
    """What the auth role answers, for `ipc.serve`."""

    async def login(values: Values) -> Values:
        said = await authority.login(
            Attempt(_text(values, "login"), _octets(values), _text(values, "peer"), _text(values, "protocol"))
        )
        return {"outcome": said.outcome.value, "address": said.address}

    async def set_password(values: Values) -> Values:
        address, password = _text(values, "address"), _octets(values)
        try:
            await authority.set_password(address, password, ready_hash=values.get("ready_hash") is True)
        except ValueError as why:
            raise Refused(str(why)) from None
        except SecretsFault as fault:
            return _not_kept(fault)
        return {}

    async def remove(values: Values) -> Values:
        try:
            await authority.remove(_text(values, "address"))
        except SecretsFault as fault:
            return _not_kept(fault)
        return {}

    return {"login": login, "set-password": set_password, "remove": remove}


def _not_kept(fault: SecretsFault) -> Values:
    event(_logger, logging.ERROR, "secrets.not-kept", reason=fault)
    return {"fault": str(fault)}


def _text(values: Values, name: str) -> str:
    """One text of a question or an answer. Raises Refused: a message of another version, or garbage."""
    value = values.get(name)
    if not isinstance(value, str):
        raise Refused(f"no text: {name}")
    return value


def _octets(values: Values) -> bytes:
    """The password's octets. Raises Refused; its text never says more than the field's name."""
    try:
        return _text(values, "password").encode("latin-1")
    except UnicodeEncodeError:
        raise Refused("not octets: password") from None
