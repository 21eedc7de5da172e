"""Transport and TLS (docs/security.md), attacked over real sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, PASSWORDS, House
from tests.system.raw import AUTH_PLAIN, IMPLICIT, Raw, trusting

_UPGRADES = {"smtp": b"STARTTLS\r\n", "submission": b"STARTTLS\r\n", "pop3": b"STLS\r\n", "imap": b"s STARTTLS\r\n"}
_ALPN = {"smtp": "smtp", "submission": "smtp", "submissions": "smtp", "pop3": "pop3", "pop3s": "pop3"}
_ALPN |= {"imap": "imap", "imaps": "imap"}
_LOGIN = b"LOGIN %b %b" % (ALICE.encode(), PASSWORDS[ALICE].encode())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), plain=False) as house:
        yield house


@pytest.fixture(autouse=True)
def _others_go_on(house: House) -> Iterator[None]:
    """Each attack stands between two visits of somebody else."""
    with _secure(house, "imap") as other:
        assert other.answer(_LOGIN)[0].startswith(b"OK")
        yield
        assert other.answer(b"NOOP")[0].startswith(b"OK")
    assert "Traceback" not in house.log(), house.log()


def _hello(raw: Raw, protocol: str) -> None:
    if protocol in ("smtp", "submission"):
        assert b"STARTTLS" in raw.ask(b"EHLO client.test")


def _go_ahead(raw: Raw, protocol: str) -> None:
    """Ask for TLS, hear yes."""
    _hello(raw, protocol)
    raw.say(_UPGRADES[protocol])
    assert raw.line().startswith((b"220 ", b"+OK ", b"s OK "))


def _secure(house: House, protocol: str) -> Raw:
    raw = Raw(house, protocol)
    if protocol not in IMPLICIT:
        _go_ahead(raw, protocol)
        raw.shake()
    return raw


def _speaks(raw: Raw, protocol: str) -> None:
    """The session is as after the connect, and every answer belongs to its question."""
    kind = protocol.removesuffix("s")
    if kind == "imap":
        status, untagged = raw.answer(b"CAPABILITY")
        assert status.startswith(b"OK")
        assert len(untagged) == 1
        assert b"STARTTLS" not in untagged[0]
        assert b"LOGINDISABLED" not in untagged[0]
        assert raw.answer(b"SELECT INBOX")[0].startswith(b"BAD Log in first")
    elif kind == "pop3":
        raw.say(b"CAPA\r\nSTAT\r\n")
        assert raw.line().startswith(b"+OK")
        told = raw.listing()
        assert b"STLS" not in told
        assert b"USER" in told
        assert raw.line() == b"-ERR Log in first"
    else:
        assert raw.ask(b"MAIL FROM:<a@b.test>").startswith(b"503 5.5.1 Send EHLO first")
        assert b"STARTTLS" not in raw.ask(b"EHLO client.test")


_INJECTED = {
    "smtp": b"EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\nRCPT TO:<alice@example.test>\r\n",
    "submission": b"EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\n",
    "pop3": b"USER alice@example.test\r\nCAPA\r\n",
    "imap": b"x NOOP\r\ny LOGIN a b\r\nz CAPABILITY\r\n",
}


@pytest.mark.parametrize("protocol", _UPGRADES)
def test_what_is_said_in_clear_behind_starttls_is_never_obeyed(house: House, protocol: str) -> None:
    """CVE-2011-0411: all in one segment."""
    with Raw(house, protocol) as raw:
        _hello(raw, protocol)
        raw.say(_UPGRADES[protocol] + _INJECTED[protocol])
        assert raw.line().startswith((b"220 ", b"+OK ", b"s OK "))
        raw.shake()
        _speaks(raw, protocol)


@pytest.mark.parametrize("protocol", _UPGRADES)
@pytest.mark.parametrize("cut", [-1, 0, 1, 4])
def test_clear_words_that_meet_the_handshake_are_dropped_or_end_it(house: House, protocol: str, cut: int) -> None:
    """The same in two segments, cut around the command's end: the second may come when TLS is awaited already."""
    with Raw(house, protocol) as raw:
        _hello(raw, protocol)
        at = len(_UPGRADES[protocol]) + cut
        whole = _UPGRADES[protocol] + _INJECTED[protocol]
        raw.say(whole[:at], whole[at:])
        assert raw.line().startswith((b"220 ", b"+OK ", b"s OK "))
        try:
            raw.shake()
        except (ssl.SSLError, ConnectionError):
            return
        _speaks(raw, protocol)


@pytest.mark.parametrize("protocol", _UPGRADES)
def test_what_was_learned_in_clear_is_forgotten(house: House, protocol: str) -> None:
    with Raw(house, protocol) as raw:
        _hello(raw, protocol)
        if protocol == "smtp":
            assert raw.ask(b"MAIL FROM:<a@b.test>").startswith(b"250")
        raw.say(_UPGRADES[protocol])
        assert raw.line().startswith((b"220 ", b"+OK ", b"s OK "))
        raw.shake()
        _speaks(raw, protocol)


