"""Two ways to see a site's world: as clients see it while the server runs, and by the program's own store."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Final

import apsw

from postroom.store.interface import Store
from postroom.store.sqlite import open_store
from postroom.store.values import Flag, Mailbox, Uid
from tests.faults.world import Box, Kept, Place, World, digest
from tests.house import ALICE, BOB, House
from tests.system.raw import Raw, imap, parse

_FLAGS: Final = {
    Flag.SEEN: "\\seen",
    Flag.ANSWERED: "\\answered",
    Flag.FLAGGED: "\\flagged",
    Flag.DELETED: "\\deleted",
    Flag.DRAFT: "\\draft",
}
_VALIDITY: Final = re.compile(rb"\[UIDVALIDITY ([0-9]+)\]")
_NEXT: Final = re.compile(rb"\[UIDNEXT ([0-9]+)\]")


# --- as clients see it


def seen_by_clients(house: House) -> World:
    """Mailboxes, subscriptions and letters by IMAP; what no client is told is read from the databases."""
    modseqs = _modseqs(house.data)
    boxes: dict[Place, Box] = {}
    subscribed: set[Place] = set()
    for address in (ALICE, BOB):
        with imap(house, address) as raw:
            for name in _names(raw, b"LIST"):
                boxes[address, name] = _box(raw, name, modseqs[address, name])
            subscribed |= {(address, name) for name in _names(raw, b"LSUB")}
    return World(boxes, frozenset(subscribed), passwords_of(house.data))


def _names(raw: Raw, command: bytes) -> list[str]:
    status, lines = raw.answer(command + b' "" "*"')
    assert status.startswith(b"OK"), status
    names = [parse(line)[-1] for line in lines]
    return [name.decode() for name in names if isinstance(name, bytes)]


def _box(raw: Raw, name: str, modseq: int) -> Box:
    status, lines = raw.answer(b'EXAMINE "%b"' % name.encode())
    assert status.startswith(b"OK"), status
    told = b"\n".join(lines)
    validity, following = _VALIDITY.search(told), _NEXT.search(told)
    assert validity is not None
    assert following is not None
    letters: dict[int, Kept] = {}
    if b"* 0 EXISTS" not in lines:
        status, lines = raw.answer(b"FETCH 1:* (UID FLAGS BODY.PEEK[])")
        assert status.startswith(b"OK"), status
        letters = dict(_letter(line) for line in lines)
    return Box(letters, int(following[1]), int(validity[1]), modseq)


def _letter(line: bytes) -> tuple[int, Kept]:
    items = parse(line, nul=True)[-1]
    assert isinstance(items, list)
    told = {key: value for key, value in zip(items[::2], items[1::2], strict=True) if isinstance(key, bytes)}
    uid, flags, letter = told[b"UID"], told[b"FLAGS"], told[b"BODY[]"]
    assert isinstance(uid, bytes)
    assert isinstance(flags, list)
    assert isinstance(letter, bytes)
    words = {flag.decode().lower() for flag in flags if isinstance(flag, bytes)}
    return int(uid), Kept(digest(letter), frozenset(words - {"\\recent"}))


def _modseqs(root: Path) -> dict[Place, int]:
    with contextlib.closing(apsw.Connection(str(root / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)) as index:
        sql = "SELECT a.address, m.name, m.highest_modseq FROM mailboxes m JOIN accounts a ON a.id = m.owner"
        return {(address, name): modseq for address, name, modseq in index.execute(sql)}


def passwords_of(root: Path) -> dict[str, str]:
    """The hashes in secrets.db, by address."""
    with contextlib.closing(apsw.Connection(str(root / "secrets.db"), flags=apsw.SQLITE_OPEN_READONLY)) as secrets:
        return {
            str(address): str(hashed) for address, hashed in secrets.execute("SELECT address, hash FROM credential")
        }


# --- by the store


def seen_by_store(root: Path) -> World:
    """The same of a data directory that no server runs on."""

    async def look() -> World:
        store = await open_store(root)
        try:
            return await _world(store)
        finally:
            await store.close()

    seen = asyncio.run(look())
    return World(seen.boxes, seen.subscribed, passwords_of(root), seen.aliases)


async def _world(store: Store) -> World:
    boxes: dict[Place, Box] = {}
    subscribed: set[Place] = set()
    for account in await store.accounts():
        for mailbox in await store.mailboxes(account.id):
            boxes[account.address, mailbox.name] = await _kept(store, mailbox)
        subscribed |= {(account.address, name) for name in await store.subscriptions(account.id)}
    return World(boxes, frozenset(subscribed), aliases=frozenset([alias.name for alias in await store.aliases()]))


async def _kept(store: Store, mailbox: Mailbox) -> Box:
    status = await store.status(mailbox.id)
    assert status is not None
    entries = {entry.uid: entry for entry in await store.entries(mailbox.id, Uid(0), 1000)}
    found = await store.letters(mailbox.id, list(entries), answers=False)
    assert [letter.uid for letter in found] == list(entries)
    letters: dict[int, Kept] = {}
    for letter in found:
        octets = await store.read(letter, 0, len(letter.prefix) + letter.blob_size)
        entry = entries[letter.uid]
        words = {word for flag, word in _FLAGS.items() if entry.flags & flag} | set(entry.keywords.lower().split())
        letters[letter.uid] = Kept(digest(octets), frozenset(words))
    return Box(letters, status.uid_next, status.uid_validity, status.highest_modseq)
