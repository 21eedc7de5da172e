"""SMTPUTF8 (RFC 6531) in a conversation."""

from __future__ import annotations

import pytest

from postroom.smtp.session import Role
from tests.smtp.office import EXTENDED, HELLO, LOGGED_IN, Office, below_prefix

JOERG = "C: MAIL FROM:<jörg@bücher.example> SMTPUTF8\nS: 250 2.1.0 *"


def an_office() -> Office:
    office = Office(domains=("example.test", "xn--bcher-kva.example"))
    office.store.add("jörg@example.test")
    office.store.add("用户@xn--bcher-kva.example")
    return office


@pytest.mark.parametrize(
    "path",
    [
        "<jörg@example.test>",
        "<JÖRG@example.test>",
        "<jo\u0308rg@example.test>",
        "<jörg+tag@example.test>",
        '<"jörg"@example.test>',
        "<alice@example.test>",
        "<用户@bücher.example>",
        "<用户@BÜCHER.EXAMPLE>",
        "<用户@xn--bcher-kva.example>",
        "<用户@XN--BCHER-KVA.example>",
        "<@bücher.example:alice@example.test>",
    ],
)
def test_recipients_beyond_ascii(path: str) -> None:
    an_office().talk(f"{EXTENDED}\n{JOERG}\nC: RCPT TO:{path}\nS: 250 2.1.5 *")


def test_the_order_of_parameters_is_free_and_the_keywords_case_too() -> None:
    an_office().talk(f"""
        {EXTENDED}
        C: MAIL FROM:<jörg@bücher.example> smtputf8 BODY=8BITMIME SIZE=10
        S: 250 *
    """)


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("<jörg@other.test>", "553 5.6.7 *"),
        ("<jörg@other.test> BODY=8BITMIME", "553 5.6.7 *"),
        ("<smtputf8@ö.test>", "553 5.6.7 *"),
        ("<jo@other.test> SMTPUTF8=YES", "501 5.5.4 *"),
        ("<jo@other.test> SMTPUTF8 SMTPUTF8", "501 5.5.4 *"),
        ("<jö rg@other.test> SMTPUTF8", "501 5.1.7 *"),
        ("<jo@☃.test> SMTPUTF8", "501 5.1.7 *"),
        ("<jo@other.test> SMTPUTF8 SIZE=\u0661", "501 5.5.4 *"),
        ("<jo@other.test> SMTPUTF8", "250 2.1.0 *"),
    ],
)
def test_senders(argument: str, reply: str) -> None:
    an_office().talk(f"{EXTENDED}\nC: MAIL FROM:{argument}\nS: {reply}")


@pytest.mark.parametrize("octets", ["\\xff", "\\xc3", "\\xed\\xa0\\x80", "\\xc0\\xaf", "\\xf8"])
def test_what_is_no_utf8_is_553(octets: str) -> None:
    an_office().talk(f"""
        {EXTENDED}
        C< MAIL FROM:<j{octets}@other.test> SMTPUTF8\\r\\n
        S: 553 5.1.7 Sender address is not UTF-8
        {JOERG}
        C< RCPT TO:<j{octets}@example.test>\\r\\n
        S: 553 5.1.3 Recipient address is not UTF-8
        C: RCPT TO:<nöbody@example.test>
        S: 550 5.1.1 No such user here
        C: RCPT TO:<jörg@sömewhere.test>
        S: 550 5.7.1 Relaying denied
    """)


def test_what_one_letter_may_the_next_one_may_not() -> None:
    an_office().talk(f"""
        {EXTENDED}
        {JOERG}
        C: RSET
        S: 250 *
        C: MAIL FROM:<jo@other.test>
        S: 250 *
        C: RCPT TO:<jörg@example.test>
        S: 553 5.6.7 *
    """)


@pytest.mark.parametrize(
    ("role", "word"),
    [(Role.SMTP, b"UTF8SMTPS"), (Role.SUBMISSIONS, b"UTF8SMTPSA"), (Role.SUBMISSION, b"UTF8SMTPSA")],
)
def test_a_letter_with_smtputf8_is_kept_and_its_trace_says_so(role: Role, word: bytes) -> None:
    # RFC 6531 3.7.3, 4.3
    office = an_office()
    office.store.also("älice@example.test", "alice@example.test")
    login = LOGGED_IN.removeprefix(HELLO) if role.wants_login else ""
    office.talk(
        f"""
        {EXTENDED}
        {login}
        C: MAIL FROM:<älice@example.test> SMTPUTF8
        S: 250 *
        C: RCPT TO:<jörg@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: Message-ID: <1@x>
        C: Date: Tue, 14 Nov 2023 22:13:20 +0000
        C: Subject: Grüße
        C:
        C: ö
        C: .
        S: 250 2.6.0 *
        """,
        role,
        tls=True,
    )
    (letter,) = office.inbox("jörg")
    assert b" with %b id " % word in letter
    assert letter.startswith("Return-Path: <älice@example.test>\r\n".encode())
    assert "\tfor <jörg@example.test>;".encode() in letter
    assert below_prefix(letter).endswith("Subject: Grüße\r\n\r\nö\r\n".encode()) or not role.wants_login


def test_an_ascii_letter_is_what_it_was() -> None:
    office = an_office()
    office.talk(f"""
        {EXTENDED}
        C: MAIL FROM:<jo@other.test> SMTPUTF8
        S: 250 *
        C: RCPT TO:<alice@example.test>
        S: 250 *
        C< BDAT 3 LAST\\r\\nx\\r\\n
        S: 250 2.6.0 *
    """)
    assert b" with UTF8SMTP id " in office.inbox("alice")[0]


@pytest.mark.parametrize("verb", ["HELO", "EHLO"])
def test_names_in_helo_are_ascii(verb: str) -> None:
    # RFC 6531 3.7.1
    an_office().talk(f"S: 220 *\nC: {verb} bücher.example\nS: 501 5.5.4 *")