@pytest.mark.parametrize("protocol", _UPGRADES)
def test_tls_is_begun_once(house: House, protocol: str) -> None:
    with _secure(house, protocol) as raw:
        if protocol in ("smtp", "submission"):
            raw.ask(b"EHLO client.test")
        raw.say(_UPGRADES[protocol])
        assert raw.line() in (
            b"503 5.5.1 TLS is already on",
            b"-ERR TLS is already on",
            b"s BAD TLS is on already",
        )
        raw.say({"pop3": b"NOOP\r\n", "imap": b"n NOOP\r\n"}.get(protocol, b"NOOP\r\n"))
        assert raw.line()


@pytest.mark.parametrize("protocol", ["submission", "pop3", "imap"])
def test_a_password_is_not_taken_in_clear(house: House, protocol: str) -> None:
    with Raw(house, protocol) as raw:
        if protocol == "submission":
            assert b"AUTH" not in raw.ask(b"EHLO client.test")
            assert raw.ask(b"AUTH PLAIN " + AUTH_PLAIN[ALICE]).startswith(b"538 5.7.11 ")
            assert raw.ask(b"MAIL FROM:<alice@example.test>").startswith(b"530 5.7.0 ")
        elif protocol == "pop3":
            for words in (b"USER " + ALICE.encode(), b"AUTH PLAIN " + AUTH_PLAIN[ALICE]):
                raw.say(words + b"\r\n")
                assert raw.line() == b"-ERR [AUTH] Logins need TLS, send STLS first"
        else:
            assert b"LOGINDISABLED" in raw.greeting
            for words in (_LOGIN, b"AUTHENTICATE PLAIN " + AUTH_PLAIN[ALICE], b"AUTHENTICATE PLAIN", b"LOGIN {5}"):
                assert raw.answer(words)[0].startswith(b"NO [PRIVACYREQUIRED]")
    assert PASSWORDS[ALICE] not in house.log()


# --- handshakes


@pytest.mark.parametrize("protocol", [*_UPGRADES, *IMPLICIT])
@pytest.mark.parametrize(
    "flight",
    [
        b"GET / HTTP/1.1\r\nHost: mx.example.test\r\n\r\n",
        b"EHLO client.test\r\nNOOP\r\n",
        b"\x16\x03\x01\xff\xff\x01" + b"\xff" * 70_000,
        b"\x16\x03\x01\x00\x00" * 1000,
        b"\x80\x2e\x01\x00\x02" + b"\x00" * 60,
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x00" * 4096,
    ],
    ids=["http", "words", "long-record", "empty-records", "sslv2", "alert", "zeros"],
)
def test_a_handshake_of_garbage_ends_the_connection(house: House, protocol: str, flight: bytes) -> None:
    with Raw(house, protocol, greeted=protocol not in IMPLICIT, tls=False) as raw:
        if protocol not in IMPLICIT:
            _go_ahead(raw, protocol)
        with contextlib.suppress(OSError):
            raw.say(flight)
            raw.sock.shutdown(socket.SHUT_WR)
        said = raw.rest()
        # Silence or one TLS alert; never a word of the protocol.
        assert said == b"" or (said[:2] == b"\x15\x03" and len(said) == 7), said


@pytest.mark.parametrize("protocol", [*_UPGRADES, *IMPLICIT])
def test_a_stalled_handshake_keeps_nobody_waiting(house: House, protocol: str) -> None:
    """CVE-2014-3430. (The deadline itself is the unit tests' business.)"""
    with contextlib.ExitStack() as stalled:
        for _ in range(20):
            raw = stalled.enter_context(Raw(house, protocol, greeted=protocol not in IMPLICIT, tls=False))
            if protocol not in IMPLICIT:
                _go_ahead(raw, protocol)
            raw.say(b"\x16\x03\x01\x02\x00\x01")
        with _secure(house, protocol) as other:
            _speaks(other, protocol)


@pytest.mark.parametrize("protocol", [*_UPGRADES, *IMPLICIT])
@pytest.mark.parametrize("offered", [["http/1.1"], ["h2", "http/1.1"], ["ftp"]], ids="-".join)
def test_a_foreign_application_protocol_is_refused(house: House, protocol: str, offered: list[str]) -> None:
    """ALPACA: Python's ssl would go on without a word."""
    context = trusting()
    context.set_alpn_protocols(offered)
    with Raw(house, protocol, greeted=protocol not in IMPLICIT, tls=False) as raw:
        if protocol not in IMPLICIT:
            _go_ahead(raw, protocol)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            raw.shake(context)


