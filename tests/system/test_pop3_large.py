"""A maildrop of many letters (100,000 in `make soak`): it is opened, listed, read from and emptied while others are
served."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from postroom.message.structure import parse
from postroom.store.changes import Target
from postroom.store.interface import Delivery, Store
from postroom.store.sqlite import open_store
from postroom.store.values import MailboxId
from tests.house import ALICE, BOB, House
from tests.scale import scaled
from tests.system.raw import Raw, alive, letters, pop3

_COUNT = scaled(2_000, 100_000)


def _letter(number: int) -> bytes:
    return b"Message-ID: <%d@large.test>\r\nSubject: %d\r\n\r\n%b" % (number, number, b"line\r\n" * (number % 5))


async def _fill(data: Path) -> None:
    """Put the letters into Alice's INBOX, as deliveries do."""
    store = await open_store(data)
    account = await store.account(ALICE)
    assert account is not None
    inbox = await store.mailbox(account.id, "INBOX")
    assert inbox is not None
    for start in range(0, _COUNT, 100):
        await asyncio.gather(*(_put(store, inbox.id, _letter(number)) for number in range(start, start + 100)))
    await store.close()


async def _put(store: Store, mailbox: MailboxId, octets: bytes) -> None:
    blob = store.blob()
    blob.write(octets)
    await store.deliver(Delivery(blob, parse(octets), (Target(mailbox),), 1_700_000_000))


@contextlib.contextmanager
def _somebody_else(house: House) -> Iterator[list[bytes]]:
    """Bob's session, which says NOOP again and again; what it heard."""
    heard: list[bytes] = []
    done = threading.Event()

    def go_on(raw: Raw) -> None:
        while not done.is_set():
            raw.say(b"NOOP\r\n")
            heard.append(raw.line())

    with pop3(house, BOB) as raw:
        thread = threading.Thread(target=go_on, args=(raw,))
        thread.start()
        try:
            yield heard
        finally:
            done.set()
            thread.join()


def _rows(raw: Raw, command: bytes) -> list[list[bytes]]:
    raw.say(command + b"\r\n")
    assert raw.line().startswith(b"+OK")
    return [line.split() for line in raw.listing()]


def test_a_large_maildrop_is_opened_listed_read_and_emptied_beside_others(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.add_accounts()
    asyncio.run(_fill(house.data))
    with house:
        with _somebody_else(house) as heard, pop3(house) as raw:
            raw.say(b"STAT\r\n")
            assert raw.line() == b"+OK %d %d" % (_COUNT, sum(len(_letter(number)) for number in range(_COUNT)))
            sizes, ids = _rows(raw, b"LIST"), _rows(raw, b"UIDL")
            assert sizes == [[b"%d" % n, b"%d" % len(_letter(n - 1))] for n in range(1, _COUNT + 1)]
            assert [number for number, _ in ids] == [number for number, _ in sizes]
            assert len({each for _, each in ids}) == _COUNT
            for number in (1, _COUNT // 2, _COUNT):
                raw.say(b"RETR %d\r\n" % number)
                assert raw.line() == b"+OK %d octets" % len(_letter(number - 1))
                assert b"\r\n".join([*raw.listing(), b""]) == _letter(number - 1)
            raw.say(b"".join(b"DELE %d\r\n" % number for number in range(2, _COUNT + 1)) + b"QUIT\r\n")
            assert {raw.line() for _ in range(_COUNT - 1)} == {b"+OK Marked for deletion"}
            assert raw.line() == b"+OK Goodbye, %d messages deleted" % (_COUNT - 1)
        assert set(heard) == {b"+OK Still here"}
        assert letters(house) == [_letter(0)]
        alive(house)
