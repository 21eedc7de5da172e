"""Somebody who reads all of Alice's INBOX in a loop, and holds on to places: `python -m tests.faults.reading ROOT`.

Letters must be those of `tests.store.compactions.body`, their UIDs being their numbers. Ends when its input does,
and prints how often it has read everything; whatever is wrong ends it at once with a traceback.
"""

from __future__ import annotations

import asyncio
import select
import sys
from collections.abc import Sequence
from pathlib import Path

from postroom.store.sqlite import SqliteStore, open_store
from postroom.store.values import Letter, Uid
from tests.store.compactions import body, inbox_of_alice


async def _check(store: SqliteStore, letters: Sequence[Letter], bodies: dict[int, bytes], start: int) -> None:
    spans = [(start, letter.blob_size - 2 * start) for letter in letters]
    wanted = [bodies[letter.uid][start : letter.blob_size - start] for letter in letters]
    assert await store.read_each(letters, spans) == wanted
    for letter, (first, length), octets in zip(letters[::7], spans[::7], wanted[::7], strict=True):
        assert await store.read(letter, first, length) == octets


async def read(root: Path) -> int:
    """The loop."""
    store = await open_store(root, name="reader")
    inbox = await inbox_of_alice(store)
    held: list[Letter] = []
    bodies: dict[int, bytes] = {}
    rounds = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        entries = await store.entries(inbox.id, Uid(0), 500)
        fresh = await store.letters(inbox.id, [entry.uid for entry in entries])
        bodies = bodies or {int(letter.uid): body(letter.uid) for letter in fresh}
        held = held or fresh
        for letters in (fresh, held):
            await _check(store, letters, bodies, 0)
            await _check(store, letters, bodies, 3)
        if rounds % 3 == 0:
            store._reader.forget_unlinked()
        if not rounds:
            print("reading", flush=True)
        rounds += 1
    await store.close()
    return rounds


if __name__ == "__main__":
    print(asyncio.run(read(Path(sys.argv[1]))))
