from __future__ import annotations

import asyncio
import itertools
import logging
import re
from typing import cast

import pytest

from postroom.net.limits import (
    SMTP_DATA_LINE_OCTETS,
    SMTP_DATA_MIN_RATE,
    SMTP_DATA_RATE_SECONDS,
    SMTP_JOINED_OCTETS,
)
from postroom.smtp.data import CHUNK, too_slow
from postroom.smtp.session import Role
from postroom.smtp.stuffing import stuff
from postroom.store.interface import StorageFull, StoreFault
from postroom.store.values import Quota, Usage
from tests.smtp.office import BEGUN, HELLO, IN_DATA, LOGGED_IN, OFFERED, CountingBlob, Office, below_prefix
from tests.talk import Client


async def begin(client: Client, *recipients: str) -> None:
    """Up to the 354."""
    await client.line()
    await client.send(
        "HELO client.test", "MAIL FROM:<jo@other.test>", *(f"RCPT TO:<{each}>" for each in recipients), "DATA"
    )
    await client.lines(b"354")


def send(office: Office, data: bytes) -> bytes:
    """The reply to whole data."""

    async def go() -> bytes:
        async with office.session() as client:
            await begin(client, "alice@example.test")
            await client.raw(data)
            return await client.line()

    return asyncio.run(go())


# --- what comes in


@pytest.mark.parametrize(
    "letter",
    [
        b"Subject: x\r\n\r\nHello\r\n",
        b"Subject: x\r\n\r\n.\r\n..\r\n.dot\r\n\r\n.\r\n",
        b"\r\n",
        b"",
        b"no header\r\n",
        b"Subject: Gr\xfc\xdfe\r\n\r\n\x01\x7f\x80\xff caf\xc3\xa9\r\n",
        b"Subject: x\r\n\r\n" + bytes(each for each in range(256) if each not in (0, 10, 13)) + b"\r\n",
        b"Subject: x\r\n\r\n" + b"x" * 10_000 + b"\r\n",
    ],
)
def test_a_letter_is_kept_octet_for_octet_whatever_the_chunks(letter: bytes) -> None:
    office = Office()
    data = stuff(letter)
    assert send(office, data).startswith(b"250 2.6.0 Letter accepted as ")

    async def in_pieces(step: int) -> None:
        async with office.session() as client:
            await begin(client, "alice@example.test")
            for at in range(0, len(data), step):
                await client.raw(data[at : at + step])
                await asyncio.sleep(0)
            assert (await client.line()).startswith(b"250 2.6.0 ")

    for step in (1, 2, 3) if len(data) < 500 else (997,):
        asyncio.run(in_pieces(step))
    assert {below_prefix(each) for each in office.inbox("alice")} == {letter}


def test_each_recipient_gets_a_prefix_of_its_own() -> None:
    office = Office()
    office.store.also("info@example.test", "bob@example.test")
    office.talk(f"""
        S: 220 *
        C: EHLO client.test
        {OFFERED}
        C: MAIL FROM:<jo@other.test>
        S: 250 *
        C: RCPT TO:<Alice+x@example.test>
        S: 250 *
        C: RCPT TO:<info@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: Subject: x
        C:
        C: x
        C: .
        S: 250 2.6.0 Letter accepted as {{id}}
        C: MAIL FROM:<>
        S: 250 *
        C: RCPT TO:<postmaster>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
    """)
    first, second = office.inbox("alice")
    (bobs,) = office.inbox("bob")
    lines = first.decode().split("\r\n")
    assert lines[:2] == ["Return-Path: <jo@other.test>", "Delivered-To: alice@example.test"]
    assert lines[2] == "Received: from client.test ([192.0.2.1])"
    assert lines[3].startswith("\tby mx.example.test with ESMTP id ")
    assert lines[4:6] == ["\tfor <Alice+x@example.test>;", "\tTue, 14 Nov 2023 22:13:20 +0000"]
    assert lines[6:] == ["Subject: x", "", "x", ""]
    assert b"Delivered-To: bob@example.test\r\n" in bobs and b"\tfor <info@example.test>;" in bobs
    assert b"info@" not in first and b"Alice" not in bobs
    assert second.startswith(b"Return-Path: <>\r\n") and b"\tfor <postmaster>;" in second


