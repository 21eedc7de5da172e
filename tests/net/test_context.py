"""Certificates that change under the sessions, by name and anew; what binds a login to them; the clients' own."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from postroom.net import memory
from postroom.net.connect import connect
from postroom.net.context import ServerContext
from postroom.net.hello import UNRECOGNIZED_NAME
from postroom.net.stream import EndOfStream, Stream
from postroom.net.tls import KeyPair, make_self_signed, server_context
from tests.net.wire import LOOPS, heard, opened, raw, run, trusting

both_loops = pytest.mark.parametrize("loop", LOOPS)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def made(folder: Path, name: str) -> KeyPair:
    pair = KeyPair(folder / f"{name}.pem", folder / f"{name}.key")
    make_self_signed(pair, name)
    return pair


async def bound(stream: Stream) -> None:
    """Says what a login would be bound to."""
    stream.write(repr(stream.channel_binding()).encode() + b"\r\n")
    await stream.line(100)


async def shown(number: int, name: str | None = "x", version: ssl.TLSVersion = VERSIONS[1]) -> tuple[bytes, bytes]:
    """A visit: the certificate that was shown, and what the server said."""
    context = trusting()
    context.minimum_version = context.maximum_version = version
    client = await connect("127.0.0.1", number, context=context, server_hostname=name or "127.0.0.1")
    assert client.tls is not None
    certificate, said = client.tls.getpeercert(True), await client.line(1000)
    client.abort()
    assert certificate is not None
    return certificate, said.strip()


def der(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


@both_loops
@pytest.mark.parametrize("version", VERSIONS, ids=lambda one: one.name)
def test_who_comes_after_a_renewal_is_shown_the_new_certificates(
    loop: str, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    async def story() -> None:
        own, other = made(tmp_path, "mx.test"), made(tmp_path, "other.test")
        context = server_context(own, {"other.test": other})
        async with opened(bound, tls=context) as (_, number):
            old = [der(own), der(other)]
            # Without SNI (an address is asked for), with a foreign name, with one that is known.
            asked = [None, "elsewhere.test", "OTHER.test"]
            assert [(await shown(number, name, version))[0] for name in asked] == [old[0], old[0], old[1]]
            made(tmp_path, "mx.test")
            made(tmp_path, "other.test")
            assert [(await shown(number, name, version))[0] for name in asked] == [old[0], old[0], old[1]]
            context.use(context.load())
            new = [der(own), der(other)]
            assert [(await shown(number, name, version))[0] for name in asked] == [new[0], new[0], new[1]]
            assert not set(old) & set(new)

    run(loop, story())


@both_loops
def test_a_session_goes_on_while_certificates_are_renewed(loop: str, tmp_path: Path) -> None:
    async def talk(stream: Stream) -> None:
        while (line := await stream.line(100)) != b"QUIT\r\n":
            stream.write(line)

    async def story() -> None:
        context = server_context(made(tmp_path, "mx.test"))
        async with opened(talk, tls=context) as (_, number):
            client = await connect("127.0.0.1", number, context=trusting(), server_hostname="x")
            client.write(b"one\r\n")
            assert await client.line(100) == b"one\r\n"
            made(tmp_path, "mx.test")
            context.use(context.load())
            client.write(b"two\r\nQUIT\r\n")
            assert await client.line(100) == b"two\r\n"
            await client.close()

    run(loop, story())


@pytest.mark.parametrize("broken", ["gone", "garbage", "of-another"])
def test_certificates_that_do_not_load_leave_the_old_ones(broken: str, tmp_path: Path) -> None:
    async def story() -> None:
        own, other = made(tmp_path, "mx.test"), made(tmp_path, "other.test")
        context = server_context(own, {"other.test": other})
        old = der(own), der(other)
        made(tmp_path, "mx.test")
        if broken == "gone":
            other.key.unlink()
        elif broken == "garbage":
            other.certificate.write_text("no certificate")
        else:
            other.key.write_bytes(own.key.read_bytes())
        with pytest.raises(OSError):
            context.load()
        async with opened(bound, tls=context) as (_, number):
            assert ((await shown(number))[0], (await shown(number, "other.test"))[0]) == old

    run("uvloop", story())


# --- tls-server-end-point


@both_loops
@pytest.mark.parametrize("version", VERSIONS, ids=lambda one: one.name)
def test_a_login_is_bound_to_the_certificate_that_was_shown(
    loop: str, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    async def story() -> None:
        context = server_context(made(tmp_path, "mx.test"), {"other.test": made(tmp_path, "other.test")})
        async with opened(bound, tls=context) as (_, number):
            for again in range(2):
                for name in (None, "mx.test", "other.test"):
                    certificate, said = await shown(number, name, version)
                    assert said == repr(hashlib.sha256(certificate).digest()).encode()
                if not again:
                    made(tmp_path, "mx.test")
                    context.use(context.load())

    run(loop, story())


def test_without_tls_and_in_memory_nothing_is_bound() -> None:
    async def story() -> None:
        server, client = memory.pair()
        assert server.channel_binding() is None
        memory.mark_tls(server, client)
        assert server.channel_binding() is None

    run("asyncio", story())


def test_a_resumed_session_is_bound_to_nothing(key_pair: KeyPair) -> None:
    """Its certificate was shown in another handshake, and may have been another."""

    async def story() -> None:
        context = trusting()
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose ticket is there when the handshake is done

        def visit(number: int, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bytes]:
            plain = socket.create_connection(("127.0.0.1", number), 10)
            with plain, context.wrap_socket(plain, server_hostname="x", session=session) as tls:
                assert tls.session_reused is (session is not None)
                return tls.session, tls.recv(1000)

        async with opened(bound, tls=server_context(key_pair)) as (_, number):
            session, said = await asyncio.to_thread(visit, number, None)
            assert said == repr(hashlib.sha256(der(key_pair)).digest()).encode() + b"\r\n"
            _, said = await asyncio.to_thread(visit, number, session)
            assert said == b"None\r\n"

    run("asyncio", story())


@pytest.mark.parametrize(
    ("kind", "function", "wanted"),
    [
        ("rsa", hashes.SHA384(), "sha384"),
        ("rsa", hashes.SHA512(), "sha512"),
        ("ec", hashes.SHA256(), "sha256"),
        ("ed25519", None, None),
    ],
)
def test_the_hash_is_the_signatures_own(
    kind: str, function: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None, wanted: str | None, tmp_path: Path
) -> None:
    """RFC 5929 4.1; SHA-1 and MD5, which become SHA-256, can't be made any more."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if kind == "rsa":
        key = rsa.generate_private_key(65537, 2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    ).sign(key, function)
    pair = KeyPair(tmp_path / "c", tmp_path / "k")
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    end_point = server_context(pair).end_point
    assert end_point == (hashlib.new(wanted, der(pair)).digest() if wanted else None)


