"""BDAT and BINARYMIME (RFC 3030)."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net import limits
from postroom.net.limits import (
    BAD_COMMANDS,
    SMTP_DATA_LINE_OCTETS,
    SMTP_DATA_RATE_SECONDS,
    SMTP_JOINED_OCTETS,
)
from postroom.smtp import receiving
from postroom.smtp.grammar import write_bdat
from postroom.smtp.session import Role
from postroom.store.interface import StorageFull, StoreFault
from tests.smtp.office import BEGUN, EXTENDED, HELLO, LOGGED_IN, CountingBlob, Office, below_prefix
from tests.talk import Client

BINARY = """
    C: MAIL FROM:<jo@other.test> BODY=BINARYMIME
    S: 250 2.1.0 *
    C: RCPT TO:<alice@example.test>
    S: 250 2.1.5 *
"""


async def begin(client: Client, *parameters: str) -> None:
    """Up to the recipient's reply."""
    await client.line()
    mail = " ".join(("MAIL FROM:<jo@other.test>", *parameters))
    await client.send("EHLO client.test", mail, "RCPT TO:<alice@example.test>")
    await client.lines(b"250 2.1.5")


def send(office: Office, *chunks: bytes, binary: bool = False, then: tuple[str, ...] = ("QUIT",)) -> list[bytes]:
    """The replies to a letter in chunks, all in one write, and to what follows it."""

    async def go() -> list[bytes]:
        async with office.session() as client:
            await begin(client, *(["BODY=BINARYMIME"] if binary else []))
            last = len(chunks) - 1
            said = [write_bdat(len(each), last=number == last) + each for number, each in enumerate(chunks)]
            await client.raw(b"".join(said))
            await client.send(*then)
            return (await client.eof()).splitlines()

    return asyncio.run(go())


# --- what comes in


def test_the_scenario_of_the_rfc() -> None:
    # RFC 3030 4.1, 4.2
    office = Office()
    office.talk(f"""
        {EXTENDED}
        C: MAIL FROM:<Sam@Random.com>
        S: 250 2.1.0 Sender ok
        C: RCPT TO:<alice@example.test>
        S: 250 2.1.5 Recipient ok
        C: BDAT 14
        C: Subject: x y
        S: 250 2.0.0 14 octets received
        C< BDAT 6 LAST\\r\\n\\r\\nHi\\r\\n
        S: 250 2.6.0 Letter accepted as {{id}}
        C: QUIT
        S: 221 2.0.0 Goodbye
        S! end
    """)
    assert below_prefix(office.inbox("alice")[0]) == b"Subject: x y\r\n\r\nHi\r\n"


def test_an_empty_last_chunk_ends_the_letter() -> None:
    office = Office()
    assert [reply[:3] for reply in send(office, b"Subject: x\r\n\r\n", b"")] == [b"250", b"250", b"221"]
    assert [reply[:3] for reply in send(office, b"")] == [b"250", b"221"]
    assert [below_prefix(each) for each in office.inbox("alice")] == [b"Subject: x\r\n\r\n", b""]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_a_binary_letter_is_kept_octet_for_octet_however_it_is_cut(letter: bytes, cuts: list[int]) -> None:
    office = Office()
    at = [0, *sorted(min(cut, len(letter)) for cut in cuts), len(letter)]
    replies = send(office, *(letter[start:end] for start, end in itertools.pairwise(at)), binary=True)
    assert [reply[:3] for reply in replies] == [b"250"] * (len(cuts) + 1) + [b"221"]
    assert below_prefix(office.inbox("alice")[0]) == letter


@pytest.mark.parametrize(
    "octets", [b"\r", b"\n", b"\0", b"\r\r\n", b"\n.\r\n", b"\r\n.\r\n", b"." * 10, b"\x80\xff"]
)
def test_binarymime_keeps_bare_cr_lf_and_nul(octets: bytes) -> None:
    office = Office()
    assert send(office, b"Subject: x\r\n\r\n" + octets, binary=True)[0].startswith(b"250 2.6.0")
    assert below_prefix(office.inbox("alice")[0]) == b"Subject: x\r\n\r\n" + octets


