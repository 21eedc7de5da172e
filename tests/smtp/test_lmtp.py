"""LMTP (RFC 2033): the same conversation, but for LHLO and a reply for each recipient."""

from __future__ import annotations

import asyncio
import logging

import pytest

from postroom.net.limits import SMTP_RECIPIENTS
from postroom.smtp.session import Role
from postroom.store.interface import StorageFull, StoreFault
from postroom.store.values import Quota, Usage
from tests.smtp.office import Office

OFFERED = """
    S: 250-mx.example.test
    S: 250-8BITMIME
    S: 250-BINARYMIME
    S: 250-PIPELINING
    S: 250-ENHANCEDSTATUSCODES
    S: 250-SMTPUTF8
    S: 250-LIMITS RCPTMAX=1000
    S: 250-SIZE 100000
    S: 250-CHUNKING
    S: 250-EXPN
    S: 250-HELP
    S: 250 STARTTLS
"""
HELLO = f"""
    S: 220 mx.example.test LMTP Postroom
    C: LHLO client.test
    {OFFERED}
"""
BEGUN = f"""
    {HELLO}
    C: MAIL FROM:<jo@other.test>
    S: 250 2.1.0 *
"""
FULL = Quota(Usage(0, 9, 0, 9), Usage(0, 0, 0, 0))
TINY = Quota(Usage(0, 0, 5, 0), Usage(0, 0, 0, 0))
"""Has room for five octets."""


def talk(office: Office, text: str) -> None:
    office.talk(text, Role.LMTP)


def rcpt(*names: str, reply: str = "250 2.1.5 *") -> str:
    return "\n".join(f"C: RCPT TO:<{name}@example.test>\nS: {reply}" for name in names)


DATA = "C: DATA\nS: 354 *\nC: Subject: x\nC:\nC: more than five octets\nC: ."


# --- the greeting


def test_the_scenario_of_the_rfc() -> None:
    # RFC 2033 4.2
    office = Office()
    talk(
        office,
        f"""
        S: 220 mx.example.test LMTP Postroom
        C: LHLO foo.edu
        {OFFERED}
        C: MAIL FROM:<chris@bar.com>
        S: 250 2.1.0 Sender ok
        C: RCPT TO:<alice@example.test>
        S: 250 2.1.5 Recipient ok
        C: RCPT TO:<jones@example.test>
        S: 550 5.1.1 No such user here
        C: RCPT TO:<bob@example.test>
        S: 250 2.1.5 Recipient ok
        C: DATA
        S: 354 *
        C: Blah blah blah...
        C: ...etc. etc. etc.
        C: .
        S: 250 2.6.0 Letter accepted as *
        S: 250 2.6.0 Letter accepted as *
        C: QUIT
        S: 221 2.0.0 Goodbye
        S! end
        """,
    )
    assert len(office.inbox("alice")) == len(office.inbox("bob")) == 1
    assert b"Received: from foo.edu ([192.0.2.1])\r\n\tby mx.example.test with LMTP id " in office.inbox("bob")[0]


def test_lhlo_is_the_only_greeting() -> None:
    talk(
        Office(),
        """
        S: 220 *
        C: EHLO client.test
        S: 500 5.5.1 Command unrecognized
        C: HELO client.test
        S: 500 5.5.1 Command unrecognized
        C: MAIL FROM:<>
        S: 503 5.5.1 Send LHLO first
        """,
    )


@pytest.mark.parametrize("role", [Role.SMTP, Role.SUBMISSION])
def test_smtp_knows_no_lhlo(role: Role) -> None:
    Office().talk("S: 220 *\nC: LHLO client.test\nS: 500 5.5.1 Command unrecognized", role)


def test_nobody_logs_in_and_nothing_is_relayed() -> None:
    talk(
        Office(),
        f"""
        {BEGUN}
        C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=
        S: 502 5.5.1 *
        C: RCPT TO:<jo@elsewhere.test>
        S: 550 5.7.1 Relaying denied
        C: SEND FROM:<>
        S: 502 *
        C: RSET
        S: 250 *
        C: MAIL FROM:<> AUTH=<>
        S: 555 5.5.4 *
        C: HELP
        S: 214-2.0.0 LHLO MAIL RCPT DATA BDAT RSET VRFY EXPN NOOP HELP STARTTLS QUIT
        S: 214 *
        """,
    )


# --- a reply for each recipient


def test_without_a_recipient_there_is_one_reply() -> None:
    # RFC 2033 4.2
    talk(
        Office(),
        f"""
        {BEGUN}
        {rcpt("nobody", reply="550 5.1.1 *")}
        C: DATA
        S: 503 5.5.1 No valid recipients
        C< BDAT 6 LAST\\r\\nabcdef
        S: 503 5.5.1 No valid recipients
        C: NOOP
        S: 250 2.0.0 Ok
        """,
    )


def test_each_recipient_is_answered_for_in_order() -> None:
    office = Office()
    office.store.quotas["bob@example.test"] = TINY
    talk(
        office,
        f"""
        {BEGUN}
        {rcpt("bob", "alice", "bob")}
        {DATA}
        S: 452 4.2.2 The mailbox has no room for that letter
        S: 250 2.6.0 Letter accepted as *
        S: 452 4.2.2 *
        C: NOOP
        S: 250 2.0.0 Ok
        """,
    )
    assert len(office.inbox("alice")) == 1
    assert not office.inbox("bob")


def test_an_address_of_several_accounts_is_delivered_where_one_of_them_has_it() -> None:
    office = Office()
    office.store.also("info@example.test", "bob@example.test", "alice@example.test")
    office.store.also("bobs@example.test", "bob@example.test")
    office.store.quotas["bob@example.test"] = TINY
    talk(
        office,
        f"""
        {BEGUN}
        {rcpt("info", "bobs", "alice")}
        {DATA}
        S: 250 2.6.0 *
        S: 452 4.2.2 *
        S: 250 2.6.0 *
        """,
    )
    assert len(office.inbox("alice")) == 1
    assert not office.inbox("bob")


