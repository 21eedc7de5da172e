from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net import memory
from postroom.smtp.session import Role, Session, State, Transaction
from postroom.smtp.table import TABLE, Argument, Mask, Row, Who, keywords, objection
from tests.smtp.office import Office

ROWS = list(TABLE.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.verb.decode())
def test_a_row_is_whole(row: Row) -> None:
    assert row.verb == row.verb.upper() and row.verb.isalpha()
    assert row.section.startswith(("RFC ", "Postfix "))
    assert row.proxies == (row.verb in (b"XCLIENT", b"XFORWARD"))
    assert not row.help or row.help.startswith(row.verb.decode())
    assert row.help or row.offer is None
    assert row.secret <= (row.argument is Argument.NEEDED)


def test_what_may_not_be_pipelined() -> None:
    # RFC 2920 3.1, of the verbs that are here; RFC 3207 4; RFC 4954 4
    last = {row.verb for row in ROWS if row.ends_group}
    rfc_2920 = {b"EHLO", b"DATA", b"VRFY", b"EXPN", b"TURN", b"QUIT", b"NOOP"}
    assert last == {*rfc_2920, b"LHLO", b"STARTTLS", b"AUTH", b"XCLIENT"}


def test_letters_need_a_login_where_the_listener_does() -> None:
    letters = {b"MAIL", b"RCPT", b"DATA", b"BDAT", b"SEND", b"SOML", b"SAML"}
    assert {row.verb for row in ROWS if row.who is Who.LOGGED_IN} == letters


def test_what_follows_a_refused_command_is_read_by_its_row() -> None:
    assert [row.verb for row in ROWS if row.drop is not None] == [b"BDAT"]


def a_session(role: Role, state: State, tls: bool = False) -> Session:
    """In a running loop."""
    stream, client = memory.pair(peer="192.0.2.1")
    if tls:
        memory.mark_tls(stream, client)
    session = Session(stream, Office().service(role))
    if state is not State.NEW:
        session.hello = "client.test"
    if state is State.MAIL:
        session.transaction = Transaction(None)
    return session


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.verb.decode())
def test_who_may_say_what_and_when(row: Row) -> None:
    async def ask() -> None:
        somebody = await Office().store.account("alice@example.test")
        for role, state, logged_in, argument in itertools.product(
            Role, (State.NEW, State.READY, State.MAIL), (False, True), (b"", b"x")
        ):
            session = a_session(role, state)
            session.account = somebody if logged_in else None
            reply = objection(row, session, argument)
            if role not in row.roles:
                code = 500 if row.verb in (b"HELO", b"EHLO", b"LHLO") else 502
            elif state is State.NEW and State.NEW not in row.states:
                code = 503
            elif row.who is Who.LOGGED_IN and role.wants_login and not logged_in:
                code = 530
            elif state not in row.states:
                code = 503
            elif (bool(argument) and row.argument is Argument.NONE) or (
                not argument and row.argument is Argument.NEEDED
            ):
                code = 501
            else:
                code = 0
            assert (reply.code if reply else 0) == code

    asyncio.run(ask())


def test_tls_is_asked_for_first_where_a_login_needs_it() -> None:
    async def ask() -> None:
        mail = TABLE[b"MAIL"]
        reply = objection(mail, a_session(Role.SUBMISSION, State.READY), b"x")
        assert reply is not None and reply.text == "Send STARTTLS first"
        reply = objection(mail, a_session(Role.SUBMISSIONS, State.READY, tls=True), b"x")
        assert reply is not None and reply.text == "Log in first"

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("role", "tls", "offered"),
    [
        (Role.SMTP, False, ["STARTTLS"]),
        (Role.SMTP, True, []),
        (Role.SUBMISSION, False, ["STARTTLS"]),
        (Role.SUBMISSION, True, ["AUTH PLAIN LOGIN"]),
        (Role.SUBMISSIONS, True, ["AUTH PLAIN LOGIN"]),
    ],
)
def test_only_what_can_be_had_is_announced(role: Role, tls: bool, offered: list[str]) -> None:
    async def ask() -> None:
        session = a_session(role, State.NEW, tls)
        always = ["8BITMIME", "BINARYMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "SMTPUTF8", "LIMITS RCPTMAX=1000"]
        always += ["SIZE 100000", "CHUNKING", "EXPN", "HELP"]
        assert keywords(session) == [*always, *offered, "SEND", "SOML", "SAML"]

    asyncio.run(ask())


def test_starttls_is_not_announced_without_a_certificate() -> None:
    async def ask() -> None:
        session = a_session(Role.SMTP, State.NEW)
        session.service = replace(session.service, tls=None)
        assert "STARTTLS" not in keywords(session)

    asyncio.run(ask())


# --- the tap's mask


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"AUTH PLAIN AGEAYg==\r\n", b"AUTH PLAIN ***\r\n"),
        (b"auth login dXNlcg==\r\n", b"auth login ***\r\n"),
        (b"AUTH PLAIN\r\n", b"AUTH PLAIN\r\n"),
        (b"AUTH\r\n", b"AUTH\r\n"),
        (b"  AUTH  PLAIN  s3cret\r\n", b"AUTH PLAIN ***\r\n"),
        (b"\tAUTH\tPLAIN\ts3cret more\n", b"AUTH PLAIN ***\r\n"),
        (b"AUTHPLAIN s3cret\r\n", b"AUTH***\r\n"),
        (b"AUTH c2VjcmV0\r\n", b"AUTH ***\r\n"),
        (b"AUTH CRAM-MD5\r\n", b"AUTH CRAM-MD5\r\n"),
        (b"AUTH AGFsaWNlQGV4YW1wbGUudGVzdABzM2NyZXQ=\r\n", b"AUTH ***\r\n"),
        (b"MAIL FROM:<auth@x.test>\r\n", b"MAIL FROM:<auth@x.test>\r\n"),
        (b"XYZZY\r\n", b"XYZZY\r\n"),
        (b"\r\n", b"\r\n"),
    ],
)
def test_no_initial_response_is_shown(line: bytes, shown: bytes) -> None:
    assert Mask()(line) == shown


def test_what_is_said_behind_a_refused_auth_is_hidden_too() -> None:
    mask = Mask()
    said = [b"dXNlcg==\r\n", b"AUTH LOGIN\r\n", b"dXNlcg==\r\n", b"c2VjcmV0\r\n", b"NOOP\r\n", b"XYZZY\r\n"]
    assert [mask(line) for line in said] == [
        b"dXNlcg==\r\n",
        b"AUTH LOGIN\r\n",
        b"***\r\n",
        b"***\r\n",
        b"NOOP\r\n",
        b"XYZZY\r\n",
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([b"AUTH", b"auth", b"AuTh", b" AUTH", b"\tAUTH"]),
    st.sampled_from([b" ", b"\t", b"  ", b""]),
    st.sampled_from([b"PLAIN", b"LOGIN", b"", b"X-OTHER"]),
    st.sampled_from([b" ", b"\t", b"  "]),
    st.sampled_from([b"\r\n", b"\n", b" \r\n", b" x\r\n"]),
)
def test_however_it_is_written(verb: bytes, gap: bytes, mechanism: bytes, second: bytes, end: bytes) -> None:
    secret = b"dGhpcyBpcyBhIHNlY3JldCB0aGF0IGlzIGxvbmc="
    assert secret not in Mask()(verb + gap + mechanism + second + secret + end)
