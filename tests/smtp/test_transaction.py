from __future__ import annotations

import asyncio
import logging

import pytest

from postroom.net.limits import SMTP_RECIPIENTS, SMTP_UNKNOWN_RECIPIENTS
from postroom.net.transport import Address
from postroom.smtp.session import Role
from postroom.store.values import Quota, Usage
from tests.smtp.office import BEGUN, HELLO, LOGGED_IN, OFFERED, Office

FROM_JO = HELLO + "\nC: MAIL FROM:<jo@other.test>\nS: 250 *\n"


# --- MAIL


@pytest.mark.parametrize(
    "path", ["<jo@other.test>", "<>", "<@relay.test:jo@other.test>", '<"jo smith"@other.test>']
)
def test_senders(path: str) -> None:
    Office().talk(f"{HELLO}\nC: MAIL FROM:{path}\nS: 250 2.1.0 Sender ok")


@pytest.mark.parametrize("path", ["jo@other.test", "<jo>", "<jo@>", "<jo@a@b>", "<postmaster>", "<jo@[1.2.3]>", ""])
def test_bad_senders(path: str) -> None:
    Office().talk(f"{HELLO}\nC: MAIL FROM:{path}\nS: 501 5.1.7 Bad sender address syntax")


@pytest.mark.parametrize(
    "argument", ["<jo@other.test>", "TO:<jo@other.test>", "FROM:<jo@other.test>SIZE=1", "FROM:<> ="]
)
def test_mail_that_is_badly_said(argument: str) -> None:
    Office().talk(f"{HELLO}\nC: MAIL {argument}\nS: 501 5.5.4 *\nC: MAIL\nS: 501 5.5.4 *")


def test_one_letter_at_a_time() -> None:
    Office().talk(f"""
        {BEGUN}
        C: MAIL FROM:<>
        S: 503 5.5.1 Not during a mail transaction
        C: RCPT TO:<bob@example.test>
        S: 250 *
    """)


def test_letters_need_a_greeting() -> None:
    Office().talk(
        "S: 220 *\nC: MAIL FROM:<>\nS: 503 5.5.1 Send EHLO first\nC: RCPT TO:<a@b>\nS: 503 *\nC: DATA\nS: 503 *"
    )


def test_a_size_that_is_announced_too_big_is_refused_at_once() -> None:
    Office(max_message_size=1000).talk(f"""
        {HELLO}
        C: MAIL FROM:<jo@other.test> SIZE=1001
        S: 552 5.3.4 *
        C: MAIL FROM:<jo@other.test> SIZE=99999999999999999999
        S: 552 5.3.4 *
        C: MAIL FROM:<jo@other.test> SIZE=1000
        S: 250 2.1.0 *
    """)


@pytest.mark.parametrize("size", ["999999999999999999999", "-1", "1_0", "+1", "x", "9" * 1000])
def test_a_size_is_a_number(size: str) -> None:
    Office().talk(f"{HELLO}\nC: MAIL FROM:<jo@other.test> SIZE={size}\nS: 501 5.5.4 *")


def test_a_size_has_a_value_and_comes_once() -> None:
    Office().talk(f"""
        {HELLO}
        C: MAIL FROM:<jo@other.test> SIZE
        S: 501 5.5.4 *
        C: MAIL FROM:<jo@other.test> SIZE=1 size=2
        S: 501 5.5.4 *
    """)


@pytest.mark.parametrize(
    ("body", "reply"), [("7BIT", 250), ("8bitmime", 250), ("BINARYMIME", 250), ("9BIT", 501), ("", 501)]
)
def test_bodies(body: str, reply: int) -> None:
    Office().talk(f"{HELLO}\nC: MAIL FROM:<jo@other.test> BODY={body}\nS: {reply} *")


