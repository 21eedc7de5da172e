"""The authority's half of SCRAM: salts of strangers, nonces for once, bounds."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from postroom.accounts.authority import Opening, Proof
from postroom.accounts.passwords import ScramKeys, scram_keys
from postroom.accounts.scramming import Begun, Scrams, proves, salt_of
from postroom.accounts.secrets import Secrets
from postroom.net.limits import (
    APP_PASSWORDS,
    SCRAM_EXCHANGE_SECONDS,
    SCRAM_EXCHANGES,
    SCRAM_EXCHANGES_PER_NETWORK,
)
from tests.accounts.sasl.desk import ALICE, PASSWORD, Scram

COUNT = 4096


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Secrets]:
    opened = Secrets(tmp_path / "secrets.db")
    yield opened
    opened.close()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def opening(login: str = ALICE, peer: str = "192.0.2.1", client: Scram | None = None) -> Opening:
    return Opening(login, (client or Scram()).bare, b"client", peer, "imap")


def keys_of(secrets: Secrets, password: bytes = PASSWORD, count: int = COUNT) -> ScramKeys:
    made = scram_keys(password, salt_of(secrets.site_key(), ALICE), count)
    assert made is not None
    return made


def prove(scrams: Scrams, client: Scram, begun: tuple[bytes, bytes], protocol: str = "imap") -> bytes | None:
    nonce, message = begun
    without, _, proof = client.final(message).rpartition(b",p=")
    found = scrams.end(nonce)
    assert found is not None
    return proves(found, Proof(nonce, without, base64.b64decode(proof), found.peer))


def test_a_password_is_proved_and_answered(secrets: Secrets) -> None:
    secrets.keep(ALICE, "{ARGON2ID}x", keys_of(secrets))
    scrams, client = Scrams(secrets, COUNT, Clock()), Scram()
    signature = prove(scrams, client, scrams.begin(opening(), "imap"))
    assert signature is not None and base64.b64encode(signature) == client.signature
    wrong = Scram(b"wrong")
    assert prove(scrams, wrong, scrams.begin(opening(), "imap")) is None


def test_a_nonce_is_longer_than_the_clients_and_good_for_once(secrets: Secrets) -> None:
    scrams = Scrams(secrets, COUNT, Clock())
    (nonce, message), (other, _) = scrams.begin(opening(), "imap"), scrams.begin(opening(), "imap")
    assert nonce != other and nonce.startswith(b"client") and len(nonce) >= 6 + 24
    assert message.startswith(b"r=%b,s=" % nonce)
    assert scrams.end(nonce) is not None and scrams.end(nonce) is None
    assert scrams.end(b"client") is None and len(scrams) == 1


def test_a_stranger_has_one_salt_whenever_asked(secrets: Secrets) -> None:
    def first(login: str) -> bytes:
        return Scrams(secrets, COUNT, Clock()).begin(opening(login), "imap")[1].partition(b",")[2]

    assert first("nobody@example.test") == first("nobody@example.test") != first("noone@example.test")
    salt = first(ALICE)
    secrets.keep(ALICE, "{ARGON2ID}x", keys_of(secrets))
    assert first(ALICE) == salt
    assert first("\udcff") == first("\udcff")


def test_a_stranger_counts_as_accounts_here_do(secrets: Secrets) -> None:
    secrets.keep(ALICE, "{ARGON2ID}x", keys_of(secrets, count=5000))
    message = Scrams(secrets, 9999, Clock()).begin(opening("nobody@example.test"), "imap")[1]
    assert message.endswith(b",i=5000")


def test_a_stranger_can_prove_nothing(secrets: Secrets) -> None:
    scrams = Scrams(secrets, COUNT, Clock())
    for password in (b"", b"x", PASSWORD):
        client = Scram(password, login=b"nobody@example.test")
        assert prove(scrams, client, scrams.begin(opening("nobody@example.test", client=client), "imap")) is None


def test_each_proof_costs_the_same_number_of_comparisons(secrets: Secrets) -> None:
    scrams = Scrams(secrets, COUNT, Clock())

    def work(login: str) -> int:
        found = scrams.end(scrams.begin(opening(login), "imap")[0])
        assert isinstance(found, Begun)
        return len(found.keys)

    assert work("nobody@example.test") == APP_PASSWORDS + 1
    secrets.keep(ALICE, "{ARGON2ID}x", keys_of(secrets))
    assert work(ALICE) == APP_PASSWORDS + 1
    for number in range(APP_PASSWORDS):
        secrets.keep_app(ALICE, str(number), (), "{SHA256}x", keys_of(secrets, b"%d" % number), APP_PASSWORDS)
    assert work(ALICE) == APP_PASSWORDS + 1
    for number in range(APP_PASSWORDS):
        assert prove(scrams, Scram(b"%d" % number), scrams.begin(opening(), "imap")) is not None


def test_an_app_password_of_other_parameters_waits_for_plain(secrets: Secrets) -> None:
    secrets.keep(ALICE, "{ARGON2ID}x", keys_of(secrets))
    secrets.keep_app(ALICE, "old", (), "{SHA256}x", keys_of(secrets, b"app", count=COUNT + 1), 20)
    secrets.keep_app(ALICE, "pop", ("pop3",), "{SHA256}y", keys_of(secrets, b"pop"), 20)
    scrams = Scrams(secrets, COUNT, Clock())
    assert prove(scrams, Scram(), scrams.begin(opening(), "imap")) is not None
    assert prove(scrams, Scram(b"app"), scrams.begin(opening(), "imap")) is None
    assert prove(scrams, Scram(b"pop"), scrams.begin(opening(), "imap")) is None
    assert prove(scrams, Scram(b"pop"), scrams.begin(opening(), "pop3")) is not None


@pytest.mark.parametrize("proof", [b"", b"x", bytes(31), bytes(32), bytes(33), bytes(3200)])
def test_a_proof_of_any_length_is_wrong_and_nothing_worse(secrets: Secrets, proof: bytes) -> None:
    secrets.keep(ALICE, "{ARGON2ID}x", keys_of(secrets))
    scrams = Scrams(secrets, COUNT, Clock())
    for login in (ALICE, "nobody@example.test"):
        nonce, _ = scrams.begin(opening(login), "imap")
        found = scrams.end(nonce)
        assert found is not None and proves(found, Proof(nonce, b"c=biws", proof, "")) is None


def test_an_exchange_ends_by_itself(secrets: Secrets) -> None:
    clock = Clock()
    scrams = Scrams(secrets, COUNT, clock)
    early, late = scrams.begin(opening(), "imap")[0], scrams.begin(opening(), "imap")[0]
    clock.now += SCRAM_EXCHANGE_SECONDS - 0.1
    assert scrams.end(early) is not None
    clock.now += 0.1
    assert scrams.end(late) is None and len(scrams) == 0


def test_a_flood_of_one_network_forgets_its_own(secrets: Secrets) -> None:
    scrams = Scrams(secrets, COUNT, Clock())
    other = scrams.begin(opening(peer="198.51.100.7"), "imap")[0]
    first = scrams.begin(opening(peer="2001:db8::1"), "imap")[0]
    for number in range(100 * SCRAM_EXCHANGES_PER_NETWORK):
        scrams.begin(opening(peer=f"2001:db8::{number % 7}"), "imap")
    assert len(scrams) == SCRAM_EXCHANGES_PER_NETWORK + 1
    assert scrams.end(first) is None and scrams.end(other) is not None


def test_exchanges_are_bounded_in_all(secrets: Secrets) -> None:
    scrams = Scrams(secrets, COUNT, Clock())
    nonces = [
        scrams.begin(replace(opening(), peer=f"10.{n >> 8}.{n & 255}.1"), "imap")[0]
        for n in range(SCRAM_EXCHANGES + 1)
    ]
    assert len(scrams) == SCRAM_EXCHANGES
    assert scrams.end(nonces[0]) is None and scrams.end(nonces[1]) is not None
    for nonce in nonces:
        scrams.end(nonce)
    assert len(scrams) == 0 and not scrams._by_network
