"""OAUTHBEARER and XOAUTH2: RFC 7628's example, and what a client could garble."""

from __future__ import annotations

import json

import pytest

from postroom.accounts.authority import Outcome
from postroom.accounts.sasl import Cancelled, Malformed
from postroom.accounts.sasl.oauth import read_bearer, read_xoauth2
from postroom.net.limits import TOKEN_OCTETS
from tests.accounts.sasl.desk import Desk, exchange

EXAMPLE = (  # RFC 7628 4.1
    b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
    b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
)
GOOD = b"n,a=alice@example.test,\x01auth=Bearer good\x01\x01"
GOOD_2 = b"user=alice@example.test\x01auth=Bearer good\x01\x01"


def test_the_rfcs_own_example() -> None:
    assert read_bearer(EXAMPLE) == ("user@example.com", b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")


@pytest.mark.parametrize(("mechanism", "message"), [("OAUTHBEARER", GOOD), ("XOAUTH2", GOOD_2)])
def test_a_good_token_passes(mechanism: str, message: bytes) -> None:
    desk = Desk()
    assert exchange(mechanism, message, [], desk)[0].outcome is Outcome.OK
    assert exchange(mechanism, None, [message], desk)[1] == [b""]
    assert desk.tokens[0] == ("alice@example.test", b"good")


@pytest.mark.parametrize(("mechanism", "message"), [("OAUTHBEARER", GOOD), ("XOAUTH2", GOOD_2)])
@pytest.mark.parametrize("answer", [b"\x01", b"", b"whatever", Cancelled(), Malformed()])
@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.BLOCKED])
def test_a_failure_is_told_in_json_and_stays_one(
    mechanism: str, message: bytes, answer: bytes | Exception, outcome: Outcome
) -> None:
    word, asked = exchange(mechanism, message, [answer], Desk(outcome))
    assert word.outcome is outcome and len(asked) == 1
    assert set(json.loads(asked[0])) == {"status", "schemes", "scope"}


def test_a_verifier_that_is_away_is_no_failure_of_the_token() -> None:
    word, asked = exchange("OAUTHBEARER", GOOD, [], Desk(Outcome.UNAVAILABLE))
    assert word.outcome is Outcome.UNAVAILABLE and not asked


def test_one_need_not_say_who_one_is() -> None:
    assert read_bearer(b"n,,\x01auth=bearer abc\x01\x01") == ("", b"abc")
    assert read_bearer(b"y,a=a=2Cb=3D,\x01auth=BEARER abc\x01\x01") == ("a,b=", b"abc")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n,,\x01\x01",
        b"n,,\x01auth=Bearer good\x01",
        b"n,,auth=Bearer good\x01\x01",
        b"p=tls-unique,,\x01auth=Bearer good\x01\x01",
        b"n,b=x,\x01auth=Bearer good\x01\x01",
        b"n,a=\xff,\x01auth=Bearer good\x01\x01",
        b"n,a=a=b,\x01auth=Bearer good\x01\x01",
        b"n,,\x01auth=Basic good\x01\x01",
        b"n,,\x01auth=Bearer \x01\x01",
        b"n,,\x01auth=Bearer a b\x01\x01",
        b"n,,\x01auth=Bearer a\r\nb\x01\x01",
        b"n,,\x01auth=Bearer a\x00b\x01\x01",
        b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
        b"n,,\x01host\x01auth=Bearer a\x01\x01",
        b"n,,\x01" + b"x=1\x01" * 9 + b"auth=Bearer a\x01\x01",
        b"n,,\x01" + b"".join(b"%b=1\x01" % (b"x" * n) for n in range(1, 9)) + b"auth=Bearer a\x01\x01",
        GOOD_2,
    ],
)
def test_a_garbled_bearer_message_is_malformed_and_nothing_of_it_is_told(message: bytes) -> None:
    with pytest.raises(Malformed) as fault:
        read_bearer(message)
    assert "good" not in str(fault.value)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"user=\x01auth=Bearer good\x01\x01",
        b"user=a\x01auth=Bearer good\x01",
        b"user=a\x01\x01",
        b"auth=Bearer good\x01user=a\x01\x01",
        b"user=a\x00b\x01auth=Bearer good\x01\x01",
        GOOD,
    ],
)
def test_a_garbled_xoauth2_message_is_malformed(message: bytes) -> None:
    with pytest.raises(Malformed):
        read_xoauth2(message)


def test_limit_of_a_token_and_one_more() -> None:
    for reader, frame in (
        (read_bearer, b"n,,\x01auth=Bearer %b\x01\x01"),
        (read_xoauth2, b"user=a\x01auth=Bearer %b\x01\x01"),
    ):
        assert len(reader(frame % (b"x" * TOKEN_OCTETS))[1]) == TOKEN_OCTETS
        for octets in (TOKEN_OCTETS + 1, 100 * TOKEN_OCTETS):
            with pytest.raises(Malformed):
                reader(frame % (b"x" * octets))