@pytest.mark.parametrize("protocol", [*_UPGRADES, *IMPLICIT])
def test_our_own_application_protocol_is_agreed_on(house: House, protocol: str) -> None:
    context = trusting()
    context.set_alpn_protocols(["h2", _ALPN[protocol]])
    with Raw(house, protocol, greeted=protocol not in IMPLICIT, tls=False) as raw:
        if protocol not in IMPLICIT:
            _go_ahead(raw, protocol)
        raw.shake(context)
        assert isinstance(raw.sock, ssl.SSLSocket)
        assert raw.sock.selected_alpn_protocol() == _ALPN[protocol]


@pytest.mark.parametrize("protocol", [*_UPGRADES, *IMPLICIT])
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_tls_is_refused(house: House, protocol: str, version: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = trusting(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion[version])
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Raw(house, protocol, greeted=protocol not in IMPLICIT, tls=False) as raw:
        if protocol not in IMPLICIT:
            _go_ahead(raw, protocol)
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol version|unsupported protocol"):
            raw.shake(context)


@pytest.mark.parametrize("name", ["other.test", "mx.example.test", "a" * 60 + ".test", "xn--nxasmq6b"])
def test_a_foreign_server_name_gets_our_own_certificate(house: House, name: str) -> None:
    raw = Raw(house, "imaps", greeted=False, tls=False)
    with raw, trusting().wrap_socket(raw.sock, server_hostname=name) as sock:
        mine = sock.getpeercert(binary_form=True)
        assert mine == ssl.PEM_cert_to_DER_cert((_certificate(house)).read_text())


def _certificate(house: House) -> Path:
    (found,) = [each for each in (house.data / "tls").iterdir() if "CERTIFICATE" in each.read_text()]
    return found


# --- truncation


def _tls_smtp(house: House) -> Raw:
    raw = _secure(house, "smtp")
    raw.ask(b"EHLO client.test", b"MAIL FROM:<a@b.test>", b"RCPT TO:<bob@example.test>")
    assert raw.ask(b"DATA").startswith(b"354")
    return raw


@pytest.mark.parametrize(
    "piece",
    [b"Subject: cut\r\n\r\nbody", b"Subject: cut\r\n\r\nbody\r\n", b"Subject: cut\r\n\r\nbody\r\n.", b"x\r\n.\r"],
    ids=["text", "line", "dot", "dot-cr"],
)
def test_a_letter_without_its_end_is_not_kept(house: House, piece: bytes) -> None:
    with _tls_smtp(house) as raw:
        raw.say(piece)
        raw.cut()
    assert _bobs(house) == 0


@pytest.mark.parametrize("missing", [1, 10])
def test_an_append_without_its_end_is_not_kept(house: House, missing: int) -> None:
    letter = b"Subject: cut\r\n\r\nthe body of the letter\r\n"
    with _secure(house, "imap") as raw:
        raw.answer(b"LOGIN bob@example.test " + PASSWORDS["bob@example.test"].encode())
        raw.say(b"a APPEND INBOX {%d}\r\n" % len(letter))
        assert raw.line().startswith(b"+ ")
        raw.say(letter[:-missing])
        raw.cut()
    assert _bobs(house) == 0


def test_an_append_whose_command_has_no_end_is_not_kept(house: House) -> None:
    letter = b"Subject: cut\r\n\r\nthe body of the letter\r\n"
    with _secure(house, "imaps") as raw:
        raw.answer(b"LOGIN bob@example.test " + PASSWORDS["bob@example.test"].encode())
        raw.say(b"a APPEND INBOX {%d}\r\n" % len(letter))
        assert raw.line().startswith(b"+ ")
        raw.say(letter)
        raw.cut()
    assert _bobs(house) == 0


def test_a_deletion_whose_quit_was_cut_off_is_none(house: House) -> None:
    with _secure(house, "pop3s") as raw:
        raw.say(b"USER bob@example.test\r\nPASS %b\r\n" % PASSWORDS["bob@example.test"].encode())
        assert raw.line().startswith(b"+OK")
        assert raw.line() == b"+OK 0 messages"
    with _tls_smtp(house) as raw:
        raw.say(b"Subject: whole\r\n\r\nbody\r\n.\r\n")
        assert raw.reply().startswith(b"250 ")
    with _secure(house, "pop3s") as raw:
        raw.say(b"USER bob@example.test\r\nPASS %b\r\n" % PASSWORDS["bob@example.test"].encode())
        assert raw.line().startswith(b"+OK")
        assert raw.line() == b"+OK 1 messages"
        raw.say(b"DELE 1\r\n")
        assert raw.line() == b"+OK Marked for deletion"
        raw.say(b"QUIT\r")
        raw.cut()
    assert _bobs(house) == 1


def _bobs(house: House) -> int:
    with _secure(house, "imaps") as raw:
        raw.answer(b"LOGIN bob@example.test " + PASSWORDS["bob@example.test"].encode())
        _, untagged = raw.answer(b"STATUS INBOX (MESSAGES)")
        return int(untagged[0].rpartition(b" ")[2].rstrip(b")"))