@pytest.mark.parametrize(
    "parameter",
    [
        "XVERP",
        "AUTH=<>",
        # What concerns the queue: RFC 3461, 2852, 6710, 4865, 8689
        "RET=HDRS",
        "ENVID=x",
        "BY=60;R",
        "MT-PRIORITY=3",
        "HOLDFOR=60",
        "HOLDUNTIL=2030-01-01T00:00:00Z",
        "REQUIRETLS",
    ],
)
def test_parameters_that_are_not_offered(parameter: str) -> None:
    Office().talk(f"{HELLO}\nC: MAIL FROM:<jo@other.test> {parameter}\nS: 555 5.5.4 *")


@pytest.mark.parametrize(("value", "reply"), [("<>", 250), ("e+3Dmc2@example.com", 250), ("jo", 501), ("a+3", 501)])
def test_auth_is_read_and_not_believed(value: str, reply: int) -> None:
    Office().talk(
        f"{LOGGED_IN}\nC: MAIL FROM:<alice@example.test> AUTH={value}\nS: {reply} *", Role.SUBMISSIONS, tls=True
    )


@pytest.mark.parametrize("octets", ["\\xc3\\xb6", "\\xff", "\\x80"])
def test_addresses_are_ascii_unless_smtputf8_was_said(octets: str) -> None:
    # RFC 6531 3.5
    Office().talk(f"""
        {HELLO}
        C< MAIL FROM:<{octets}@other.test>\\r\\n
        S: 553 5.6.7 Addresses beyond ASCII need SMTPUTF8
        C: MAIL FROM:<>
        S: 250 *
        C< RCPT TO:<{octets}@example.test>\\r\\n
        S: 553 5.6.7 Addresses beyond ASCII need SMTPUTF8
    """)


# --- RCPT: whom mail is taken for


@pytest.mark.parametrize(
    "path",
    [
        "<alice@example.test>",
        "<ALICE@Example.TEST>",
        "<alice@example.org>",
        "<alice+lists@example.test>",
        '<"alice"@example.test>',
        "<postmaster>",
        "<PostMaster@example.test>",
        "<@relay.other.test,@x:alice@example.test>",
    ],
)
def test_recipients(path: str) -> None:
    office = Office()
    office.store.also("alice@example.org", "alice@example.test")
    office.talk(f"{FROM_JO}\nC: RCPT TO:{path}\nS: 250 2.1.5 Recipient ok")


@pytest.mark.parametrize(
    "path", ["alice@example.test", "<alice>", "<>", "<alice@example.test@other.test>", "<a b@example.test>"]
)
def test_bad_recipients(path: str) -> None:
    Office().talk(f"{FROM_JO}\nC: RCPT TO:{path}\nS: 501 5.1.3 Bad recipient address syntax")


@pytest.mark.parametrize("name", ["postmaster", "Postmaster", "alice", "ALICE+tag"])
def test_the_address_that_the_client_came_to_is_ours(name: str) -> None:
    # RFC 5321 4.1.3; 4.5.1: postmaster@[1.2.3.4]
    Office().talk(f"{FROM_JO}\nC: RCPT TO:<{name}@[127.0.0.1]>\nS: 250 2.1.5 *")


@pytest.mark.parametrize(
    ("local", "literal", "reply"),
    [
        ("2001:db8::1", "[IPv6:2001:db8::1]", "250"),
        ("2001:db8::1", "[ipv6:2001:DB8:0:0::1]", "250"),
        ("2001:db8::1", "[IPv6:2001:db8::2]", "550"),
        ("fe80::1%eth0", "[IPv6:fe80::1]", "250"),
        ("192.0.2.25", "[192.0.2.25]", "250"),
        ("192.0.2.25", "[IPv6:::ffff:192.0.2.25]", "550"),
        ("", "[0.0.0.0]", "550"),
    ],
)
def test_literals_of_every_family(local: str, literal: str, reply: str) -> None:
    office = Office()

    async def go() -> bytes:
        async with office.session() as client:
            client.server.local = Address(local, 25)
            await client.line()
            await client.send("HELO client.test", "MAIL FROM:<jo@other.test>", f"RCPT TO:<alice@{literal}>")
            return [await client.line() for _ in range(3)][-1]

    assert asyncio.run(go()).startswith(reply.encode())


