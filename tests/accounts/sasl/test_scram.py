"""SCRAM-SHA-256 and -PLUS: RFC 7677's example, the downgrade, and what doesn't fit together."""

from __future__ import annotations

import base64

import pytest

from postroom.accounts.authority import Outcome
from postroom.accounts.passwords import ScramKeys, scram_keys
from postroom.accounts.sasl import Cancelled, Malformed
from postroom.accounts.sasl.exchange import Circumstances
from postroom.accounts.sasl.scram import read_final, read_first
from postroom.net.limits import LOGIN_OCTETS, SCRAM_MESSAGE_OCTETS, SCRAM_NONCE_OCTETS
from tests.accounts.sasl.desk import ALICE, BINDING, Answer, Desk, Scram, exchange

PLUS = b"p=tls-server-end-point,,"
CLEAR = Circumstances(None, (), scram=True)


def test_the_rfcs_own_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7677 3, octet for octet."""
    monkeypatch.setattr("tests.accounts.sasl.desk.ALICE", "user")
    desk = Desk(ours=b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    keys = scram_keys(b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    assert isinstance(keys, ScramKeys)
    desk.keys = keys
    final = (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    word, asked = exchange("SCRAM-SHA-256", b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", [final, b""], desk, CLEAR)
    assert word.outcome is Outcome.OK
    assert asked == [
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ]


@pytest.mark.parametrize(
    ("mechanism", "client"),
    [
        ("SCRAM-SHA-256", Scram()),
        ("scram-sha-256", Scram(header=b"n,a=alice@example.test,")),
        ("SCRAM-SHA-256-PLUS", Scram(header=PLUS, bound=BINDING)),
        ("SCRAM-SHA-256", Scram(login=b"alice@example.test,m=not-known-and-optional".split(b",")[0])),
    ],
)
def test_a_right_proof_passes_and_the_server_proves_itself(mechanism: str, client: Scram) -> None:
    word, asked = exchange(mechanism, client.first, [client.final, b""])
    assert (word.outcome, word.address) == (Outcome.OK, ALICE)
    assert asked[1] == b"v=" + client.signature
    word, asked = exchange(mechanism, None, [client.first, client.final, b""])
    assert word.outcome is Outcome.OK and asked[0] == b""


def test_a_wrong_password_is_denied_and_gets_no_signature() -> None:
    client = Scram(b"pencils")
    word, asked = exchange("SCRAM-SHA-256", client.first, [client.final])
    assert word.outcome is Outcome.DENIED and len(asked) == 1


def test_a_client_that_doubts_the_signature_gives_up() -> None:
    client = Scram()
    with pytest.raises(Cancelled):
        exchange("SCRAM-SHA-256", client.first, [client.final, Cancelled()])
    with pytest.raises(Malformed):
        exchange("SCRAM-SHA-256", client.first, [client.final, b"more"])


@pytest.mark.parametrize(
    ("mechanism", "header", "circumstances"),
    [
        ("SCRAM-SHA-256", b"y,,", None),  # we do have -PLUS: it was taken out of our offer (RFC 5802 6)
        ("SCRAM-SHA-256", PLUS, None),
        ("SCRAM-SHA-256-PLUS", b"n,,", None),
        ("SCRAM-SHA-256-PLUS", b"y,,", None),
        ("SCRAM-SHA-256-PLUS", b"p=tls-unique,,", None),
        ("SCRAM-SHA-256-PLUS", b"p=tls-exporter,,", None),
        ("SCRAM-SHA-256", b"n,a=bob@example.test,", None),
    ],
)
def test_what_does_not_fit_the_channel_is_refused_before_a_challenge(
    mechanism: str, header: bytes, circumstances: Circumstances | None
) -> None:
    with pytest.raises(Malformed):
        exchange(mechanism, Scram(header=header).first, [], None, circumstances)


def test_without_a_binding_of_ours_a_client_may_say_that_it_has_one() -> None:
    client = Scram(header=b"y,,")
    assert exchange("SCRAM-SHA-256", client.first, [client.final, b""], None, CLEAR)[0].outcome is Outcome.OK


def _another_nonce(challenge: bytes) -> bytes:
    client = Scram()
    return client.final(challenge).replace(b"clientours", b"clienttheirs")


def _shorter_nonce(challenge: bytes) -> bytes:
    return Scram().final(challenge).replace(b"r=clientours", b"r=client")


def _no_proof(challenge: bytes) -> bytes:
    return Scram().final(challenge).partition(b",p=")[0] + b",p=AAAA"


def _changed_without(challenge: bytes) -> bytes:
    return Scram().final(challenge).replace(b",p=", b",x=1,p=")


@pytest.mark.parametrize(
    ("mechanism", "client", "final"),
    [
        ("SCRAM-SHA-256", Scram(), _another_nonce),
        ("SCRAM-SHA-256", Scram(), _shorter_nonce),
        ("SCRAM-SHA-256", Scram(), _no_proof),
        ("SCRAM-SHA-256", Scram(), _changed_without),
        ("SCRAM-SHA-256", Scram(), Scram(bound=b"x").final),
        ("SCRAM-SHA-256", Scram(), Scram(header=b"y,,").final),
        ("SCRAM-SHA-256-PLUS", Scram(header=PLUS), Scram(header=PLUS, bound=bytes(32)).final),
        ("SCRAM-SHA-256-PLUS", Scram(header=PLUS), Scram(header=PLUS).final),
    ],
)
def test_what_does_not_fit_the_beginning_is_a_wrong_proof(mechanism: str, client: Scram, final: Answer) -> None:
    """It ends the exchange at the authority, where it counts."""
    desk = Desk()
    word, asked = exchange(mechanism, client.first, [final], desk)
    assert word.outcome is Outcome.DENIED and len(asked) == 1 and len(desk.proofs) == 1


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.BLOCKED])
def test_the_authoritys_other_words_end_the_exchange(outcome: Outcome) -> None:
    word, asked = exchange("SCRAM-SHA-256", Scram().first, [], Desk(outcome))
    assert word.outcome is outcome and not asked


@pytest.mark.parametrize(
    ("written", "login"),
    [(b"alice", "alice"), (b"a=2Cb", "a,b"), (b"a=3Db=2C", "a=b,"), ("jürgen@x".encode(), "jürgen@x")],
)
def test_names_are_unescaped(written: bytes, login: str) -> None:
    assert read_first(b"n,,n=%b,r=x" % written).login == login


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=,r=x",
        b"n,,n=a",
        b"n,,n=a,r=",
        b"n,,r=x,n=a",
        b"n,,m=x,n=a,r=x",
        b"x,,n=a,r=x",
        b"p,,n=a,r=x",
        b"p=,,n=a,r=x",
        b"n,b=a,n=a,r=x",
        b"n,,n=a=b,r=x",
        b"n,,n=a=2,r=x",
        b"n,,n=a=2c,r=x",
        b"n,,n=a\x00b,r=x",
        b"n,,n=a\nb,r=x",
        b"n,,n=\xff,r=x",
        b"n,,n=a,r=x y",
        b"n,,n=a,r=x\x00",
        b"n,,n=a,r=\xc3\xa9",
        b"n,,n=a,r=x,",
        b"n,,n=a,r=x,1=x",
        b"n,a=b,n=a,r=x",
        b"n,,n=a,r=x\n",
    ],
)
def test_a_garbled_first_message_is_malformed(message: bytes) -> None:
    with pytest.raises(Malformed):
        read_first(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"c=biws",
        b"c=biws,r=x",
        b"c=biws,r=x,p=",
        b"c=biws,r=x,p=A",
        b"c=biw,r=x,p=AAAA",
        b"c=,r=x,p=AAAA",
        b"r=x,c=biws,p=AAAA",
        b"c=biws,r=x,p=AAAA,",
        b"c=biws,r=x,p=AAAA,x=1",
        b"c=biws,r=x,p=AA*A",
        b"c=biws,r=\x00,p=AAAA",
        b"c=biws,r=x,p=AAAA\n",
    ],
)
def test_a_garbled_final_message_is_malformed(message: bytes) -> None:
    with pytest.raises(Malformed):
        read_final(message)


def test_limits_of_messages_and_one_more() -> None:
    longest = b"n,,n=%b,r=%b" % (b"a" * LOGIN_OCTETS, b"x" * SCRAM_NONCE_OCTETS)
    assert len(read_first(longest).nonce) == SCRAM_NONCE_OCTETS
    for message in (longest + b"x", longest + b"x" * 100 * SCRAM_NONCE_OCTETS, b"n,,n=%b,r=x" % (b"a" * 256)):
        with pytest.raises(Malformed):
            read_first(message)
    whole = b"n,,n=a,r=x,e=" + b"1" * SCRAM_MESSAGE_OCTETS
    assert read_first(whole[:SCRAM_MESSAGE_OCTETS]).nonce == b"x"
    with pytest.raises(Malformed):
        read_first(whole[: SCRAM_MESSAGE_OCTETS + 1])
    with pytest.raises(Malformed):
        read_final(b"c=biws,r=x,p=" + b"A" * SCRAM_MESSAGE_OCTETS)
