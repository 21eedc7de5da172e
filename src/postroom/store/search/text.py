"""A letter's text out of its octets, with pauses: what SEARCH looks through and what the indexer files.

A letter that is small is read in one piece, which is held against its checksum; of a large one only the parts that
are text are read, one at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from postroom.message.text import body_steps, folded
from postroom.net.limits import BLOB_IN_MEMORY
from postroom.store.interface import Store
from postroom.store.values import Letter

__all__ = ["read_body_text"]

_FOLDED: Final = 65536
"""Characters folded without a pause: some milliseconds where they are not ASCII."""


async def read_body_text(store: Store, letter: Letter, pause: Callable[[], Awaitable[None]]) -> str:
    """`body_text` of a letter (whose `parts` were asked for), folded. Raises `Unreadable`, `StoreFault`."""
    before, size = len(letter.prefix), letter.blob_size
    whole = await store.read(letter, before, size) if size <= BLOB_IN_MEMORY else None
    steps = body_steps(letter.parts)
    octets = b""
    try:
        wanted = next(steps)
        while True:
            if wanted is None:
                await pause()
                octets = b""
            elif whole is not None:
                octets = whole[wanted[0] : wanted[1]]
            else:
                octets = await store.read(letter, before + wanted[0], wanted[1] - wanted[0])
            wanted = steps.send(octets)
    except StopIteration as done:
        text = str(done.value)
    if len(text) <= _FOLDED:
        return folded(text)
    pieces = []
    for at in range(0, len(text), _FOLDED):
        pieces.append(folded(text[at : at + _FOLDED]))
        await pause()
    return "".join(pieces)
