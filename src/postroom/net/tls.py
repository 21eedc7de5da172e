"""Certificates and contexts of our servers, and where a login may happen."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from postroom.net.context import Certificates, ServerContext
from postroom.net.stream import Stream

_LIFETIME = datetime.timedelta(days=3652)
_COMMON_NAME_CHARACTERS = 64
_OLD_HASHES = (hashes.MD5, hashes.SHA1)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Where a certificate (chain) and its key lie, PEM."""

    certificate: Path
    key: Path


def make_self_signed(pair: KeyPair, hostname: str) -> None:
    """Make a key and a certificate for `hostname` and this machine, good for ten years, durably.

    Each file appears whole, with mode 0600. Raises OSError.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:_COMMON_NAME_CHARACTERS])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_alternative_names(hostname)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _put(pair.key, secret)
    _put(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _alternative_names(hostname: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for name in dict.fromkeys((hostname, "localhost", "127.0.0.1", "::1")):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            names.append(x509.DNSName(name))
    return names


def _put(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all, whenever the power goes."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def server_context(
    pair: KeyPair,
    names: Mapping[str, KeyPair] | None = None,
    protocols: Iterable[str] = (),
    client_ca: Path | None = None,
) -> ServerContext:
    """The context of a server: TLS 1.2 and later (RFC 8996, RFC 9325). Its certificates can be loaded anew
    (`ServerContext.load`).

    `names` holds further certificates by server name; a client that asks for another name, or none, gets `pair`.
    `protocols` are the ALPN names that may be agreed on. With `client_ca` (PEM) clients are asked for one:
    one that it hasn't signed ends the handshake, none is fine. Raises OSError, ssl.SSLError (an OSError too) for
    files that don't fit.
    """
    offered, others = list(protocols), {_name(name): other for name, other in (names or {}).items()}

    def load() -> Certificates:
        return Certificates(
            _context(pair, offered, client_ca),
            {name: _context(other, offered, client_ca) for name, other in others.items()},
        )

    context = _context(pair, offered, client_ca)
    context.serve(load)
    return context


def _name(name: str) -> str:
    return name.lower().removesuffix(".")


def _context(pair: KeyPair, protocols: list[str], client_ca: Path | None) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 1
    context.load_cert_chain(pair.certificate, pair.key)
    context.end_point = _end_point(pair.certificate)
    if protocols:
        context.set_alpn_protocols(protocols)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(client_ca)
    return context


def _end_point(chain: Path) -> bytes | None:
    """tls-server-end-point (RFC 5929 4.1) of a chain's first certificate: its hash, by the hash function of its own
    signature, SHA-256 in place of MD5 and SHA-1; None where that signature has no such function (Ed25519)."""
    try:
        certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
        function = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    if function is None:
        return None
    return certificate.fingerprint(hashes.SHA256() if isinstance(function, _OLD_HASHES) else function)


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """Where a password may cross the line."""

    require_tls: bool
    loopback_plain: bool

    def allows(self, stream: Stream) -> bool:
        """Whether a login may happen on this connection as it is now."""
        if stream.tls is not None or not self.require_tls:
            return True
        return self.loopback_plain and is_loopback(stream.peer.host)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own (127.0.0.0/8, ::1); False for what isn't an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
