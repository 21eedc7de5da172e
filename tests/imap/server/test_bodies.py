"""The octets that FETCH gives: of every section of every kind of letter, whole or not at all, and never too many at
a time."""

from __future__ import annotations

import asyncio

import pytest

from postroom.net.limits import IMAP_FETCH_OCTETS
from tests.imap.server.asking import ask, logged_in, selected
from tests.imap.server.house import LETTER, House, Open, login, select
from tests.imap.server.stores import counting, damaged
from tests.imap.server.zoo import LARGE, MADE, ZOO, naive

PREFIX = b"Return-Path: <bob@example.test>\r\nDelivered-To: alice@example.test\r\n"
LETTERS = (b"Subject: x\r\n\r\nText\r\n", b"Subject: y\r\nFrom: a@example.test\r\n\r\n")


async def two(opened: Open) -> None:
    await opened.deliver(*LETTERS, prefix=b"Return-Path: <>\r\n")


def test_each_section_is_a_slice_of_the_letter(house: House) -> None:
    async def run() -> None:
        letters = {n: s for n, s in (ZOO | {"large": LARGE}).items() if b"\n" not in s.replace(b"\r\n", b"")}
        async with selected(house, *letters.values(), prefix=PREFIX) as (_, client):
            for number, source in enumerate(letters.values(), 1):
                sections = naive(source)
                sections |= {whole: PREFIX + sections[whole] for whole in (b"", b"HEADER")}
                items = b" ".join([b"BODY.PEEK[%b]" % section for section in sections])
                texts = [b"BODY[%b] {%d}\r\n%b" % (name, len(text), text) for name, text in sections.items()]
                expected = b"* %d FETCH (%b)" % (number, b" ".join(texts))
                assert await ask(client, b"FETCH %d (%b)" % (number, items)) == [expected, b"OK Fetched"]

    asyncio.run(run())


def test_each_partial_fetch_is_a_slice_of_its_section(house: House) -> None:
    async def run() -> None:
        source = MADE["forwarded"]
        async with selected(house, source, prefix=PREFIX) as (_, client):
            sections = naive(source)
            sections |= {whole: PREFIX + sections[whole] for whole in (b"", b"HEADER")}
            for name, text in sections.items():
                for start, count in ((0, 1), (0, len(text) or 1), (0, 10**9), (3, 40), (len(text), 5), (10**12, 5)):
                    octets = text[start : start + count]
                    expected = b"* 1 FETCH (BODY[%b]<%d> {%d}\r\n%b)" % (name, start, len(octets), octets)
                    item = b"BODY.PEEK[%b]<%d.%d>" % (name, start, count)
                    assert await ask(client, b"FETCH 1 %b" % item) == [expected, b"OK Fetched"]

    asyncio.run(run())


@pytest.mark.parametrize("size", [n * IMAP_FETCH_OCTETS + more for n in (1, 2) for more in (-1, 0, 1)])
def test_a_text_of_as_much_as_is_read_at_a_time_or_one_more_is_whole(house: House, size: int) -> None:
    async def run() -> None:
        text = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        async with selected(house, LETTER, b"Subject: x\r\n\r\n" + text, LETTER) as (_, client):
            answers = await ask(client, b"FETCH 1:3 (BODY.PEEK[1] BODY.PEEK[HEADER])")
            assert answers[1] == b"* 2 FETCH (BODY[1] {%d}\r\n%b BODY[HEADER] {14}\r\nSubject: x\r\n\r\n)" % (
                size,
                text,
            )
            assert len(answers) == 4

    asyncio.run(run())