# --- names


@pytest.mark.parametrize("name", [b"\xff\xfe.test", "bücher.test".encode()])
def test_a_servers_name_that_is_none_is_refused_without_a_traceback(
    name: bytes, key_pair: KeyPair, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python's ssl would write one."""

    async def story() -> None:
        hello = _hello(b"x" * len(name)).replace(b"x" * len(name), name)
        async with opened(bound, tls=server_context(key_pair)) as (_, number):
            client = await raw(number)
            client.send(hello)
            assert await heard(client) == UNRECOGNIZED_NAME
            client.close()

    run("uvloop", story())
    assert "Traceback" not in capfd.readouterr().err


def _hello(name: bytes) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trusting().wrap_bio(incoming, outgoing, server_hostname=name.decode()).do_handshake()
    return outgoing.read()


# --- certificates of clients


@pytest.mark.parametrize("version", VERSIONS, ids=lambda one: one.name)
@pytest.mark.parametrize("after", ["at-once", "renewed", "by-name"])
def test_a_clients_certificate_may_be_shown_and_must_be_good(
    version: ssl.TLSVersion, after: str, key_pair: KeyPair, tmp_path: Path
) -> None:
    async def certified(stream: Stream) -> None:
        assert stream.tls is not None
        stream.write(b"certificate\r\n" if stream.tls.getpeercert() else b"none\r\n")

    async def visit(number: int, pair: KeyPair | None) -> bytes:
        context = trusting()
        context.minimum_version = context.maximum_version = version
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        name = "other.test" if after == "by-name" else "x"
        client = await connect("127.0.0.1", number, context=context, server_hostname=name)
        try:
            return await client.line(100)
        finally:
            client.abort()

    async def story() -> None:
        known, stranger = _client(tmp_path, "known"), _client(tmp_path, "stranger")
        others = {"other.test": made(tmp_path, "other.test")}
        context = server_context(key_pair, others, client_ca=known.certificate)
        assert isinstance(context, ServerContext)
        if after == "renewed":
            context.use(context.load())
        async with opened(certified, tls=context) as (_, number):
            assert await visit(number, None) == b"none\r\n"
            assert await visit(number, known) == b"certificate\r\n"
            with pytest.raises((OSError, EndOfStream)):
                await visit(number, stranger)

    run("uvloop", story())


def test_nobody_is_asked_for_one_without_an_authority(key_pair: KeyPair) -> None:
    assert server_context(key_pair).verify_mode is ssl.CERT_NONE


def test_an_authority_that_does_not_load_is_an_error_at_the_start(key_pair: KeyPair, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        server_context(key_pair, client_ca=tmp_path / "none")
    with pytest.raises(OSError):
        server_context(key_pair, client_ca=key_pair.key)


def _client(folder: Path, name: str) -> KeyPair:
    """A certificate that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pair = KeyPair(folder / f"{name}.pem", folder / f"{name}.key")
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return pair