def test_dots_are_no_end_and_are_not_taken_out() -> None:
    office = Office()
    letter = b"Subject: x\r\n\r\n..\r\n.\r\n.a\r\n"
    assert send(office, letter)[0].startswith(b"250 2.6.0")
    assert below_prefix(office.inbox("alice")[0]) == letter


def test_received_tells_nothing_else_than_with_data() -> None:
    office = Office()
    send(office, b"x\r\n")
    assert b" with ESMTP id " in office.inbox("alice")[0]


def test_submission_repairs_the_header_of_chunks_too() -> None:
    office = Office()
    office.talk(
        f"""
        {LOGGED_IN}
        C: MAIL FROM:<alice@example.test>
        S: 250 *
        C: RCPT TO:<bob@example.test>
        S: 250 *
        C< BDAT 18\\r\\nSubject: x\\r\\nBcc: b
        S: 250 2.0.0 *
        C< BDAT 14 LAST\\r\\nob@x\\r\\n\\r\\nBody\\r\\n
        S: 250 2.6.0 *
        """,
        Role.SUBMISSIONS,
        tls=True,
    )
    letter = below_prefix(office.inbox("bob")[0]).decode().split("\r\n")
    assert letter[0].startswith("Message-ID: <")
    assert letter[1:] == [
        "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        "Subject: x",
        "",
        "Body",
        "",
    ]


# --- nothing is smuggled


@pytest.mark.parametrize(
    "letter", [b"a\rb\r\n", b"a\nb\r\n", b"a\r", b"\n", b"a\r\r\n", b"a\n.\r\nMAIL FROM:<e@e.test>\r\n", b"a\r\n\r"]
)
def test_without_binarymime_bare_line_ends_refuse_the_letter_at_its_end(letter: bytes) -> None:
    office = Office()
    assert send(office, letter, then=("NOOP", "QUIT")) == [
        b"550 5.6.0 Bare CR or LF in the letter",
        b"250 2.0.0 Ok",
        b"221 2.0.0 Goodbye",
    ]
    for at in range(len(letter) + 1):
        # Cut anywhere: either the chunk in which it shows is refused, or the last one.
        replies = send(office, letter[:at], letter[at:], then=("RSET", "QUIT"))
        assert [reply[:3] for reply in replies] in (
            [b"250", b"550", b"250", b"221"],
            [b"550", b"503", b"250", b"221"],
        )
    assert office.empty and all(blob.discarded for blob in office.store.blobs)


def test_a_crlf_that_is_cut_between_two_chunks_is_one() -> None:
    office = Office()
    assert send(office, b"Subject: x\r", b"\n\r", b"\n")[2].startswith(b"250 2.6.0")
    assert below_prefix(office.inbox("alice")[0]) == b"Subject: x\r\n\r\n"


def test_a_nul_refuses_the_letter() -> None:
    office = Office()
    assert send(office, b"a\0b\r\n")[0] == b"550 5.6.0 NUL in the letter"
    assert send(office, b"a\0", b"b\r\n", then=("RSET", "QUIT"))[:2] == [
        b"550 5.6.0 NUL in the letter",
        b"503 5.5.1 A chunk of this letter was refused, send RSET",
    ]
    assert office.empty