def test_a_local_part_has_at_most_64_octets() -> None:
    Office().talk(f"""
        {FROM_JO}
        C: RCPT TO:<{"l" * 64}@example.test>
        S: 550 5.1.1 *
        C: RCPT TO:<{"l" * 65}@example.test>
        S: 501 5.1.3 *
    """)


def test_who_is_not_here_is_refused_at_once() -> None:
    Office().talk(f"""
        {FROM_JO}
        C: RCPT TO:<nobody@example.test>
        S: 550 5.1.1 No such user here
        C: RCPT TO:<carol@example.test>
        S: 550 5.2.1 Mailbox disabled
        C: DATA
        S: 554 5.5.1 No valid recipients
    """)


NOT_OURS = [
    # SECURITY: %-hack, source route, bang, quoted local part, double @, address literal (RFC 5321 7.1)
    ("<jo@other.test>", "550 5.7.1"),
    ("<@example.test:jo@other.test>", "550 5.7.1"),
    ("<@other.test,@example.test:jo@other.test>", "550 5.7.1"),
    ("<jo@[192.0.2.9]>", "550 5.7.1"),
    ("<alice@[127.0.0.2]>", "550 5.7.1"),
    ("<jo@[127.0.0.1]>", "550 5.1.1"),
    ("<alice@[IPv6:::1]>", "550 5.7.1"),
    ("<jo@example.test.other.test>", "550 5.7.1"),
    ("<jo@sub.example.test>", "550 5.7.1"),
    ("<jo%other.test@example.test>", "550 5.1.1"),
    ("<alice%example.test@other.test>", "550 5.7.1"),
    ("<other.test!jo@example.test>", "550 5.1.1"),
    ("<example.test!alice@other.test>", "550 5.7.1"),
    ('<"jo@other.test"@example.test>', "550 5.1.1"),
    ('<"jo@other.test">', "501 5.1.3"),
    ("<jo@other.test@example.test>", "501 5.1.3"),
    ("<@example.test>", "501 5.1.3"),
    ("<|/bin/sh@example.test>", "550 5.1.1"),
    ("</etc/passwd@example.test>", "550 5.1.1"),
    ('<"../alice"@example.test>', "550 5.1.1"),
    ("<$(id)@example.test>", "501 5.1.3"),
]


@pytest.mark.parametrize(("path", "reply"), NOT_OURS)
def test_nothing_is_relayed_for_strangers(path: str, reply: str) -> None:
    office = Office()
    office.talk(f"{FROM_JO}\nC: RCPT TO:{path}\nS: {reply} *\nC: DATA\nS: 554 *")
    office.talk(f"{HELLO}\nC: MAIL FROM:<alice@example.test>\nS: 250 *\nC: RCPT TO:{path}\nS: {reply} *")


def test_mail_for_elsewhere_waits_for_the_relay_even_after_a_login() -> None:
    Office().talk(
        f"""
        {LOGGED_IN}
        C: MAIL FROM:<alice@example.test>
        S: 250 *
        C: RCPT TO:<jo@other.test>
        S: 451 4.3.0 Mail for other sites can't be sent yet
        C: RCPT TO:<bob@example.test>
        S: 250 *
        """,
        Role.SUBMISSIONS,
        tls=True,
    )


def test_an_alias_that_leads_away_waits_for_the_relay_too() -> None:
    office = Office()
    office.store.also("away@example.test", "jo@other.test")
    office.store.also("both@example.test", "jo@other.test", "alice@example.test")
    office.talk(f"""
        {FROM_JO}
        C: RCPT TO:<away@example.test>
        S: 451 4.3.0 *
        C: RCPT TO:<both@example.test>
        S: 451 4.3.0 *
    """)


