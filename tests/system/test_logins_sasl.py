"""Every mechanism in every protocol, against the real program over TLS."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from postroom.net.limits import TOKEN_OCTETS
from tests.accounts.issuer import Issuer, issuing
from tests.accounts.sasl.desk import Scram
from tests.house import ALICE, BOB, PASSWORDS, House
from tests.system.logins import SPOKEN, Caller

pytestmark = pytest.mark.system

PASSWORD = PASSWORDS[ALICE]
LISTENERS = pytest.mark.parametrize("listener", SPOKEN)


class Ca:
    """Signs certificates for clients."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._sign(self.name, self.key, [], ca=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, mail: list[str], *, ca: bool
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if mail:
            made = made.add_extension(
                x509.SubjectAlternativeName([x509.RFC822Name(each) for each in mail]), critical=False
            )
        return made.sign(self.key, hashes.SHA256())

    def certify(self, *mail: str) -> str:
        """A file with a certificate for these addresses, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
        path = self.folder / f"{mail[0]}-{self.path.stem}"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + self._sign(name, key, list(mail), ca=False).public_bytes(serialization.Encoding.PEM)
        )
        return str(path)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        yield made


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Ca:
    return Ca(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, ca: Ca) -> Iterator[House]:
    made = House(
        tmp_path_factory.mktemp("house"),
        plain=False,
        tables=f'[oauth]\nintrospection_url = "{issuer.url}"\n[login]\nscram = "on"\nscram_iterations = 4096\n',
    )
    text = made.config_path.read_text()
    made.config_path.write_text(text.replace("[tls]\n", f'[tls]\nclient_ca = "{ca.path}"\n'))
    with made:
        # The accounts' passwords came as ready hashes: from now on there are SCRAM keys, too.
        assert made.run("account", "passwd", ALICE, "--password-stdin", input=PASSWORD + "\n").returncode == 0
        yield made


@LISTENERS
def test_what_is_offered_fits_the_connection(house: House, listener: str, ca: Ca) -> None:
    always = {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"}
    with Caller(house, listener) as caller:
        assert caller.offered() == always
    with Caller(house, listener, ca.certify(ALICE)) as caller:
        assert caller.offered() == always | {"EXTERNAL"}


@LISTENERS
def test_plain_and_login(house: House, listener: str) -> None:
    with Caller(house, listener) as caller:
        assert caller.authenticate("PLAIN", f"\0{ALICE}\0{PASSWORD}".encode())
    with Caller(house, listener) as caller:
        assert caller.authenticate("login", ALICE.upper().encode(), PASSWORD.encode())
    with Caller(house, listener) as caller:
        assert not caller.plain(ALICE, "wrong")
        assert not caller.authenticate("PLAIN", initial=f"{BOB}\0{ALICE}\0{PASSWORD}".encode())
        assert caller.plain(ALICE, PASSWORD)


@LISTENERS
def test_scram_with_and_without_the_channel(house: House, listener: str) -> None:
    secret = PASSWORD.encode()
    with Caller(house, listener) as caller:
        client = Scram(secret)
        assert not caller.authenticate("SCRAM-SHA-256", Scram(b"wrong").final, initial=client.first)
        # A middleman who took -PLUS out of our offer is found out (RFC 5802 6).
        assert not caller.authenticate("SCRAM-SHA-256", initial=Scram(secret, header=b"y,,").first)
        assert caller.authenticate("SCRAM-SHA-256", client.final, b"", initial=client.first)
    with Caller(house, listener) as caller:
        client = Scram(secret, header=b"p=tls-server-end-point,,", bound=caller.binding)
        other = Scram(secret, header=b"p=tls-server-end-point,,", bound=bytes(32))
        assert not caller.authenticate("SCRAM-SHA-256-PLUS", other.final, initial=other.first)
        assert caller.authenticate("SCRAM-SHA-256-PLUS", client.first, client.final, b"")


@LISTENERS
def test_a_certificate_of_ours_logs_in(house: House, listener: str, ca: Ca) -> None:
    with Caller(house, listener, ca.certify(ALICE)) as caller:
        assert not caller.authenticate("EXTERNAL", initial=BOB.encode())
        assert caller.authenticate("EXTERNAL", initial=b"")
    with Caller(house, listener, ca.certify("nobody@example.test", BOB)) as caller:
        assert caller.authenticate("EXTERNAL", BOB.encode())
    with Caller(house, listener, ca.certify("nobody@example.test")) as caller:
        assert not caller.authenticate("EXTERNAL", initial=b"")
    with Caller(house, listener) as caller:
        assert not caller.authenticate("EXTERNAL", initial=b"")


def test_a_certificate_that_another_signed_ends_the_handshake(house: House, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Caller(house, "imaps", Ca(tmp_path, "theirs").certify(ALICE))


@LISTENERS
def test_a_token_logs_in(house: House, listener: str, issuer: Issuer) -> None:
    bearer = b"n,a=%b,\x01host=x\x01port=1\x01auth=Bearer %b\x01\x01"
    token = f"token-{listener}".encode()
    with Caller(house, listener) as caller:
        assert caller.authenticate("OAUTHBEARER", bearer % (ALICE.encode(), token))
    with Caller(house, listener) as caller:
        assert caller.authenticate(
            "XOAUTH2", initial=b"user=%b\x01auth=Bearer %b\x01\x01" % (ALICE.encode(), token)
        )
    with Caller(house, listener) as caller:
        assert caller.authenticate("OAUTHBEARER", bearer % (ALICE.encode(), b"x" * TOKEN_OCTETS))
    with Caller(house, listener) as caller:
        # Alice's token is not Bob's.
        assert not caller.authenticate("OAUTHBEARER", b"\x01", initial=bearer % (BOB.encode(), token))
        issuer.answer = {"active": False}
        try:
            told: list[bytes] = []

            def dummy(challenge: bytes) -> bytes:
                told.append(challenge)
                return b"\x01"

            assert not caller.authenticate("OAUTHBEARER", dummy, initial=bearer % (ALICE.encode(), b"bad"))
            assert not caller.authenticate("XOAUTH2", dummy, initial=b"user=a\x01auth=Bearer bad\x01\x01")
            assert [b'"status"' in each for each in told] == [True, True]
        finally:
            issuer.answer = {"active": True, "username": ALICE}


def test_no_secret_is_in_the_log_or_a_trace(house: House) -> None:
    with Caller(house, "imaps") as caller:
        assert caller.authenticate("XOAUTH2", initial=b"user=%b\x01auth=Bearer hush-hush\x01\x01" % ALICE.encode())
        traced = house.run("trace", "--json").stdout
    for secret in (PASSWORD, "hush-hush", "aHVzaC1odXNo"):
        assert secret not in house.log() and secret not in traced
