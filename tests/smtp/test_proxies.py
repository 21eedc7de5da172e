"""XCLIENT and XFORWARD: from proxies that the site knows, and from nobody else."""

from __future__ import annotations

import asyncio
import ipaddress
import logging

import pytest

from postroom.net.conversation import Tap
from postroom.net.tls import LoginPolicy
from postroom.smtp.session import Role
from tests.smtp.office import BEGUN, Office
from tests.talk import Client

PROXIES = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::1/128"))
GREETING = "S: 220 mx.example.test ESMTP Postroom"


def an_office(**settings: object) -> Office:
    return Office(xclient_networks=PROXIES, **settings)  # type: ignore[arg-type]


def say(
    office: Office, *lines: str, peer: str = "192.0.2.1", role: Role = Role.SMTP, tls: bool = False
) -> tuple[list[bytes], Client]:
    """The last line of each reply."""

    async def go() -> tuple[list[bytes], Client]:
        async with office.session(role, peer=peer, tap=Tap("t"), tls=tls) as client:
            await client.line()
            replies = []
            for line in lines:
                await client.send(line)
                reply = await client.line()
                while reply[3:4] == b"-":
                    reply = await client.line()
                replies.append(reply)
            return replies, client

    return asyncio.run(go())


# --- who may


@pytest.mark.parametrize("peer", ["198.51.100.1", "2001:db8::2", "192.0.3.1", "", "127.0.0.1"])
@pytest.mark.parametrize("command", ["XCLIENT ADDR=192.0.2.9", "XFORWARD ADDR=192.0.2.9", "XCLIENT nonsense"])
def test_strangers_are_nobody_else(peer: str, command: str) -> None:
    replies, client = say(an_office(), command, "NOOP", peer=peer)
    assert replies == [b"550 5.7.0 Only for proxies that the site knows", b"250 2.0.0 Ok"]
    assert client.server.peer.host == peer
    replies, _ = say(Office(), command)
    assert replies[0].startswith(b"550 5.7.0")


def test_it_is_announced_to_proxies_alone() -> None:
    async def announced(office: Office, peer: str) -> list[bytes]:
        async with office.session(peer=peer) as client:
            await client.line()
            await client.send("EHLO x")
            return [line[4:] for line in await client.lines(b"250 ") if line[4:].startswith(b"X")]

    wanted = [
        b"XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
        b"XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
    ]
    assert asyncio.run(announced(an_office(), "192.0.2.1")) == wanted
    assert asyncio.run(announced(an_office(), "2001:db8::1")) == wanted
    assert asyncio.run(announced(an_office(), "198.51.100.1")) == []
    assert asyncio.run(announced(Office(), "192.0.2.1")) == []


def test_help_explains_it_to_proxies() -> None:
    replies, _ = say(an_office(), "HELP XCLIENT", "HELP XFORWARD")
    assert [reply[:3] for reply in replies] == [b"214", b"214"]


# --- XCLIENT


def test_the_session_begins_anew_as_the_clients() -> None:
    # XCLIENT_README's example
    office = an_office()
    office.talk(f"""
        {GREETING}
        C: HELO spike.porcupine.org
        S: 250 *
        C: XCLIENT NAME=spike.porcupine.org ADDR=168.100.189.2
        {GREETING}
        C: MAIL FROM:<wietse@porcupine.org>
        S: 503 5.5.1 Send EHLO first
        C: HELO spike.porcupine.org
        S: 250 *
        C: MAIL FROM:<wietse@porcupine.org>
        S: 250 *
        C: RCPT TO:<alice@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
    """)
    assert b"Received: from spike.porcupine.org ([168.100.189.2])\r\n" in office.inbox("alice")[0]