def test_the_octets_of_a_refused_chunk_are_never_run() -> None:
    # CVE-2017-16943 and its kin; RFC 3030 2
    chunk = "MAIL FROM:<evil@other.test>\\r\\nRCPT TO:<alice@example.test>\\r\\n"
    octets = len(chunk) - chunk.count("\\")
    office = Office()
    office.talk(f"""
        {HELLO}
        C< BDAT {octets}\\r\\n{chunk}BDAT 5 LAST\\r\\nQUIT\\r
        C< NOOP\\r\\n
        S: 503 5.5.1 Send MAIL first
        S: 503 5.5.1 Send MAIL first
        S: 250 *
        C: DATA
        S: 503 *
        C: BDAT 0 LAST
        S: 503 *
    """)
    office.talk(f"S: 220 *\nC< BDAT {octets}\\r\\n{chunk}\nS: 503 5.5.1 Send EHLO first\nC: NOOP\nS: 250 *")
    office.talk(f"{HELLO}\nC< BDAT {octets} LAST\\r\\n{chunk}\nS: 530 5.7.0 *\nC: NOOP\nS: 250 *", Role.SUBMISSION)
    assert office.empty and not office.store.blobs


@pytest.mark.parametrize("argument", ["x", "-1", "1 MORE", "99999999999999999999999", "+5", "1_0", ""])
@pytest.mark.parametrize("before", [HELLO, BEGUN])
def test_a_chunk_of_unknown_length_ends_the_session(argument: str, before: str) -> None:
    Office().talk(f"{before}\nC< BDAT {argument}\\r\\nNOOP\\r\\n\nS: 501 5.5.4 *\nS! end")


@pytest.mark.parametrize("before", [HELLO, BEGUN])
def test_a_chunk_that_is_cut_ends_the_session_with_the_connection(before: str) -> None:
    office = Office()
    office.talk(f"{before}\nC: BDAT 1000000\nC: NOOP")
    office.talk(f"{before}\nC: BDAT 1000000\nC: NOOP\nC! abort")
    assert office.empty and all(blob.discarded for blob in office.store.blobs)


# --- order


def test_after_a_refused_chunk_only_rset_helps() -> None:
    office = Office(max_message_size=100)
    office.talk(f"""
        {BEGUN}
        C< BDAT 101\\r\\n{"x" * 101}
        S: 552 5.3.4 *
        C< BDAT 5\\r\\nQUIT\\r
        S: 503 5.5.1 A chunk of this letter was refused, send RSET
        C: DATA
        S: 503 5.5.1 A chunk of this letter was refused, send RSET
        C: RCPT TO:<bob@example.test>
        S: 503 5.5.1 A chunk of this letter was refused, send RSET
        C: MAIL FROM:<>
        S: 503 5.5.1 Not during a mail transaction
        C: RSET
        S: 250 *
        {BEGUN.removeprefix(HELLO)}
        C< BDAT 3 LAST\\r\\nx\\r\\n
        S: 250 2.6.0 *
    """)
    assert len(office.inbox("alice")) == 1


def test_with_its_last_chunk_a_refused_letter_is_over() -> None:
    office = Office(max_message_size=100)
    replies = send(office, b"x" * 101, b"y", b"", then=("MAIL FROM:<>", "QUIT"))
    assert [reply[:3] for reply in replies] == [b"552", b"503", b"503", b"250", b"221"]
    assert [r[:3] for r in send(office, b"x" * 101, then=("MAIL FROM:<>", "QUIT"))] == [b"552", b"250", b"221"]
    assert office.empty


def test_chunks_and_data_are_not_mixed() -> None:
    office = Office()
    office.talk(f"""
        {BEGUN}
        C< BDAT 3\\r\\na\\r\\n
        S: 250 2.0.0 *
        C: DATA
        S: 503 5.5.1 Not between chunks of a letter
        C: RCPT TO:<bob@example.test>
        S: 503 5.5.1 Not between chunks of a letter
        C< BDAT 3 LAST\\r\\nb\\r\\n
        S: 250 2.6.0 *
        C: BDAT 0 LAST
        S: 503 5.5.1 Send MAIL first
        {BEGUN.removeprefix(HELLO)}
        C: DATA
        S: 354 *
        C: c
        C: .
        S: 250 2.6.0 *
    """)
    assert [below_prefix(each) for each in office.inbox("alice")] == [b"a\r\nb\r\n", b"c\r\n"]