def test_the_prefix_is_in_the_letter_its_header_and_its_size_and_in_no_part(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=2)}
        C: a FETCH 1 (RFC822.SIZE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[1] BODY.PEEK[1.MIME])
        S< * 1 FETCH (RFC822.SIZE 37 BODY[] {{37}}\\r\\nReturn-Path: <>\\r\\nSubject: x\\r\\n\\r\\nText\\r\\n
        S<  BODY[HEADER] {{31}}\\r\\nReturn-Path: <>\\r\\nSubject: x\\r\\n\\r\\n BODY[TEXT] {{6}}\\r\\nText\\r\\n
        S<  BODY[1] {{6}}\\r\\nText\\r\\n BODY[1.MIME] {{14}}\\r\\nSubject: x\\r\\n\\r\\n)\\r\\n
        S: a OK *
        C: b FETCH 1 (BODY.PEEK[HEADER.FIELDS (Return-Path)] BODY.PEEK[HEADER.FIELDS.NOT (return-path)]<0.3>)
        S: * 1 FETCH (BODY[HEADER.FIELDS (Return-Path)] {{19}}
        S: Return-Path: <>
        S:
        S:  BODY[HEADER.FIELDS.NOT (return-path)]<0> {{3}}
        S: Sub)
        S: b OK *
        """,
        before=two,
    )


def test_what_a_letter_has_not_is_nil_and_what_is_empty_is_an_empty_string(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=2)}
        C: a FETCH 2 (BODY.PEEK[9] BODY.PEEK[1.HEADER]<0.5> BODY.PEEK[TEXT] BODY.PEEK[9.MIME] BODY.PEEK[]<99.5>)
        S: * 2 FETCH (BODY[9] NIL BODY[1.HEADER]<0> NIL BODY[TEXT] {{0}}
        S:  BODY[9.MIME] NIL BODY[]<99> {{0}}
        S: )
        S: a OK *
        C: b FETCH 1 BODY.PEEK[9]
        S: * 1 FETCH (BODY[9] NIL)
        S: b OK *
        """,
        before=two,
    )


def test_a_letter_that_the_client_does_not_take_is_not_read_further(house: House) -> None:
    made = counting(house)
    source = b"Subject: large\r\n\r\n" + b"x" * 20_000_000

    async def run() -> None:
        async with selected(house, source) as (_, client):
            client.stream.transport.pause_reading()
            made[0].octets = 0
            await client.send("a FETCH 1 BODY.PEEK[]")
            for _ in range(200):
                await asyncio.sleep(0)
            assert 0 < made[0].octets <= 4 * IMAP_FETCH_OCTETS
            client.stream.transport.resume_reading()
            assert await client.line() == b"* 1 FETCH (BODY[] {%d}" % len(source)
            assert await client.exactly(len(source)) == source
            assert await client.line() == b")"
            assert await client.line() == b"a OK Fetched"

    asyncio.run(run())


def test_many_items_of_a_large_letter_are_not_all_read_ahead(house: House) -> None:
    made = counting(house)

    async def run() -> None:
        async with selected(house, LARGE) as (_, client):
            client.stream.transport.pause_reading()
            made[0].octets = 0
            spans = [(start, 200_000) for start in range(100)]
            await client.send("a FETCH 1 (" + " ".join(f"BODY.PEEK[]<{at}.{count}>" for at, count in spans) + ")")
            for _ in range(200):
                await asyncio.sleep(0)
            assert made[0].octets <= 5 * IMAP_FETCH_OCTETS
            client.stream.transport.resume_reading()
            line = await client.line()
            for start, count in spans:
                assert line.endswith(b"BODY[]<%d> {%d}" % (start, count))
                assert await client.exactly(count) == LARGE[start : start + count]
                line = await client.line()
            assert line == b")"
            assert await client.line() == b"a OK Fetched"

    asyncio.run(run())


def test_neither_the_first_nor_the_last_letter_of_many_is_shown_in_a_trace(house: House) -> None:
    async def run() -> None:
        async with selected(house, *[b"Subject: x\r\n\r\nsesame %d\r\n" % n for n in range(20)], LARGE) as (
            _,
            client,
        ):
            for items in (b"1 BODY[]", b"1:20 RFC822", b"1:* BODY[TEXT]", b"1:* (BODY[1] BODY[HEADER])"):
                await ask(client, b"FETCH " + items)
            conversation = client.server.conversation
            assert conversation is not None
            rows = b"".join(row.data for row in conversation.rows)
            assert b"* 1 FETCH (FLAGS (\\Seen \\Recent) BODY[] {24}" in rows
            assert b"sesame" not in rows
            assert b"Subject: x" not in rows

    asyncio.run(run())


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("verb", [b"FETCH", b"UID FETCH"])
def test_a_damaged_letter_costs_its_own_answer_and_the_command_says_so(
    house: House, verb: bytes, short: bool
) -> None:
    house.wrap = damaged({2}, short=short)

    async def run() -> None:
        async with selected(house, LETTER, LARGE, LETTER) as (_, client):
            answers = await ask(client, verb + b" 1:3 (UID BODY.PEEK[HEADER] BODY.PEEK[])")
            assert [line[:17] for line in answers[:-1]] == [b"* 1 FETCH (UID 1 ", b"* 3 FETCH (UID 3 "]
            assert answers[-1].startswith(b"NO [CORRUPTION] ")
            assert (await ask(client, b"NOOP"))[-1].startswith(b"OK")

    asyncio.run(run())


