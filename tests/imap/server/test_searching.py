"""SEARCH against the real store: which letters are told, and what finding them costs."""

from __future__ import annotations

import asyncio

import pytest

from postroom.message.text import folded
from postroom.store.changes import Expunge
from postroom.store.values import Flag, Uid
from tests.imap.server.asking import ask, logged_in, selected
from tests.imap.server.house import LETTER, NOON, House, Open, login, select
from tests.imap.server.stores import counting, damaged
from tests.imap.server.zoo import ZOO


def letter(subject: str, text: str = "Hello", date: str = "Mon, 30 Jun 2003 12:00:00 +0000") -> bytes:
    return f"From: bob@example.test\r\nSubject: {subject}\r\nDate: {date}\r\n\r\n{text}\r\n".encode()


async def four(opened: Open) -> None:
    """UIDs 1, 3, 4 and 5."""
    await opened.deliver(letter("apples"), flags=Flag.SEEN, at=NOON - 86_400)
    await opened.deliver(letter("gone"))
    await opened.deliver(letter("Pears", "of apples no word: Birnen"), keywords=["Fruit"])
    await opened.deliver(letter("PLUMS", "x" * 5000), prefix=b"X-Trace: apples\r\n")
    await opened.deliver(letter("none", date="Tue, 1 Jul 2003 01:00:00 +0200"), flags=Flag.FLAGGED | Flag.SEEN)
    await opened.store.commit(Expunge((await opened.mailbox()).id, (Uid(2),), deleted_only=False))


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ("ALL", "1 2 3 4"),
        ("SEEN", "1 4"),
        ("UNSEEN NOT KEYWORD fruit", "3"),
        ("SUBJECT apples", "1"),
        ('HEADER x-trace ""', "3"),
        ("TEXT apples", "1 2 3"),
        ("BODY apples", "2"),
        ("TEXT apples UNSEEN SMALLER 1000", "2"),
        ("LARGER 5000", "3"),
        ("BEFORE 14-Nov-2023", "1"),
        ("ON 14-Nov-2023", "2 3 4"),
        ("SENTSINCE 1-Jul-2003", "4"),
        ("SENTON 30-Jun-2003", "1 2 3"),
        ("OR SUBJECT pears SUBJECT plums", "2 3"),
        ("1,3:4 NOT SEEN", "3"),
        ("UID 2:4", "2 3"),
        ("NOT UID 3:*", "1"),
        ("SUBJECT cherries", ""),
        ("RECENT", "1 2 3 4"),
        ("NEW", "2 3"),
        ("OLD", ""),
        ("CHARSET UTF-8 TEXT Birnen", "2"),
        ("CHARSET us-ascii TEXT birnen", "2"),
    ],
)
def test_the_letters_that_match_are_told(house: House, arguments: str, numbers: str) -> None:
    uids = " ".join({"1": "1", "2": "3", "3": "4", "4": "5"}[number] for number in numbers.split())
    house.talk(
        f"""
        {login()}
        {select(letters=4)}
        C: a SEARCH {arguments}
        S: {f"* SEARCH {numbers}".rstrip()}
        S: a OK *
        C: b UID SEARCH {arguments}
        S: {f"* SEARCH {uids}".rstrip()}
        S: b OK *
        """,
        before=four,
    )


def test_a_charset_that_is_not_known_is_refused_with_those_that_are(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=4)}
        C: a SEARCH CHARSET KOI8-R SUBJECT apples
        S: a NO [BADCHARSET (US-ASCII UTF-8)] *
        """,
        before=four,
    )


def test_an_empty_mailbox_has_nothing_and_no_numbers(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=0)}
        C: a SEARCH ALL
        S: * SEARCH
        S: a OK *
        C: b UID SEARCH UID 1:* UNSEEN
        S: * SEARCH
        S: b OK *
        C: c SEARCH 1:*
        S: c BAD *
        """
    )


def test_letters_of_every_kind_are_searched(house: House) -> None:
    async def run() -> None:
        async with selected(house, *ZOO.values()) as (_, client):
            names = list(ZOO)
            for text, found in (
                ("BODY köln", ["alternative"]),
                ("BODY gründe.gif", ["attached", "forwarded"]),
                ('SUBJECT "grüße"', ["eight bit"]),
                ("BODY epilogue", []),
                ('BODY "first, no"', ["preamble and epilogue"]),
                ('SUBJECT "folded over"', ["bare LF"]),
                ('BODY "plain within"', ["forwarded"]),
            ):
                command = f"SEARCH {text.split(' ')[0]} ".encode()
                sought = text.partition(" ")[2].strip('"').encode()
                await client.send(b"t %b{%d+}" % (command, len(sought)), sought)
                assert await client.line() == b" ".join(
                    [b"* SEARCH", *[b"%d" % (names.index(name) + 1) for name in sorted(found, key=names.index)]]
                )
                assert await client.line() == b"t OK Searched"

    asyncio.run(run())