def test_both_ends_are_the_clients(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    office = an_office()
    replies, client = say(
        office,
        "XCLIENT ADDR=IPV6:2001:DB8::77 PORT=4711 DESTADDR=198.51.100.25 DESTPORT=25",
        "HELO x",
        "MAIL FROM:<>",
        "RCPT TO:<alice@[198.51.100.25]>",
        "RCPT TO:<alice@[127.0.0.1]>",
        "RCPT TO:<x@elsewhere.test>",
    )
    assert [reply[:3] for reply in replies] == [b"220", b"250", b"250", b"250", b"550", b"550"]
    stream = client.server
    assert (stream.peer.host, stream.peer.port) == ("2001:db8::77", 4711)
    assert (stream.local.host, stream.local.port) == ("198.51.100.25", 25)
    assert stream.conversation is not None and stream.conversation.peer == "2001:db8::77"
    messages = [record.getMessage() for record in caplog.records]
    assert any("smtp.xclient" in each and "ADDR=2001:db8::77" in each for each in messages)
    assert any("smtp.recipient-refused" in each and "peer=2001:db8::77" in each for each in messages)


def test_a_login_that_the_proxy_has_seen() -> None:
    office = an_office()
    replies, client = say(
        office,
        "XCLIENT LOGIN=alice@example.test",
        "EHLO x",
        "MAIL FROM:<bob@example.test>",
        "MAIL FROM:<alice@example.test>",
        "XCLIENT ADDR=192.0.2.9",
        "RSET",
        "XCLIENT LOGIN=[UNAVAILABLE]",
        "EHLO x",
        "MAIL FROM:<alice@example.test>",
        role=Role.SUBMISSION,
    )
    assert [reply[:3] for reply in replies] == [
        *(b"220", b"250", b"550", b"250"),
        *(b"503", b"250", b"220", b"250", b"530"),
    ]
    assert client.server.conversation is not None and client.server.conversation.account == ""


@pytest.mark.parametrize("login", ["nobody@example.test", "carol@example.test", "info@example.test", "alice", "x"])
def test_a_login_that_nobody_has(login: str) -> None:
    office = an_office()
    office.store.also("info@example.test", "alice@example.test")
    replies, client = say(office, f"XCLIENT LOGIN={login} ADDR=198.51.100.7", role=Role.SUBMISSION)
    assert replies[0].startswith(b"550 5.1.1")
    assert client.server.peer.host == "192.0.2.1"


def test_the_clients_hello_stays_and_no_other_is_needed() -> None:
    office = an_office()
    office.talk(f"""
        {GREETING}
        C: XCLIENT PROTO=SMTP HELO=inner.test
        {GREETING}
        C: MAIL FROM:<jo@other.test>
        S: 250 *
        C: RCPT TO:<alice@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
        C: XCLIENT PROTO=ESMTP HELO=other.test
        {GREETING}
        C: MAIL FROM:<jo@other.test>
        S: 250 *
        C: RCPT TO:<alice@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
    """)
    first, second = office.inbox("alice")
    assert b"from inner.test (" in first and b" with SMTP id " in first
    assert b"from other.test (" in second and b" with ESMTP id " in second


@pytest.mark.parametrize(
    "arguments", ["ADDR=300.1.1.1", "FOO=1", "ADDR", "ADDR=1.2.3.4 ADDR=1.2.3.5", "PORT=99999", "HELO=a+20b", ""]
)
@pytest.mark.parametrize("verb", ["XCLIENT", "XFORWARD"])
def test_what_is_badly_told_changes_nothing(verb: str, arguments: str) -> None:
    replies, client = say(an_office(), "HELO x", f"{verb} {arguments}", "MAIL FROM:<>")
    assert [reply[:3] for reply in replies] == [b"250", b"501", b"250"]
    assert client.server.peer.host == "192.0.2.1"


@pytest.mark.parametrize("verb", ["XCLIENT", "XFORWARD"])
def test_not_within_a_letter(verb: str) -> None:
    an_office().talk(f"{BEGUN}\nC: {verb} ADDR=1.2.3.4\nS: 503 5.5.1 *\nC: DATA\nS: 354 *\nC: .\nS: 250 *")


def test_loopback_that_is_only_told_is_what_counts() -> None:
    """A proxy on this machine tells of a client that is on another, which then may not log in in clear."""
    office = Office(
        xclient_networks=(ipaddress.ip_network("127.0.0.0/8"),),
        login=LoginPolicy(require_tls=True, loopback_plain=True),
    )
    replies, _ = say(
        office,
        *("EHLO x", "AUTH PLAIN =", "XCLIENT ADDR=198.51.100.1", "EHLO x", "AUTH PLAIN ="),
        peer="127.0.0.1",
        role=Role.SUBMISSION,
    )
    assert [reply[:3] for reply in replies] == [b"250", b"501", b"220", b"250", b"538"]


def test_a_proxy_may_tell_of_one_client_after_the_other() -> None:
    replies, client = say(
        an_office(), "XCLIENT ADDR=198.51.100.1", "XCLIENT ADDR=198.51.100.2", "XCLIENT ADDR=[UNAVAILABLE]"
    )
    assert [reply[:3] for reply in replies] == [b"220"] * 3
    assert client.server.peer.host == "198.51.100.2"


# --- XFORWARD


def test_what_xforward_tells_is_for_the_log_and_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    office = an_office()
    replies, client = say(
        office,
        "EHLO x",
        "XFORWARD NAME=spike.porcupine.org ADDR=168.100.189.2 PROTO=ESMTP",
        "XFORWARD HELO=spike.porcupine.org IDENT=4711 SOURCE=REMOTE",
        "MAIL FROM:<>",
    )
    assert [reply[:3] for reply in replies] == [b"250"] * 4
    assert client.server.peer.host == "192.0.2.1"
    told = [record.getMessage() for record in caplog.records if "smtp.xforward" in record.getMessage()]
    assert "ADDR=168.100.189.2" in told[0] and "IDENT=4711" in told[1]
    assert client.server.conversation is not None
    assert b"ADDR=168.100.189.2" in b"".join(row.data for row in client.server.conversation.rows)


def test_nothing_told_ends_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    replies, _ = say(an_office(), "XFORWARD NAME=a+0D+0Ab", "XCLIENT NAME=a+0Ab", "XCLIENT LOGIN=a+0Ab")
    assert [reply[:3] for reply in replies] == [b"501"] * 3
    assert not caplog.records