@pytest.mark.parametrize(
    "items", [b"BODY.PEEK[HEADER]", b"(BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[1] BODY.PEEK[9])"]
)
@pytest.mark.parametrize("short", [False, True])
def test_of_many_letters_only_the_damaged_have_no_answer(house: House, items: bytes, short: bool) -> None:
    house.wrap = damaged({3, 7, 110}, short=short)

    async def run() -> None:
        sources = [b"Subject: %d\r\n\r\nText %d\r\n" % (n, n) for n in range(1, 121)]
        async with selected(house, *sources) as (_, client):
            answers = await ask(client, b"FETCH 1:* " + items)
            numbers = [n for n in range(1, 121) if n not in (3, 7, 110)]
            assert [int(line.split()[1]) for line in answers[:-1]] == numbers
            for number, line in zip(numbers, answers, strict=False):
                assert b"Subject: %d\r\n\r\n" % number in line
                assert items.endswith(b"[HEADER]") or b"Text %d\r\n BODY[9] NIL)" % number in line
            assert answers[-1].startswith(b"NO [CORRUPTION] ")

    asyncio.run(run())


def test_a_name_with_a_percent_sign_is_answered_as_any_other(house: House) -> None:
    async def run() -> None:
        async with selected(house, *[b"a%d: 1\r\nb: 2\r\n\r\n"] * 5) as (_, client):
            item = b'HEADER.FIELDS ("a%d" "%s")]'
            answers = await ask(client, b"FETCH 1:* (BODY.PEEK[%b BODY.PEEK[TEXT])" % item)
            assert [line.partition(b" {10}\r\n")[2] for line in answers[:-1]] == [
                b"a%d: 1\r\n\r\n BODY[TEXT] {0}\r\n)"
            ] * 5
            assert answers[-1] == b"OK Fetched"

    asyncio.run(run())


@pytest.mark.parametrize(("crowded", "reads"), [(False, 5), (True, 20)])
def test_small_letters_are_read_together_and_never_too_many_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch, crowded: bool, reads: int
) -> None:
    # The client's own stream is of this process, and counts as somebody who speaks.
    monkeypatch.setattr("postroom.net.turns.CROWDED_SECONDS", 3600.0 if crowded else 0.0)
    made = counting(house)
    source = b"Subject: x\r\n\r\n" + b"x" * (IMAP_FETCH_OCTETS // 10)

    async def run() -> None:
        async with selected(house, *[source] * 40) as (_, client):
            client.stream.transport.pause_reading()
            made[0].clear()
            await client.send("a FETCH 1:* BODY.PEEK[]")
            for _ in range(200):
                await asyncio.sleep(0)
            assert made[0].asked["read_each"] >= 1
            assert made[0].octets <= 4 * IMAP_FETCH_OCTETS
            client.stream.transport.resume_reading()
            for number in range(1, 41):
                assert await client.line() == b"* %d FETCH (BODY[] {%d}" % (number, len(source))
                assert await client.exactly(len(source)) == source
                assert await client.line() == b")"
            assert await client.line() == b"a OK Fetched"
            assert made[0].asked["read_each"] == reads
            assert made[0].asked["read"] == 0

    asyncio.run(run())


def test_a_letter_expunged_while_its_octets_went_away_is_no_damage(house: House) -> None:
    house.wrap = damaged({2}, gone=True)

    async def run() -> None:
        async with selected(house, *[LETTER] * 3) as (_, client):
            answers = await ask(client, b"FETCH 1:3 BODY.PEEK[]")
            assert [line[:9] for line in answers[:-1]] == [b"* 1 FETCH", b"* 3 FETCH"]
            assert answers[-1].startswith(b"NO [EXPUNGEISSUED] ")

    asyncio.run(run())


@pytest.mark.parametrize("short", [False, True])
def test_a_letter_that_fails_within_its_literal_ends_the_connection(house: House, short: bool) -> None:
    source = b"x" * (3 * IMAP_FETCH_OCTETS)
    house.wrap = damaged({2}, 2 * IMAP_FETCH_OCTETS, short=short)

    async def run() -> None:
        async with house.open() as opened:
            await opened.deliver(LETTER, source, LETTER)
            async with logged_in(opened) as client:
                await client.send("a FETCH 1:3 BODY.PEEK[]")
                said = await client.eof()
                assert b"a NO" not in said
                assert b"a OK" not in said
                assert b"* 3" not in said
                assert said.count(b"x") < len(source)

    asyncio.run(run())
