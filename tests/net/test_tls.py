"""TLS: certificates, versions, names; STARTTLS on real sockets and both loops, and what strangers try around it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509

from postroom.net import limits, memory
from postroom.net.connect import connect
from postroom.net.conversation import Tap
from postroom.net.hello import NO_APPLICATION_PROTOCOL
from postroom.net.stream import DeadlineExpired, EndOfStream, Stream, Truncated
from postroom.net.tls import KeyPair, LoginPolicy, is_loopback, make_self_signed, server_context
from tests.net.wire import LOOPS, heard, joined, opened, raw, run, trusting

both_loops = pytest.mark.parametrize("loop", LOOPS)
GO = b"220 go\r\n"


@contextlib.asynccontextmanager
async def wrapped(key_pair: KeyPair) -> AsyncIterator[tuple[Stream, Stream]]:
    """A server's and a client's stream after STARTTLS."""
    async with joined() as (server, client):
        for stream in (server, client):
            stream.deadline(10.0)
        shaking = asyncio.create_task(server.start_tls(server_context(key_pair), GO))
        assert await client.line(100) == GO
        await client.start_tls_as_client(trusting(), "mx.example.test")
        await shaking
        yield server, client


def verifying(pair: KeyPair) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=pair.certificate)


# --- certificates and contexts


def test_a_self_signed_pair_is_the_owners_only_and_names_this_machine(key_pair: KeyPair) -> None:
    for path in (key_pair.certificate, key_pair.key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate(key_pair.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mx.example.test", "localhost"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert {one.name for one in key_pair.key.parent.iterdir()} == {"cert.pem", "key.pem"}


def test_a_hostname_may_be_long_or_an_address(tmp_path: Path) -> None:
    pair = KeyPair(tmp_path / "c", tmp_path / "k")
    make_self_signed(pair, "a" * 60 + "." + "b" * 60 + ".test")
    make_self_signed(pair, "192.0.2.1")
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "192.0.2.1" in [str(one) for one in names.get_values_for_type(x509.IPAddress)]


def test_files_that_do_not_fit_are_an_error_at_the_start(key_pair: KeyPair, tmp_path: Path) -> None:
    other = KeyPair(tmp_path / "c", tmp_path / "k")
    make_self_signed(other, "other.test")
    with pytest.raises(OSError):
        server_context(KeyPair(key_pair.certificate, other.key))
    with pytest.raises(OSError):
        server_context(KeyPair(tmp_path / "none", other.key))


@both_loops
def test_old_versions_are_refused(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async def never(stream: Stream) -> None:
            raise AssertionError("a session began")

        old = trusting()
        with pytest.warns(DeprecationWarning):
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        async with opened(never, tls=server_context(key_pair)) as (_, number):
            with pytest.raises(OSError):  # the server's alert, or its reset where that was quicker
                await connect("127.0.0.1", number, context=old, server_hostname="x")

    run(loop, story())


@both_loops
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_newer_versions_are_spoken(loop: str, version: ssl.TLSVersion, key_pair: KeyPair) -> None:
    async def story() -> None:
        async def greet(stream: Stream) -> None:
            assert stream.tls is not None
            stream.write((stream.tls.version() or "").encode() + b"\r\n")

        context = trusting()
        context.minimum_version = context.maximum_version = version
        async with opened(greet, tls=server_context(key_pair)) as (_, number):
            client = await connect("127.0.0.1", number, context=context, server_hostname="x")
            assert await client.line(100) == {"TLSv1_2": b"TLSv1.2\r\n", "TLSv1_3": b"TLSv1.3\r\n"}[version.name]
            await client.close()

    run(loop, story())


@both_loops
def test_the_certificate_follows_the_name_that_is_asked_for(loop: str, key_pair: KeyPair, tmp_path: Path) -> None:
    async def story() -> None:
        async def greet(stream: Stream) -> None:
            stream.write(b"hello\r\n")

        other = KeyPair(tmp_path / "c", tmp_path / "k")
        make_self_signed(other, "mail.other.test")
        context = server_context(key_pair, {"Mail.Other.Test.": other})
        async with opened(greet, tls=context) as (_, number):
            for name, pair in (("mail.other.test", other), ("MX.example.test", key_pair)):
                client = await connect("127.0.0.1", number, context=verifying(pair), server_hostname=name)
                assert await client.line(100) == b"hello\r\n"
                await client.close()
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect("127.0.0.1", number, context=verifying(other), server_hostname="elsewhere.test")

    run(loop, story())


# --- STARTTLS, server side


@both_loops
def test_both_sides_converse_after_starttls(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with wrapped(key_pair) as (server, client):
            assert server.tls is not None and client.tls is not None
            client.write(b"EHLO again\r\n")
            await client.flush()
            assert await server.line(100) == b"EHLO again\r\n"
            server.write(b"x" * 300_000 + b"\r\n")
            flushing = asyncio.create_task(server.flush())
            assert len(await client.line(400_000)) == 300_002
            await flushing
            closing = asyncio.create_task(server.close())
            with pytest.raises(EndOfStream) as end:
                await client.line(100)
            assert not isinstance(end.value, Truncated)
            await client.close()
            await closing

    run(loop, story())


@both_loops
@pytest.mark.parametrize("evil", [b"EVIL\r\n", b"MAIL FROM:<x@y>\r\nRCPT TO:<z@y>\r\n" * 100])
def test_plaintext_in_the_segment_of_starttls_is_never_data(loop: str, evil: bytes, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with joined() as (server, client):
            for stream in (server, client):
                stream.deadline(10.0)
            client.write(b"STARTTLS\r\n" + evil)
            await client.flush()
            assert await server.line(100) == b"STARTTLS\r\n"
            shaking = asyncio.create_task(server.start_tls(server_context(key_pair), GO))
            assert await client.line(100) == GO
            await client.start_tls_as_client(trusting(), "x")
            await shaking
            assert server.unread_octets == 0
            client.write(b"NOOP\r\n")
            await client.flush()
            assert await server.line(100) == b"NOOP\r\n"

    run(loop, story())


@both_loops
@pytest.mark.parametrize(
    "evil", [b"EVIL\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00"]
)
def test_plaintext_behind_the_go_ahead_ends_the_connection(loop: str, evil: bytes, key_pair: KeyPair) -> None:
    async def story() -> None:
        async def session(stream: Stream) -> None:
            assert await stream.line(100) == b"STARTTLS\r\n"
            await stream.start_tls(server_context(key_pair), GO)
            raise AssertionError("a handshake succeeded")

        async with opened(session) as (_, number):
            client = await raw(number)
            client.send(b"STARTTLS\r\n")
            assert await asyncio.get_running_loop().sock_recv(client, 100) == GO
            client.send(evil)
            assert await heard(client) == b""
            client.close()

    run(loop, story())


@both_loops
def test_starttls_refuses_a_browser_and_tells_the_trace(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        ends: list[bool] = []

        async def session(stream: Stream) -> None:
            await stream.line(100)
            try:
                await stream.start_tls(server_context(key_pair), GO)
                ends.append(stream.tls is not None)
                stream.write(b"hello\r\n")
            except EndOfStream:
                ends.append(False)
                raise

        tap = Tap("t")
        async with opened(session, alpn=frozenset({b"smtp"}), tap=tap) as (door, number):
            for offer in (["http/1.1"], ["smtp"], None):
                client = await connect("127.0.0.1", number)
                client.write(b"STARTTLS\r\n")
                assert await client.line(100) == GO
                if offer == ["http/1.1"]:
                    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
                        await client.start_tls_as_client(trusting(offer), "x")
                else:
                    await client.start_tls_as_client(trusting(offer), "x")
                    assert await client.line(100) == b"hello\r\n"
                client.abort()
            while len(door):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert ends == [False, True, True]
        notes = [row.data for row in tap.recent[0].rows]
        assert b"no TLS: the client wants another application protocol" in notes

    run(loop, story())


def test_the_alert_is_what_rfc_7301_names() -> None:
    assert bytes([21, 3, 3, 0, 2, 2, 120]) == NO_APPLICATION_PROTOCOL


@both_loops
def test_a_stalled_starttls_ends_at_the_deadline(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        for said in (b"", b"\x16\x03\x01\x02"):
            async with joined() as (server, client):
                client.write(said)
                await client.flush()
                server.deadline(0.03)
                with pytest.raises(DeadlineExpired):
                    await server.start_tls(server_context(key_pair), GO)
                assert await client.line(100) == GO
                with pytest.raises(EndOfStream):
                    await client.line(100)

    run(loop, story())


@both_loops
def test_a_peer_that_leaves_during_the_handshake_is_an_ordinary_end(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with joined() as (server, client):
            shaking = asyncio.create_task(server.start_tls(server_context(key_pair), GO))
            assert await client.line(100) == GO
            await client.close()
            with pytest.raises(EndOfStream):
                await shaking

    run(loop, story())


@both_loops
def test_an_abort_during_the_handshake_ends_it(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with joined() as (server, client):
            shaking = asyncio.create_task(server.start_tls(server_context(key_pair), GO))
            assert await client.line(100) == GO
            server.abort()
            with pytest.raises(EndOfStream):
                await shaking

    run(loop, story())


# --- STARTTLS, client's side


@both_loops
def test_a_client_aborts_on_words_behind_the_go_ahead(loop: str) -> None:
    async def story() -> None:
        async with joined() as (server, client):
            server.write(GO + b"250 evil\r\n")
            await server.flush()
            assert await client.line(100) == GO
            with pytest.raises(EndOfStream, match="plaintext"):
                await client.start_tls_as_client(trusting(), "x")

    run(loop, story())


@both_loops
def test_a_client_verifies_by_default(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with joined() as (server, client):
            shaking = asyncio.create_task(server.start_tls(server_context(key_pair), GO))
            assert await client.line(100) == GO
            with pytest.raises(ssl.SSLCertVerificationError):
                await client.start_tls_as_client(ssl.create_default_context(), "mx.example.test")
            with pytest.raises(EndOfStream):
                await shaking

    run(loop, story())


# --- inside TLS


@both_loops
def test_a_cut_without_close_notify_is_told_apart(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with wrapped(key_pair) as (server, client):
            client.write(b"half a letter")
            await client.flush()
            assert await server.some(100) == b"half a letter"
            sock = client.transport.get_extra_info("socket")
            with socket.socket(fileno=sock.fileno()) as twin:
                twin.shutdown(socket.SHUT_WR)
                twin.detach()
            with pytest.raises(Truncated):
                await server.line(100)

    run(loop, story())


@both_loops
def test_a_slow_reader_of_tls_costs_no_more(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with wrapped(key_pair) as (server, client):
            client.transport.pause_reading()
            server.deadline(0.1)
            most = 0
            with pytest.raises(DeadlineExpired):
                while True:
                    server.write_body(b"x" * 10_000)
                    most = max(most, server.transport.get_write_buffer_size())
                    await server.flush()
            assert most <= 2 * limits.OUTPUT_HIGH_WATER + 10_000

    run(loop, story())


@both_loops
def test_a_letter_through_tls_is_the_same(loop: str, key_pair: KeyPair) -> None:
    async def story() -> None:
        async with wrapped(key_pair) as (server, client):
            letter = bytes(range(256)) * 8192

            async def talk() -> None:
                client.write_body(letter)
                await client.flush()

            talking = asyncio.create_task(talk())
            got = bytearray()
            while len(got) < len(letter):
                got += await server.some(10**6)
            assert got == letter
            await talking

    run(loop, story())


# --- in memory


def test_starttls_in_memory_drops_plaintext_as_the_real_one_does() -> None:
    async def story() -> None:
        server, client = memory.pair()
        for stream in (server, client):
            stream.deadline(10.0)
        client.write(b"STARTTLS\r\nEVIL\r\n")
        assert client.tls is None
        await client.flush()
        assert await server.line(100) == b"STARTTLS\r\n"
        shaking = asyncio.create_task(server.start_tls(trusting(), GO))
        assert await client.line(100) == GO
        await client.start_tls_as_client(trusting(), "x")
        await shaking
        assert server.tls is not None and client.tls is not None and server.unread_octets == 0
        client.write(b"NOOP\r\n")
        await client.flush()
        assert await server.line(100) == b"NOOP\r\n"

    run("asyncio", story())


# --- who may log in


@pytest.mark.parametrize(
    ("require", "loopback", "tls", "peer", "allowed"),
    [
        (True, False, False, "127.0.0.1", False),
        (True, True, False, "127.0.0.1", True),
        (True, True, False, "::1", True),
        (True, True, False, "192.0.2.1", False),
        (True, True, False, "", False),
        (True, False, True, "192.0.2.1", True),
        (False, False, False, "192.0.2.1", True),
    ],
)
def test_passwords_cross_only_lines_that_are_safe(
    require: bool, loopback: bool, tls: bool, peer: str, allowed: bool
) -> None:
    async def story() -> bool:
        server, client = memory.pair(peer=peer)
        if tls:
            memory.mark_tls(server, client)
        return LoginPolicy(require, loopback).allows(server)

    assert run("asyncio", story()) is allowed


def test_what_is_no_address_is_not_loopback() -> None:
    assert not is_loopback("localhost") and is_loopback("127.9.9.9")