def test_an_account_that_vanished_meanwhile() -> None:
    office = Office()
    office.store.gone.add("bob@example.test")
    talk(office, f"{BEGUN}\n{rcpt('alice', 'bob')}\n{DATA}\nS: 250 2.6.0 *\nS: 450 4.2.0 *\nC: NOOP\nS: 250 *")


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ("a\\nb", "550 5.6.0 Bare CR or LF in the letter"),
        ("a\\0b", "550 5.6.0 NUL in the letter"),
        ("Received: x\\r\\n" * 51, "554 5.4.6 *"),
    ],
)
def test_a_letter_that_cannot_be_taken_is_refused_for_each(body: str, reply: str) -> None:
    office = Office()
    data = f"C: DATA\nS: 354 *\nC< {body}\\r\\n.\\r\\n\n"
    each = f"S: {reply}\n" * 3
    talk(office, f"{BEGUN}\n{rcpt('alice', 'bob', 'alice+x')}\n{data}{each}C: NOOP\nS: 250 *")
    assert office.empty


def test_a_letter_that_is_too_big_is_refused_for_each() -> None:
    office = Office(max_message_size=100)
    text = f"{BEGUN}\n{rcpt('alice', 'bob')}\nC: DATA\nS: 354 *\nC: {'x' * 100}\nC: .\nS: 552 *\nS: 552 *"
    talk(office, f"{text}\nC: NOOP\nS: 250 *".replace("SIZE 100000", "SIZE 100"))


@pytest.mark.parametrize(
    ("fault", "reply"), [(StoreFault("sync failed"), "451 4.3.0 *"), (StorageFull("disk full"), "452 4.3.1 *")]
)
@pytest.mark.parametrize("where", ["write", "deliver"])
def test_our_own_fault_is_told_for_each(
    fault: Exception, reply: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    office = Office()
    if where == "write":
        office.store.blob_fault = fault
    else:
        office.store.fault = fault
    with caplog.at_level(logging.INFO):
        talk(office, f"{BEGUN}\n{rcpt('alice', 'bob')}\n{DATA}\nS: {reply}\nS: {reply}\nC: NOOP\nS: 250 *")
    assert office.empty
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_chunks_have_one_reply_each_and_the_last_one_for_each_recipient() -> None:
    office = Office()
    office.store.quotas["bob@example.test"] = TINY
    talk(
        office,
        f"""
        {BEGUN}
        {rcpt("bob", "alice")}
        C< BDAT 10\\r\\nSubject: x
        S: 250 2.0.0 10 octets received
        C< BDAT 7 LAST\\r\\n\\r\\n\\r\\nx\\r\\n
        S: 452 4.2.2 *
        S: 250 2.6.0 *
        C: MAIL FROM:<jo@other.test>
        S: 250 *
        {rcpt("alice+y", "alice+x")}
        C< BDAT 3 LAST\\r\\na\\nb
        S: 550 5.6.0 *
        S: 550 5.6.0 *
        C: NOOP
        S: 250 *
        """,
    )
    assert len(office.inbox("alice")) == 1


def test_a_full_mailbox_is_told_at_rcpt() -> None:
    office = Office()
    office.store.quotas["bob@example.test"] = FULL
    talk(office, f"{BEGUN}\n{rcpt('bob', reply='452 4.2.2 *')}\n{rcpt('alice')}\n{DATA}\nS: 250 2.6.0 *")


@pytest.mark.parametrize(("tls", "word"), [(False, b"UTF8LMTP"), (True, b"UTF8LMTPS")])
def test_the_trace_tells_the_protocol(tls: bool, word: bytes) -> None:
    office = Office()
    begun = BEGUN.replace("jo@other.test>", "jö@other.test> SMTPUTF8")
    if tls:
        begun = begun.replace("S: 250-HELP\n    S: 250 STARTTLS", "S: 250 HELP")
    office.talk(f"{begun}\n{rcpt('alice')}\n{DATA}\nS: 250 *", Role.LMTP, tls=tls)
    assert b" with %b id " % word in office.inbox("alice")[0]


def test_the_session_is_lmtps_in_the_story() -> None:
    office = Office()
    talk(office, f"{BEGUN}\n{rcpt('alice')}\n{DATA}\nS: 250 *")
    assert office.store.told[0][0].startswith("lmtp-")


def test_a_thousand_recipients_and_no_more_also_where_they_are_one() -> None:
    office = Office()

    async def go() -> list[bytes]:
        async with office.session(Role.LMTP) as client:
            await client.line()
            await client.send("LHLO client.test", "MAIL FROM:<jo@other.test>")
            await client.lines(b"250 2.1.0")
            count = SMTP_RECIPIENTS * 10
            for _ in range(10):
                await client.send(*["RCPT TO:<alice@example.test>"] * SMTP_RECIPIENTS)
            told = [(await client.line())[:9] for _ in range(count)]
            await client.send("DATA", "x", ".", "NOOP")
            assert (await client.line()).startswith(b"354")
            replies = await client.lines(b"250 2.0.0")
            assert all(reply.startswith(b"250 2.6.0") for reply in replies[:-1])
            assert len(replies) == SMTP_RECIPIENTS + 1
            return told

    told = asyncio.run(go())
    assert told == [b"250 2.1.5"] * SMTP_RECIPIENTS + [b"452 4.5.3"] * 9 * SMTP_RECIPIENTS
    assert len(office.inbox("alice")) == 1