@pytest.mark.parametrize(
    ("role", "tls", "hello", "word"),
    [
        (Role.SMTP, False, "HELO", b"SMTP"),
        (Role.SMTP, False, "EHLO", b"ESMTP"),
        (Role.SMTP, True, "EHLO", b"ESMTPS"),
        (Role.SUBMISSIONS, True, "EHLO", b"ESMTPSA"),
    ],
)
def test_received_tells_the_protocol(role: Role, tls: bool, hello: str, word: bytes) -> None:
    # RFC 3848
    office = Office()

    async def go() -> None:
        async with office.session(role, tls=tls) as client:
            await client.line()
            await client.send(f"{hello} client.test")
            await client.lines(b"250 ")
            if role.wants_login:
                await client.send("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=")
                await client.line()
            await client.send("MAIL FROM:<alice@example.test>", "RCPT TO:<bob@example.test>", "DATA")
            await client.lines(b"354")
            await client.send(".")
            assert (await client.line()).startswith(b"250")

    asyncio.run(go())
    (letter,) = office.inbox("bob")
    assert b" with %b id " % word in letter


def test_an_account_gets_one_copy_whichever_names_led_to_it() -> None:
    office = Office()
    office.store.also("info@example.test", "alice@example.test", "bob@example.test")

    async def go() -> None:
        async with office.session() as client:
            await begin(client, "alice@example.test", "info@example.test", "ALICE@example.test")
            await client.send("x", ".")
            assert (await client.line()).startswith(b"250")

    asyncio.run(go())
    assert len(office.inbox("alice")) == len(office.inbox("bob")) == 1
    assert b"\tfor <alice@example.test>;" in office.inbox("alice")[0]


def test_what_comes_behind_the_letter_in_one_piece_is_answered_after_it() -> None:
    office = Office()
    office.talk(f"""
        {IN_DATA}
        C< x\\r\\n.\\r\\nMAIL FROM:<>\\r\\nRCPT TO:<bob@example.test>\\r\\nDATA\\r\\ny\\r\\n.\\r\\nQUIT\\r\\n
        S: 250 2.6.0 *
        S: 250 2.1.0 *
        S: 250 2.1.5 *
        S: 354 *
        S: 250 2.6.0 *
        S: 221 *
        S! end
    """)
    assert below_prefix(office.inbox("alice")[0]) == b"x\r\n"
    assert below_prefix(office.inbox("bob")[0]) == b"y\r\n"


def test_letters_have_ids_of_their_own() -> None:
    office = Office()
    again = BEGUN.removeprefix(HELLO)
    office.talk(f"""
        {IN_DATA}
        C: .
        S: 250 2.6.0 Letter accepted as {{first}}.1
        {again}
        C: DATA
        S: 354 *
        C: .
        S: 250 2.6.0 Letter accepted as {{first}}.2
    """)


# --- smuggling


ENDS = ["\r\n", "\n", "\r", "\r\r", "\n\n", "\r\r\n", "\0\r\n", "\r\0\n", "\r\n\0", "\n\r", "\0", ""]
SMUGGLED = "MAIL FROM:<evil@other.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nevil\r\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [(b, a) for b, a in itertools.product(ENDS, ENDS) if not (b.endswith("\r\n") and a.startswith("\r\n"))],
)
def test_nothing_is_smuggled(before: str, after: str) -> None:
    """CVE-2023-51764, -51765, -51766, CVE-2024-27305: one letter, one reply, whatever stands around the dot."""
    office = Office()

    async def go() -> list[bytes]:
        async with office.session() as client:
            await begin(client, "alice@example.test")
            body = f"Subject: x\r\n\r\nbody{before}.{after}{SMUGGLED}"
            await client.raw(body.encode() + b"\r\n.\r\nNOOP\r\nQUIT\r\n")
            return (await client.eof()).splitlines()

    replies = asyncio.run(go())
    lone = (before + "." + after).replace("\r\n", "")
    if "\r" in lone or "\n" in lone:
        assert replies[0] == b"550 5.6.0 Bare CR or LF in the letter"
        assert office.empty
    elif "\0" in lone:
        assert replies[0] == b"550 5.6.0 NUL in the letter"
        assert office.empty
    else:
        assert replies[0].startswith(b"250 2.6.0")
        assert len(office.inbox("alice")) == 1
    assert [reply[:3] for reply in replies[1:]] == [b"250", b"221"]
    assert not office.inbox("bob")


@pytest.mark.parametrize("where", [0, 5, CHUNK - 1, CHUNK, 2 * CHUNK - 3])
def test_a_nul_anywhere_refuses_the_letter(where: int) -> None:
    body = bytearray(b"x" * (2 * CHUNK))
    body[where] = 0
    office = Office(max_message_size=1_000_000)
    assert send(office, bytes(body) + b"\r\n.\r\n") == b"550 5.6.0 NUL in the letter"
    assert office.empty and office.store.blobs[0].discarded