def test_a_binary_letter_does_not_come_by_data() -> None:
    office = Office()
    office.talk(f"""
        {HELLO}
        {BINARY}
        C: DATA
        S: 503 5.5.1 A binary letter comes by BDAT
        C: RSET
        S: 250 *
    """)
    assert office.empty


def test_rset_clears_the_chunks() -> None:
    office = Office()
    office.talk(f"""
        {BEGUN}
        C< BDAT 3\\r\\na\\r\\n
        S: 250 2.0.0 *
        C: RSET
        S: 250 *
        {BEGUN.removeprefix(HELLO)}
        C< BDAT 3 LAST\\r\\nb\\r\\n
        S: 250 2.6.0 *
    """)
    assert office.store.blobs[0].discarded
    assert [below_prefix(each) for each in office.inbox("alice")] == [b"b\r\n"]


def test_chunks_without_a_recipient() -> None:
    office = Office()
    office.talk(f"""
        {HELLO}
        C: MAIL FROM:<jo@other.test>
        S: 250 *
        C: RCPT TO:<nobody@example.test>
        S: 550 *
        C< BDAT 5\\r\\nQUIT\\r
        S: 554 5.5.1 No valid recipients
        C: RCPT TO:<alice@example.test>
        S: 503 5.5.1 A chunk of this letter was refused, send RSET
        C< BDAT 5 LAST\\r\\nQUIT\\r
        S: 503 *
        C: NOOP
        S: 250 *
    """)
    assert not office.store.blobs


def test_chunks_on_their_way_behind_a_refused_one_are_no_bad_commands() -> None:
    # RFC 3030 2: a server that pipelines "MUST be prepared to accept and discard" them
    office = Office(max_message_size=100)
    replies = send(office, b"x" * 101, *[b"QUIT\r\n"] * 3 * BAD_COMMANDS, b"", then=("NOOP", "QUIT"))
    assert [reply[:3] for reply in replies] == [b"552"] + [b"503"] * (3 * BAD_COMMANDS + 1) + [b"250", b"221"]


# --- limits


@pytest.mark.parametrize("binary", [False, True])
def test_a_letter_of_the_size_is_taken_and_one_octet_more_is_not(binary: bool) -> None:
    office = Office(max_message_size=1000)
    piece = b"x" * 498 + b"\r\n"
    assert send(office, piece, piece, binary=binary)[1].startswith(b"250 2.6.0")
    assert send(office, piece, b"y" + piece, binary=binary)[1].startswith(b"552 5.3.4")
    assert send(office, piece * 200, b"", binary=binary)[:2] == [
        b"552 5.3.4 Letter bigger than this system takes",
        b"503 5.5.1 A chunk of this letter was refused, send RSET",
    ]
    assert len(office.inbox("alice")) == 1


def test_a_size_of_twenty_digits_is_read_over_and_refused() -> None:
    office = Office()

    async def go() -> bytes:
        async with office.session() as client:
            await begin(client)
            await client.send("BDAT 99999999999999999999", "QUIT")
            for _ in range(20):
                await asyncio.sleep(0)
            client.server.deadline(0.001)
            return await client.eof()

    assert asyncio.run(go()) == b"421 4.4.2 Waited too long, closing\r\n"
    assert office.empty


def test_chunks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.SMTP_CHUNKS * 512 >= 50 * 1024 * 1024
    monkeypatch.setattr(receiving, "SMTP_CHUNKS", 50)
    office = Office()
    assert all(each.startswith(b"250") for each in send(office, *[b"ab\r\n"] * 50)[:-1])
    replies = send(office, *[b"ab\r\n"] * 51, then=("NOOP", "QUIT"))
    assert replies[50] == b"552 5.3.4 Letter in more chunks than this system takes"
    replies = send(office, *[b"ab\r\n"] * 5000)
    assert [reply[:3] for reply in replies] == [b"250"] * 50 + [b"552"] + [b"503"] * 4949 + [b"221"]
    assert len(office.inbox("alice")) == 1