def test_what_another_session_did_before_counts(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=4)}
        {login("2")}
        {select("2", letters=4)}
        C2: a STORE 1 -FLAGS.SILENT \\Seen
        S2: a OK *
        C2: b UID STORE 3 +FLAGS.SILENT \\Deleted
        S2: b OK *
        C2: c UID EXPUNGE 3
        S2: * 2 EXPUNGE
        S2: c OK *
        C: a SEARCH UNSEEN
        S: * SEARCH 1 3
        S: * 1 FETCH (FLAGS (\\Recent))
        S: a OK *
        C: b UID SEARCH NOT SEEN
        S: * SEARCH 1 4
        S: * 2 EXPUNGE
        S: * 3 RECENT
        S: b OK *
        """,
        before=four,
    )


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ("UNSEEN", {}),
        ("UID 1:50 NOT SEEN", {}),
        ("SMALLER 5", {"entries": 1}),
        ("SEEN BODY x", {}),
        ("TEXT x SMALLER 5", {"entries": 1}),
        ("SENTBEFORE 1-Jan-1990", {"letters": 1}),
        ("UID 7 TEXT qq", {"letters": 1, "read": 2}),
        ("UID 7 TEXT x", {"letters": 1, "read": 1}),
        ("UID 1:10 FROM nobody BODY x", {"letters": 1, "read": 10}),
        ("UID 1:10 SUBJECT x FROM bob SUBJECT hello", {"letters": 1, "read": 10}),
    ],
)
def test_no_more_is_read_than_decides(house: House, arguments: str, asked: dict[str, int]) -> None:
    made = counting(house)

    async def run() -> None:
        async with selected(house, *[LETTER] * 50) as (_, client):
            made[0].asked.clear()
            assert (await ask(client, f"SEARCH {arguments}".encode()))[-1] == b"OK Searched"
            questions = {name: count for name, count in made[0].asked.items() if name != "changes"}
            assert questions == asked

    asyncio.run(run())


def test_a_text_that_was_kept_is_not_made_again(house: House) -> None:
    made = counting(house)

    async def run() -> None:
        async with selected(house, LETTER, LETTER) as (opened, client):
            box = (await opened.mailbox()).id
            (first,) = await opened.store.letters(box, [Uid(1)])
            made[0].texts[first.message] = folded("Kept by the INDEXER")
            assert await ask(client, b"SEARCH BODY indexer") == [b"* SEARCH 1", b"OK Searched"]

    asyncio.run(run())


def test_a_letter_that_can_not_be_read_matches_nothing(house: House) -> None:
    house.wrap = damaged({2})

    async def run() -> None:
        async with selected(house, *[LETTER] * 3) as (_, client):
            assert (await ask(client, b"SEARCH TEXT hello"))[0] == b"* SEARCH 1 3"
            assert (await ask(client, b"SEARCH NOT TEXT nowhere"))[0] == b"* SEARCH 1 3"
            assert (await ask(client, b"SEARCH OR SEEN NOT BODY nowhere"))[0] == b"* SEARCH 1 3"

    asyncio.run(run())


def test_others_have_their_turn_during_a_long_search(house: House) -> None:
    async def run() -> None:
        async with house.open() as opened:
            await opened.deliver(*[letter("long", "word " * 20_000)] * 60)
            async with logged_in(opened) as searcher, logged_in(opened) as other:
                await searcher.send(b"a SEARCH BODY nowhere")
                turns = 0
                searching = asyncio.create_task(searcher.line())
                while not searching.done():
                    assert (await ask(other, b"NOOP"))[-1].startswith(b"OK")
                    turns += 1
                assert await searching == b"* SEARCH"
                assert turns > 1

    asyncio.run(run())


def test_a_search_of_thousands_of_keys_is_answered(house: House) -> None:
    async def run() -> None:
        async with selected(house, *[LETTER] * 20) as (_, client):
            keys = " ".join(f"NOT HEADER x{number} y" for number in range(2000))
            assert (await ask(client, f"SEARCH SUBJECT hello {keys}".encode()))[0].endswith(b" 18 19 20")

    asyncio.run(run())