def test_parameters_of_rcpt_are_not_offered() -> None:
    Office().talk(f"{FROM_JO}\nC: RCPT TO:<alice@example.test> NOTIFY=NEVER\nS: 555 5.5.4 *")


def test_a_thousand_recipients_and_no_more() -> None:
    # RFC 5321 4.5.3.1.8 asks for 100 at least
    office = Office()
    for each in range(SMTP_RECIPIENTS + 1):
        office.store.add(f"u{each}@example.test")

    async def go() -> list[bytes]:
        async with office.session() as client:
            await client.line()
            await client.send("HELO client.test", "MAIL FROM:<jo@other.test>")
            await client.line()
            await client.line()
            paths = [f"RCPT TO:<u{each}@example.test>" for each in range(SMTP_RECIPIENTS + 1)]
            await client.send(*paths, paths[0])
            return [(await client.line())[:9] for _ in range(SMTP_RECIPIENTS + 2)]

    # One that was heard before is welcome again.
    assert asyncio.run(go()) == [b"250 2.1.5"] * SMTP_RECIPIENTS + [b"452 4.5.3", b"250 2.1.5"]


def test_who_guesses_recipients_is_left() -> None:
    office = Office()

    async def go() -> list[bytes]:
        async with office.session() as client:
            await client.line()
            await client.send("HELO client.test", "MAIL FROM:<jo@other.test>")
            await client.line()
            await client.line()
            await client.send(*[f"RCPT TO:<x{each}@example.test>" for each in range(SMTP_UNKNOWN_RECIPIENTS + 5)])
            return (await client.eof()).splitlines()

    replies = asyncio.run(go())
    assert [reply[:9] for reply in replies] == [b"550 5.1.1"] * SMTP_UNKNOWN_RECIPIENTS + [b"421 4.7.0"]


def test_refused_recipients_are_logged_with_the_peer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Office().talk(f"{FROM_JO}\nC: RCPT TO:<jo@elsewhere.test>\nS: 550 *")
    (record,) = caplog.records
    assert "peer=192.0.2.1" in record.getMessage() and '"550 5.7.1"' in record.getMessage()


# --- who may send as whom


@pytest.mark.parametrize(
    ("sender", "reply"),
    [
        ("<alice@example.test>", "250 2.1.0"),
        ("<Alice+work@EXAMPLE.test>", "250 2.1.0"),
        ("<>", "250 2.1.0"),
        ("<info@example.test>", "250 2.1.0"),
        ("<bob@example.test>", "550 5.7.1"),
        ("<nobody@example.test>", "550 5.7.1"),
        ("<alice@other.test>", "550 5.7.1"),
        ("<carol@example.test>", "550 5.7.1"),
    ],
)
def test_a_sender_belongs_to_who_logged_in(sender: str, reply: str) -> None:
    office = Office()
    office.store.also("info@example.test", "alice@example.test", "bob@example.test")
    office.talk(f"{LOGGED_IN}\nC: MAIL FROM:{sender}\nS: {reply} *", Role.SUBMISSIONS, tls=True)


# --- quota


FREE = Usage(0, 0, 0, 0)
FULL = Quota(Usage(0, 9, 0, 9), FREE)


