"""One client's changes by every way in, each with the world that it makes.

A step is one change that is there wholly or not at all (the command line's two excepted, which say so).
`prepare` changes nothing that a world knows of; `act` sends what changes, and gives the server's answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from postroom.accounts.remote import RemoteAuthority
from postroom.accounts.secrets import SecretsFault
from postroom.net.ipc import Failed
from postroom.site.places import Places
from tests.faults.world import Kept, World, digest
from tests.house import ALICE, PASSWORDS, House
from tests.system.raw import AUTH_PLAIN, Raw

CAROL: Final = "carol@example.test"
"""Has a password, and no mail."""
LARGE: Final = 300 * 1024
"""Octets of a letter that gets a segment of its own."""


def letter_of(name: str, octets: int = 0) -> bytes:
    """A letter, its octets told by its name; of about a size, or else of a size that its name tells as well."""
    size = octets or random.Random(name).choice((0, 100, 3000, 12_000))
    line = b"0123456789 of %b\r\n" % name.encode()
    return b"Message-ID: <%b@fault.test>\r\nSubject: %b\r\n\r\n%b" % (
        name.encode(),
        name.encode(),
        line * (size // len(line) + 1),
    )


class Line(Raw):
    """A connection whose end is an OSError."""

    def _more(self) -> None:
        octets = self.sock.recv(65536)
        if not octets:
            raise ConnectionResetError("the server closed")
        self._kept += octets

    def octets(self, count: int) -> bytes:
        """So many octets."""
        while len(self._kept) < count:
            self._more()
        octets, self._kept = self._kept[:count], self._kept[count:]
        return octets


class Client:
    """Alice's program: a session of each protocol, begun when it is wanted. Raises OSError where one is cut."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._sessions: dict[str, Line] = {}

    def session(self, protocol: str, address: str = ALICE) -> Line:
        """The session of a protocol, logged in; SMTP's knows nobody."""
        name = f"{protocol} {address}"
        if name not in self._sessions:
            line = Line(self.house, protocol)
            self._sessions[name] = line
            if protocol == "imap":
                said = line.answer(b"LOGIN %b %b" % (address.encode(), PASSWORDS[address].encode()))[0]
                assert said.startswith(b"OK"), said
            elif protocol == "pop3":
                line.say(b"AUTH PLAIN " + AUTH_PLAIN[address] + b"\r\n")
                said = line.line()
                assert said.startswith(b"+OK"), said
            else:
                assert line.ask(b"EHLO client.test").startswith(b"250")
        return self._sessions[name]

    def forget(self, protocol: str, address: str = ALICE) -> None:
        """Close a session."""
        self._sessions.pop(f"{protocol} {address}").sock.close()

    def close(self) -> None:
        """Close all sessions."""
        for line in self._sessions.values():
            line.sock.close()
        self._sessions.clear()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Unknown(Exception):
    """Nobody said whether it is done."""


Act = Callable[[Client], str]


@dataclass(frozen=True, slots=True)
class Step:
    """A change. `act` gives the answer: "" where it is positive."""

    name: str
    prepare: Callable[[Client], None]
    act: Act
    after: Callable[[World], World]
    halfway: Callable[[World], World] | None = None
    """What may be there of a change that is two."""

    def possible(self, world: World) -> list[World]:
        """What may be there where it was begun, and not answered."""
        return [world, *([self.halfway(world)] if self.halfway else []), self.after(world)]


class Answer(enum.StrEnum):
    """What the four ways say, positively, first."""

    DATA = "250 "
    IMAP = "OK "
    POP3 = "+OK"


def _said(line: bytes, wanted: Answer) -> str:
    text = line.decode()
    return "" if text.startswith(wanted) else text


# --- each protocol's steps


