"""SEARCH with the search index: the same letters are told as without it, and hardly any are read."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from typing import cast

import pytest

from postroom.net.limits import SEARCH_CLUES
from postroom.store.changes import Copy, Expunge
from postroom.store.search.file import discard
from postroom.store.search.indexer import Indexer
from postroom.store.sqlite import SqliteStore
from postroom.store.values import Uid
from tests.imap.server.asking import ask, logged_in
from tests.imap.server.house import House, Open
from tests.imap.server.stores import counting, suspending
from tests.imap.server.zoo import ZOO
from tests.scale import scaled

FRUIT = ("apples", "pears", "plums", "Birnen", "grüße", "Äpfel", "中文字")


def letter(number: int) -> bytes:
    draw = random.Random(number)
    words = draw.sample(FRUIT, 2)
    return (
        f"From: {draw.choice(('bob', 'carol'))}@example.test\r\nSubject: {words[0]} {number}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\nSome {words[1]}, {number * 7} of them.\r\n"
    ).encode()


def prefix(number: int) -> bytes:
    return b"Return-Path: <%b@example.test>\r\n" % (b"rare" if number == 33 else b"bob")


async def indexed(house: House, opened: Open) -> None:
    indexer = Indexer(house.root, cast(SqliteStore, opened.store), share=1)
    await indexer.catch_up()
    indexer.close()


async def eighty(house: House, opened: Open, *, index: bool) -> None:
    """Letters of all kinds: some are expunged, some copied, and some come when the index is made."""
    for number in range(60):
        await opened.deliver(letter(number), prefix=prefix(number))
    await opened.deliver(*ZOO.values())
    box = (await opened.mailbox()).id
    await opened.store.commit(Expunge(box, (Uid(3), Uid(61)), deleted_only=False))
    if index:
        await indexed(house, opened)
    await opened.store.commit(Copy(box, (Uid(7), Uid(34)), box))
    await opened.deliver(letter(100), b"From: rare@example.test\r\n\r\nlast of the plums\r\n")


SEARCHES: Sequence[str] = (
    "TEXT apples",
    "BODY birnen",
    "SUBJECT plums",
    "TEXT rare",
    "HEADER return-path rare",
    "FROM rare",
    "NOT TEXT apples",
    "NOT FROM bob",
    "OR SUBJECT apples BODY pears",
    "OR SUBJECT apples SEEN",
    "SUBJECT apples NOT BODY pears",
    "SUBJECT apples BODY pears",
    "5:20 TEXT plums",
    "UID 30:* BODY apples UNSEEN",
    "TEXT nowhere",
    "NOT TEXT nowhere",
    "OR TEXT nowhere TEXT 233",
    "BODY 14",
    "TEXT ap",
    "SUBJECT ä",
    'SUBJECT "grüße 1"',
    "BODY gründe.gif",
    "TEXT 中文字",
    "BODY 中文",
    'TEXT "subject: apples"',
    'HEADER x-none ""',
    'TEXT "of them."',
    "LARGER 10 TEXT birnen SMALLER 100000",
    " ".join(f"NOT BODY number{number}" for number in range(2 * SEARCH_CLUES)),
)


def _with_literals(search: str) -> bytes:
    """A quoted string is ASCII; others go as literals."""
    words = [word.encode() for word in re.findall(r'"[^"]*"|[^ ]+', search)]
    return b" ".join(
        [word if word.isascii() else b"{%d+}\r\n%b" % (len(word.strip(b'"')), word.strip(b'"')) for word in words]
    )


async def answers(opened: Open) -> list[list[bytes]]:
    async with logged_in(opened) as client:
        found = []
        for search in SEARCHES:
            found.append(await ask(client, b"UID SEARCH " + _with_literals(search)))
            assert found[-1][-1] == b"OK Searched"
        return found


def test_the_same_letters_are_told_as_without_it(house: House) -> None:
    async def run(house: House, *, index: bool) -> list[list[bytes]]:
        async with house.open() as opened:
            await eighty(house, opened, index=index)
            return await answers(opened)

    plain = asyncio.run(run(House(house.root / "plain", wrap=suspending), index=False))
    assert sum(len(told[0]) > len(b"* SEARCH") for told in plain) > 20
    assert asyncio.run(run(House(house.root / "indexed", wrap=suspending), index=True)) == plain


def test_a_search_for_an_absent_word_reads_no_letter(house: House) -> None:
    """`make soak` searches 100,000."""
    made = counting(house)
    count = scaled(2000, 100_000)

    async def run() -> None:
        async with house.open() as opened:
            await opened.deliver(*map(letter, range(100)))
            box = (await opened.mailbox()).id
            for _ in range(count // 100 - 1):
                await opened.store.commit(Copy(box, tuple(map(Uid, range(1, 101))), box))
            await indexed(house, opened)
            async with logged_in(opened) as client:
                made[0].clear()
                for search in ("TEXT zyzzyva", "SUBJECT nowhere UNSEEN", "OR FROM nobody BODY zyzzyva"):
                    assert (await ask(client, f"SEARCH {search}".encode()))[0] == b"* SEARCH"
                assert len((await ask(client, b"SEARCH NOT TEXT zyzzyva"))[0].split()) == count + 2
                assert made[0].octets == 0
                questions = {name: times for name, times in made[0].asked.items() if name != "changes"}
                assert questions == {"search_candidates": 4}

    asyncio.run(run())


def test_a_search_for_a_rare_word_reads_its_letters_only(house: House) -> None:
    made = counting(house)

    async def run() -> None:
        async with house.open() as opened:
            await opened.deliver(*map(letter, range(100)))
            await indexed(house, opened)
            async with logged_in(opened) as client:
                made[0].clear()
                assert (await ask(client, b'SEARCH BODY "693 of"'))[0] == b"* SEARCH 100"
                assert made[0].asked["read"] == 0
                made[0].clear()
                assert len((await ask(client, b'SEARCH SUBJECT " 99"'))[0].split()) == 3
                assert made[0].asked["read"] == 1

    asyncio.run(run())


@pytest.mark.parametrize("when", ["before", "midway"])
def test_a_search_goes_on_where_the_index_is_gone(house: House, when: str) -> None:
    made = counting(house)

    async def run() -> None:
        async with house.open() as opened:
            await opened.deliver(*map(letter, range(100)))
            await indexed(house, opened)
            account = (await opened.account()).id
            async with logged_in(opened) as client:
                expected = await ask(client, b"SEARCH BODY apples")
                if when == "before":
                    discard(house.root, account)
                else:
                    ask_index = opened.store.search_candidates

                    async def gone(*args: object) -> object:
                        answer = await ask_index(*args)  # type: ignore[arg-type]
                        discard(house.root, account)
                        return answer

                    made[0].search_candidates = gone  # type: ignore[attr-defined]
                made[0].clear()
                assert await ask(client, b"SEARCH BODY apples") == expected
                assert made[0].asked["read"] == (100 if when == "before" else len(expected[0].split()) - 2)

    asyncio.run(run())
