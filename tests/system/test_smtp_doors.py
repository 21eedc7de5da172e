"""What else SMTP's server side does, over real sockets: LMTP, XCLIENT, VRFY and EXPN, SMTPUTF8, the pause."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, PASSWORDS, House
from tests.system.raw import AUTH_PLAIN, Raw, alive, clear, letters, smtp


class Doors(House):
    """A house with LMTP, and with proxies on this machine."""

    def __init__(self, folder: Path, tables: str = "") -> None:
        super().__init__(folder, tables=f'[smtp]\nxclient_networks = ["127.0.0.0/8"]\n{tables}')
        text = self.config_path.read_text()
        self.config_path.write_text(text.replace("[listen]\n", '[listen]\nlmtp = ["127.0.0.1:0"]\n'))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Doors(tmp_path_factory.mktemp("house")) as house:
        assert house.run("alias", "add", "staff@example.test", ALICE, "bob@example.test").returncode == 0
        yield house


@pytest.fixture(autouse=True)
def _others_go_on(house: House) -> Iterator[None]:
    clear(house)
    clear(house, "bob@example.test")
    yield
    alive(house)


# --- LMTP


def test_lmtp_answers_for_each_recipient(house: House) -> None:
    with Raw(house, "lmtp") as raw:
        assert raw.greeting == b"220 mx.example.test LMTP Postroom"
        assert raw.ask(b"EHLO x").startswith(b"500 5.5.1 ")
        raw.ask(b"LHLO client.test")
        raw.say(
            b"MAIL FROM:<jo@other.test>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<nobody@example.test>\r\n"
            b"RCPT TO:<staff@example.test>\r\nRCPT TO:<x@other.test>\r\nDATA\r\n"
        )
        assert [raw.reply()[:9] for _ in range(5)] == [
            b"250 2.1.0",
            b"250 2.1.5",
            b"550 5.1.1",
            b"250 2.1.5",
            b"550 5.7.1",
        ]
        assert raw.reply().startswith(b"354")
        raw.say(b"Subject: lmtp\r\n\r\nx\r\n.\r\nNOOP\r\n")
        assert [raw.reply()[:9] for _ in range(3)] == [b"250 2.6.0", b"250 2.6.0", b"250 2.0.0"]
    assert len(letters(house)) == len(letters(house, "bob@example.test")) == 1


def test_pythons_lmtp_client(house: House) -> None:
    with smtplib.LMTP("127.0.0.1", house.port("lmtp")) as client:
        client.starttls()
        # It reads one reply behind a letter, whatever RFC 2033 says.
        assert client.sendmail("jo@other.test", [ALICE], b"Subject: x\r\n\r\nHi\r\n") == {}
    (kept,) = letters(house)
    assert b" with LMTPS id " in kept


# --- XCLIENT


def test_a_proxy_speaks_for_its_client(house: House) -> None:
    with Raw(house, "smtp") as raw:
        raw.ask(b"EHLO proxy.test")
        assert raw.ask(b"XCLIENT ADDR=198.51.100.7 NAME=client.test").startswith(b"220 mx.example.test ")
        assert raw.ask(b"MAIL FROM:<>").startswith(b"503 ")
        raw.ask(b"EHLO client.test", b"MAIL FROM:<>", b"RCPT TO:<alice@example.test>", b"DATA")
        raw.say(b"Subject: through a proxy\r\n\r\n.\r\n")
        assert raw.reply().startswith(b"250 2.6.0 ")
    (kept,) = letters(house)
    assert b"Received: from client.test ([198.51.100.7])" in kept
    shown = house.run("trace", "--json").stdout
    assert "198.51.100.7" in shown


def test_a_proxys_client_is_not_on_loopback(house: House) -> None:
    """`loopback_plain` lets this machine log in in clear, not those for whom a proxy on it speaks."""
    with Raw(house, "submission") as raw:
        raw.ask(b"EHLO proxy.test")
        raw.ask(b"XCLIENT ADDR=198.51.100.7")
        raw.ask(b"EHLO client.test")
        assert raw.ask(b"AUTH PLAIN " + AUTH_PLAIN[ALICE]).startswith(b"538 5.7.11 ")
        raw.ask(b"XCLIENT LOGIN=alice@example.test")
        raw.ask(b"EHLO client.test")
        assert raw.ask(b"MAIL FROM:<alice@example.test>").startswith(b"250 ")


# --- VRFY and EXPN


def test_who_is_logged_in_hears_who_is_on_a_list(house: House) -> None:
    with smtplib.SMTP("127.0.0.1", house.port("submission")) as client:
        assert client.verify("alice")[0] == 252
        assert client.expn("staff")[0] == 252
        client.login(ALICE, PASSWORDS[ALICE])
        assert client.verify("alice") == (250, b"2.1.5 <alice@example.test>")
        assert client.verify("nobody")[0] == 550
        assert client.expn("staff") == (250, b"2.1.5 <alice@example.test>\n2.1.5 <bob@example.test>")


# --- SMTPUTF8


def test_python_sends_beyond_ascii(house: House) -> None:
    with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
        client.ehlo()
        assert client.has_extn("smtputf8")
        letter = "Subject: Grüße\r\n\r\nñ\r\n".encode()
        assert client.sendmail("jörg@bücher.example", [ALICE], letter, ["SMTPUTF8", "BODY=8BITMIME"]) == {}
    (kept,) = letters(house)
    assert kept.endswith(letter)
    assert "Return-Path: <jörg@xn--bcher-kva.example>\r\n".encode() in kept
    assert b" with UTF8SMTP id " in kept


def test_an_own_address_literal_is_postmasters(house: House) -> None:
    with smtp(house) as raw:
        raw.ask(b"MAIL FROM:<>")
        assert raw.ask(b"RCPT TO:<postmaster@[127.0.0.1]>").startswith(b"250 2.1.5 ")
        assert raw.ask(b"RCPT TO:<postmaster@[IPv6:::1]>").startswith(b"550 5.7.1 ")


# --- the pause before the greeting


def test_the_pause_holds_up_strangers_alone(tmp_path: Path) -> None:
    with Doors(tmp_path, tables='greeting_pause = "300ms"\n') as house:
        with Raw(house, "smtp", greeted=False) as raw:
            raw.say(b"EHLO early.test\r\n")
            assert raw.line() == b"554 5.5.1 You talked before the greeting"
            assert raw.rest() == b""
        for protocol in ("smtp", "submission", "lmtp"):
            with Raw(house, protocol) as raw:
                assert raw.greeting.startswith(b"220 ")