@pytest.mark.parametrize("octet", [b"\r", b"\n"])
@pytest.mark.parametrize("where", [0, 5, CHUNK - 1, CHUNK, 2 * CHUNK - 3])
def test_a_bare_cr_or_lf_anywhere_refuses_the_letter(octet: bytes, where: int) -> None:
    body = bytearray(b"x" * (2 * CHUNK))
    body[where : where + 1] = octet
    office = Office(max_message_size=1_000_000)
    assert send(office, bytes(body) + b"\r\n.\r\n") == b"550 5.6.0 Bare CR or LF in the letter"
    assert office.empty and office.store.blobs[0].discarded


# --- limits


def test_a_letter_of_the_size_is_taken_and_one_octet_more_is_read_and_refused() -> None:
    office = Office(max_message_size=10_000)
    letter = b"x" * 9_998 + b"\r\n"
    assert send(office, stuff(letter)).startswith(b"250")
    assert send(office, stuff(b"x" + letter)) == b"552 5.3.4 Letter bigger than this system takes"
    office.talk(f"""
        {IN_DATA}
        C: {"x" * 10_001}
        C: QUIT
        C: .
        S: 552 5.3.4 *
        C: NOOP
        S: 250 *
    """)
    assert len(office.inbox("alice")) == 1


def test_the_size_counts_without_stuffing() -> None:
    # RFC 1870 4
    office = Office(max_message_size=3_000)
    assert send(office, stuff(b".\r\n" * 1000)).startswith(b"250")


def test_a_text_line_has_at_most_a_million_octets() -> None:
    office = Office(max_message_size=10_000_000)
    line = b"x" * (SMTP_DATA_LINE_OCTETS - 2) + b"\r\n"
    assert send(office, b"a\r\n" + line + b"b\r\n.\r\n").startswith(b"250")
    assert send(office, b"a\r\nx" + line + b"b\r\n.\r\n") == b"554 5.6.0 Line too long in the letter"


def test_who_trickles_a_letter_is_left() -> None:
    assert not too_slow(0, SMTP_DATA_RATE_SECONDS)
    assert too_slow(int(SMTP_DATA_RATE_SECONDS) * SMTP_DATA_MIN_RATE, SMTP_DATA_RATE_SECONDS + 1)
    assert not too_slow(int(SMTP_DATA_RATE_SECONDS + 1) * SMTP_DATA_MIN_RATE, SMTP_DATA_RATE_SECONDS + 1)
    office = Office()

    async def go() -> bytes:
        async with office.session() as client:
            await begin(client, "alice@example.test")
            office.clock.seconds = SMTP_DATA_RATE_SECONDS + 1
            await client.raw(b"x\r\n.\r\nNOOP\r\n")
            return await client.eof()

    assert asyncio.run(go()) == b"421 4.4.2 Data came too slowly, closing\r\n"
    assert office.empty and office.store.blobs[0].discarded


def test_who_stops_within_a_letter_is_left() -> None:
    office = Office()

    async def go() -> bytes:
        async with office.session() as client:
            await begin(client, "alice@example.test")
            await client.raw(b"x\r\n")
            for _ in range(5):
                await asyncio.sleep(0)
            client.server.deadline(0.001)
            return await client.eof()

    assert asyncio.run(go()) == b"421 4.4.2 Waited too long, closing\r\n"
    assert office.empty and office.store.blobs[0].discarded


def test_octet_by_octet_a_letter_costs_no_more_than_its_size() -> None:
    office = Office(max_message_size=1_000_000)
    letter = b"Subject: x\r\n\r\n" + b"ab\r\n" * 3 * SMTP_JOINED_OCTETS

    async def go() -> None:
        async with office.session() as client:
            await begin(client, "alice@example.test")
            for at in range(0, len(letter), 100):
                await client.raw(letter[at : at + 100])
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            await client.raw(b".\r\n")
            assert (await client.line()).startswith(b"250")

    asyncio.run(go())
    assert below_prefix(office.inbox("alice")[0]) == letter
    assert office.store.blobs[0].writes <= len(letter) // SMTP_JOINED_OCTETS + 1


def test_fifty_mebibytes_stream_in_bounded_memory() -> None:
    office = Office(max_message_size=64 * 1024 * 1024)
    office.store.blob_type = CountingBlob
    line = b"." + b"x" * 75 + b"\r\n"
    piece = line * 1000
    wire = stuff(piece)[:-3]
    count = 50 * 1024 * 1024 // len(piece) + 1

    async def go() -> None:
        async with office.session() as client:
            await begin(client, "alice@example.test")
            for _ in range(count):
                await client.raw(wire)
            await client.raw(b".\r\n")
            assert (await client.line()).startswith(b"250")

    asyncio.run(go())
    blob = cast(CountingBlob, office.store.blobs[0])
    assert blob.size == count * len(piece) >= 50 * 1024 * 1024
    assert blob.largest <= CHUNK + 4