def test_tiny_chunks_cost_no_more_than_their_octets() -> None:
    office = Office()
    pieces = [b"ab\r\n"] * (2 * SMTP_JOINED_OCTETS // 4 + 1)
    assert send(office, *pieces)[-2].startswith(b"250 2.6.0")
    assert below_prefix(office.inbox("alice")[0]) == b"".join(pieces)
    assert office.store.blobs[0].writes == 3


def test_a_text_line_has_at_most_a_million_octets_and_a_binary_one_any() -> None:
    office = Office(max_message_size=10_000_000)
    line = b"x" * (SMTP_DATA_LINE_OCTETS - 2) + b"\r\n"
    assert send(office, b"a\r\n" + line[:500], line[500:])[1].startswith(b"250")
    assert send(office, b"a\r\nx" + line[:500], line[500:])[1] == b"554 5.6.0 Line too long in the letter"
    assert send(office, b"a\r\nx" + line * 3, binary=True)[0].startswith(b"250")


def test_fifty_mebibytes_stream_in_bounded_memory() -> None:
    office = Office(max_message_size=64 * 1024 * 1024)
    office.store.blob_type = CountingBlob
    chunk = (b"x" * 76 + b"\r\n") * 13_000

    async def go() -> None:
        async with office.session() as client:
            await begin(client)
            for _ in range(52):
                await client.raw(write_bdat(len(chunk)) + chunk)
                assert (await client.line()).startswith(b"250 2.0.0")
            await client.send("BDAT 0 LAST")
            assert (await client.line()).startswith(b"250 2.6.0")

    asyncio.run(go())
    blob = cast(CountingBlob, office.store.blobs[0])
    assert blob.size == 52 * len(chunk) >= 50 * 1024 * 1024
    assert blob.largest <= 65_536 + 1


def test_who_trickles_a_chunk_is_left() -> None:
    office = Office()

    async def go() -> bytes:
        async with office.session() as client:
            await begin(client)
            await client.send("BDAT 1000")
            for _ in range(10):
                await asyncio.sleep(0)
            office.clock.seconds = SMTP_DATA_RATE_SECONDS + 1
            await client.raw(b"x\r\n")
            return await client.eof()

    assert asyncio.run(go()) == b"421 4.4.2 Data came too slowly, closing\r\n"
    assert office.empty and office.store.blobs[0].discarded


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
        replies = send(office, b"x" * 5000, b"y\r\n", then=("RSET", "QUIT"))
    assert office.empty and office.store.blobs[0].discarded
    assert replies[0 if where == "write" else 1][:9] == reply
    assert [reply[:3] for reply in replies[2:]] == [b"250", b"221"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    office.store.blob_fault = office.store.fault = None
    assert send(office, b"x\r\n")[0].startswith(b"250")


def test_a_bug_within_a_chunk_ends_the_session(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.store.blob_fault = RuntimeError("bug")
    with caplog.at_level(logging.INFO):
        replies = send(office, b"MAIL FROM:<evil@other.test>\r\n" * 200, b"x")
    assert replies == [b"421 4.3.0 Internal fault, closing"]
    assert office.empty
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_shutdown_lets_a_chunk_come_to_its_end() -> None:
    office = Office()
    office.talk(f"""
        {BEGUN}
        C< BDAT 10\\r\\nab
        S! part
        C< cdefgh\\r\\n
        S: 250 2.0.0 10 octets received
        S: 421 4.3.2 *
        S! end
    """)
    assert office.empty and office.store.blobs[0].discarded


def test_the_tap_shows_commands_and_no_octets_of_chunks() -> None:
    talked = Office().talk(f"{BEGUN}\nC< BDAT 6 LAST\\r\\nhush\\r\\n\nS: 250 *")
    said = b"".join(row.data for row in talked.conversations[1].rows)
    assert b"BDAT 6 LAST" in said
    assert b"hush" not in said