def data(letter: bytes, *recipients: str) -> Step:
    """A letter by SMTP."""

    def prepare(client: Client) -> None:
        line = client.session("smtp")
        line.ask(b"RSET")
        rcpt = [b"RCPT TO:<%b>" % each.encode() for each in recipients]
        said = line.ask(b"MAIL FROM:<sender@fault.test>", *rcpt, b"DATA")
        assert said.startswith(b"354"), said

    def act(client: Client) -> str:
        line = client.session("smtp")
        line.say(letter + b".\r\n")
        return _said(line.reply(), Answer.DATA)

    def after(world: World) -> World:
        for each in recipients:
            world = world.at((each, "INBOX"), lambda box: box.file([Kept(digest(letter))]))
        return world

    return Step("DATA", prepare, act, after)


def command(name: str, words: str, after: Callable[[World], World], select: str = "") -> Step:
    """A command of IMAP, in a mailbox where one is named."""

    def prepare(client: Client) -> None:
        line = client.session("imap")
        if select:
            said = line.answer(b'SELECT "%b"' % select.encode())[0]
            assert said.startswith(b"OK"), said

    def act(client: Client) -> str:
        return _said(client.session("imap").answer(words.encode())[0], Answer.IMAP)

    return Step(name, prepare, act, after)


def append(letter: bytes, mailbox: str, *flags: str) -> Step:
    """APPEND."""

    def prepare(client: Client) -> None:
        line = client.session("imap")
        line.say(b't APPEND "%b" (%b) {%d}\r\n' % (mailbox.encode(), " ".join(flags).encode(), len(letter)))
        said = line.line()
        assert said.startswith(b"+ "), said

    def act(client: Client) -> str:
        line = client.session("imap")
        line.say(letter + b"\r\n")
        return _said(line.tagged()[0], Answer.IMAP)

    kept = Kept(digest(letter), frozenset(flag.lower() for flag in flags))
    return Step("APPEND", prepare, act, lambda world: world.at((ALICE, mailbox), lambda box: box.file([kept])))


def quit(world: World, address: str, count: int) -> Step:
    """The oldest `count` letters of INBOX away by POP3."""
    gone = sorted(world.boxes[address, "INBOX"].letters)[:count]

    def prepare(client: Client) -> None:
        with contextlib.suppress(KeyError):
            client.forget("pop3", address)
        line = client.session("pop3", address)
        for number in range(1, count + 1):
            line.say(b"DELE %d\r\n" % number)
            said = line.line()
            assert said.startswith(b"+OK"), said

    def act(client: Client) -> str:
        line = client.session("pop3", address)
        line.say(b"QUIT\r\n")
        said = _said(line.line(), Answer.POP3)
        client.forget("pop3", address)
        return said

    return Step("QUIT", prepare, act, lambda world: world.at((address, "INBOX"), lambda box: box.without(gone)))


def _nothing(_: Client) -> None:
    """No preparation."""


def password(world: World, address: str = CAROL) -> Step:
    """Another password by way of the authority: a ready hash that tells which change it was."""
    number = int(world.passwords.get(address, "0" * 86)[-86:], 10) + 1
    hashed = "{SHA512-CRYPT}$6$rounds=1000$salt$" + f"{number:086}"

    def act(client: Client) -> str:
        async def ask() -> None:
            authority = RemoteAuthority(Places(client.house.data).authority)
            try:
                await authority.set_password(address, hashed.encode(), ready_hash=True)
            finally:
                await authority.close()

        try:
            asyncio.run(ask())
        except (Failed, SecretsFault) as fault:
            return f"the authority broke on it: {fault}"
        except TimeoutError as silence:
            raise Unknown from silence
        return ""

    return Step(
        "PASSWORD", _nothing, act, lambda world: replace(world, passwords={**world.passwords, address: hashed})
    )


def by_command(
    name: str,
    words: tuple[str, ...],
    after: Callable[[World], World],
    input: str = "",
    halfway: Callable[[World], World] | None = None,
) -> Step:
    """A `postroom` command."""

    def act(client: Client) -> str:
        done = client.house.run(*words, input=input)
        return "" if done.returncode == 0 else f"exit {done.returncode}: {done.stderr}"

    return Step(name, _nothing, act, after, halfway)