# --- faults


@pytest.mark.parametrize(
    ("fault", "reply"), [(StoreFault("sync failed"), b"451 4.3.0"), (StorageFull("disk full"), b"452 4.3.1")]
)
@pytest.mark.parametrize("where", ["write", "deliver"])
def test_nothing_is_accepted_that_the_store_has_not_kept(
    fault: Exception, reply: bytes, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office()
    if where == "write":
        office.store.blob_fault = fault
    else:
        office.store.fault = fault
    with caplog.at_level(logging.INFO):
        assert send(office, stuff(b"x\r\nQUIT\r\n" * 100))[:9] == reply
    assert office.empty and office.store.blobs[0].discarded
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    office.store.blob_fault = office.store.fault = None
    assert send(office, stuff(b"x\r\n")).startswith(b"250")


@pytest.mark.parametrize("where", ["write", "deliver"])
def test_a_bug_within_a_letter_ends_the_session(where: str, caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    if where == "write":
        office.store.blob_fault = RuntimeError("bug")
    else:
        office.store.fault = RuntimeError("bug")

    async def go() -> bytes:
        async with office.session() as client:
            await begin(client, "alice@example.test")
            await client.raw(b"MAIL FROM:<evil@other.test>\r\n.\r\nNOOP\r\n")
            return await client.eof()

    with caplog.at_level(logging.INFO):
        assert asyncio.run(go()) == b"421 4.3.0 Internal fault, closing\r\n"
    assert office.empty
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_an_account_that_vanished_meanwhile() -> None:
    office = Office()
    office.store.gone.add("alice@example.test")
    assert send(office, stuff(b"x\r\n")) == b"450 4.2.0 Mailbox not available now"


def test_a_letter_that_goes_round_in_circles() -> None:
    office = Office()
    assert send(office, stuff(b"Received: x\r\n" * 51 + b"\r\n")) == b"554 5.4.6 Letter goes round in circles"
    office.talk(f"{IN_DATA}\nC: Received: x\nC: .\nS: 250 *\nC: DATA\nS: 503 5.5.1 Send MAIL first")


# --- submission


def test_submission_repairs_the_header() -> None:
    office = Office()
    office.talk(
        f"""
        {LOGGED_IN}
        C: MAIL FROM:<alice@example.test>
        S: 250 *
        C: RCPT TO:<bob@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: Subject: x
        C: Bcc: carol@example.test
        C:
        C: Bcc: stays
        C: .
        S: 250 *
        """,
        Role.SUBMISSIONS,
        tls=True,
    )
    letter = below_prefix(office.inbox("bob")[0]).decode().split("\r\n")
    assert letter[0].startswith("Message-ID: <") and letter[0].endswith("@mx.example.test>")
    assert letter[1:] == [
        "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        "Subject: x",
        "",
        "Bcc: stays",
        "",
    ]


def test_other_sites_letters_are_never_repaired() -> None:
    office = Office()
    letter = b"Bcc: carol@example.test\r\n\r\nx\r\n"
    send(office, stuff(letter))
    assert below_prefix(office.inbox("alice")[0]) == letter


# --- quota, and the letter's story


def test_where_one_recipient_has_no_room_at_the_end_nobody_has_the_letter() -> None:
    office = Office()
    office.store.quotas["bob@example.test"] = Quota(Usage(0, 0, 5, 0), Usage(0, 0, 0, 0))
    office.talk(f"""
        {BEGUN}
        C: RCPT TO:<bob@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: more than five octets
        C: .
        S: 452 4.2.2 The mailbox has no room for that letter
        C: MAIL FROM:<jo@other.test>
        S: 250 *
    """)
    assert office.empty


def test_who_brought_a_letter_is_kept_with_it() -> None:
    office = Office()
    letter = "C: DATA\nS: 354 *\nC: x\nC: .\nS: 250 2.6.0 Letter accepted as *\n"
    office.talk(f"{BEGUN}\n{letter}")
    envelope = "C: MAIL FROM:<alice@example.test>\nS: 250 *\nC: RCPT TO:<bob@example.test>\nS: 250 *\n"
    office.talk(f"{LOGGED_IN}\n{envelope}{letter}", Role.SUBMISSION, tls=True)
    (stranger, first), (login, second) = office.store.told
    assert re.fullmatch(r"smtp-[0-9a-z]+", stranger)
    assert re.fullmatch(r"alice@example\.test submission-[0-9a-z]+", login)
    said = f"id={stranger.removeprefix('smtp-')}.1 peer=192.0.2.1 with=SMTP recipients=1 checks=loop"
    assert first == f"{said} from=<jo@other.test>"
    assert " with=SMTP " in second
    assert "secret" not in second