def test_a_full_mailbox_is_told_at_once_and_the_others_get_their_letter(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.store.quotas["bob@example.test"] = FULL
    caplog.set_level(logging.INFO, "postroom")
    office.talk(f"""
        {FROM_JO}
        C: RCPT TO:<bob@example.test>
        S: 452 4.2.2 The mailbox has no room for that letter
        C: RCPT TO:<alice@example.test>
        S: 250 *
        C: RCPT TO:<bob@example.test>
        S: 452 4.2.2 *
        C: DATA
        S: 354 *
        C: x
        C: .
        S: 250 *
    """)
    assert len(office.inbox("alice")) == 1
    assert not office.inbox("bob")
    refused = [each for each in caplog.records if "smtp.recipient-refused" in each.getMessage()]
    assert [each.levelno for each in refused] == [logging.INFO] * 2
    assert "452 4.2.2" in refused[0].getMessage()


def test_the_size_that_was_announced_must_fit() -> None:
    office = Office()
    office.store.quotas["bob@example.test"] = Quota(Usage(900, 1, 1000, 0), FREE)
    for size, reply in ((101, "452 4.2.2 *"), (100, "250 *")):
        office.talk(f"""
            {HELLO}
            C: MAIL FROM:<jo@other.test> SIZE={size}
            S: 250 *
            C: RCPT TO:<bob@example.test>
            S: {reply}
        """)


def test_full_mailboxes_are_not_counted_as_unknown_ones() -> None:
    office = Office()
    office.store.quotas["bob@example.test"] = FULL
    tries = "C: RCPT TO:<bob@example.test>\nS: 452 4.2.2 *\n" * (SMTP_UNKNOWN_RECIPIENTS + 1)
    office.talk(f"{FROM_JO}\n{tries}C: NOOP\nS: 250 *")


# --- a record of what was refused


@pytest.mark.parametrize(
    ("said", "role", "told"),
    [
        (
            "C: MAIL FROM:<jo@other.test>\nS: 250 *\nC: RCPT TO:<nobody@example.test>\nS: 550 *",
            Role.SMTP,
            ("jo@other.test", "nobody@example.test", "rcpt", "550 5.1.1 No such user here", ""),
        ),
        (
            "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<x@elsewhere.test>\nS: 550 *",
            Role.LMTP,
            ("<>", "x@elsewhere.test", "rcpt", "550 5.7.1 Relaying denied", ""),
        ),
        (
            "C: MAIL FROM:<jo@other.test> SIZE=100001\nS: 552 *",
            Role.SMTP,
            ("jo@other.test", "", "mail", "552 5.3.4 Letter bigger than this system takes", ""),
        ),
        (
            "C: MAIL FROM:<bob@example.test>\nS: 550 *",
            Role.SUBMISSIONS,
            ("bob@example.test", "", "mail", "550 5.7.1 That sender address isn't yours", "alice@example.test"),
        ),
        (
            "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<bob@example.test>\nS: 250 *\n"
            "C: DATA\nS: 354 *\nC< a\\0\\r\\n.\\r\\n\nS: 550 *",
            Role.SMTP,
            ("<>", "bob@example.test", "letter", "550 5.6.0 NUL in the letter", ""),
        ),
        (
            "C: MAIL FROM:<>\nS: 250 *\nC: RCPT TO:<bob@example.test>\nS: 250 *\nC< BDAT 3\\r\\na\\nb\nS: 550 *",
            Role.SMTP,
            ("<>", "bob@example.test", "letter", "550 5.6.0 Bare CR or LF in the letter", ""),
        ),
    ],
)
def test_what_was_refused_leaves_a_record(said: str, role: Role, told: tuple[str, ...]) -> None:
    office = Office()
    hello = {Role.SMTP: HELLO, Role.SUBMISSIONS: LOGGED_IN}.get(role)
    office.talk(f"{hello or _LHLO}\n{said}", role, tls=role is Role.SUBMISSIONS)
    (note,) = office.refusals.kept
    assert tuple(note[key] for key in ("sender", "recipient", "judge", "reply", "login")) == told
    assert note["peer"] == "192.0.2.1" and note["session"]


_LHLO = "S: 220 *\nC: LHLO x\n" + OFFERED


def test_what_is_badly_said_or_comes_at_the_wrong_time_leaves_none() -> None:
    office = Office()
    office.talk(f"{HELLO}\nC: MAIL FROM:<a@>\nS: 501 *\nC: RCPT TO:<x@y>\nS: 503 *\nC: XYZZY\nS: 500 *")
    assert not office.refusals.kept
