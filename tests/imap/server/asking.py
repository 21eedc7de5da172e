"""A client that asks, and takes the answers as octets with literals in place, where a conversation file won't do.

async with selected(house) as (opened, client):
    assert await ask(client, b"FETCH 1 UID") == [b"* 1 FETCH (UID 1)", b"OK Fetched"]
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

from postroom.store.values import INBOX
from tests.imap.server.house import ALICE, PASSWORDS, House, Open
from tests.talk import Client, session

_LITERAL = re.compile(rb"\{([0-9]+)\}\Z")


async def answer(client: Client) -> bytes:
    """One answer without its last CRLF: a line, or several with literals between."""
    line = await client.line()
    pieces = [line]
    while (literal := _LITERAL.search(line)) is not None:
        pieces += [b"\r\n", await client.exactly(int(literal[1])), line := await client.line()]
    return b"".join(pieces)


async def ask(client: Client, command: bytes) -> list[bytes]:
    """Send a command; all answers up to the tagged one, whose tag is taken off."""
    await client.send(b"t " + command)
    answers = [await answer(client)]
    while not answers[-1].startswith(b"t "):
        answers.append(await answer(client))
    answers[-1] = answers[-1].removeprefix(b"t ")
    return answers


@contextlib.asynccontextmanager
async def logged_in(opened: Open, *, mailbox: str = INBOX, verb: str = "SELECT") -> AsyncIterator[Client]:
    """A session of Alice's with a mailbox selected."""
    async with session(opened.handler) as client:
        await client.line()
        assert (await ask(client, b"LOGIN %b %b" % (ALICE.encode(), PASSWORDS[ALICE])))[-1].startswith(b"OK")
        assert (await ask(client, f"{verb} {mailbox}".encode()))[-1].startswith(b"OK")
        yield client


@contextlib.asynccontextmanager
async def selected(house: House, *letters: bytes, prefix: bytes = b"") -> AsyncIterator[tuple[Open, Client]]:
    """A house with these letters in Alice's INBOX, and a session that has it selected."""
    async with house.open() as opened:
        await opened.deliver(*letters, prefix=prefix)
        async with logged_in(opened) as client:
            yield opened, client
