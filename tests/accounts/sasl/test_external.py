"""EXTERNAL: whose certificate it is."""

from __future__ import annotations

import pytest

from postroom.accounts.authority import Outcome
from postroom.accounts.sasl import Malformed
from postroom.accounts.sasl.external import certified, one_of
from postroom.net.limits import CERTIFICATE_NAMES
from tests.accounts.sasl.desk import ALICE, Desk, exchange


def test_the_empty_message_means_whoever_the_certificate_names() -> None:
    for initial, answers in ((b"", []), (None, [b""])):
        desk = Desk()
        word, _ = exchange("EXTERNAL", initial, answers, desk)
        assert word.outcome is Outcome.OK and desk.certificates == [("", (ALICE,))]


def test_one_may_say_whom_one_means() -> None:
    desk = Desk()
    exchange("EXTERNAL", ALICE.encode(), [], desk)
    assert desk.certificates == [(ALICE, (ALICE,))]


@pytest.mark.parametrize("message", [b"a\x00b", b"\xff", b"a\nb", b"a" * 256, b"a" * 25600])
def test_garbage_is_malformed(message: bytes) -> None:
    with pytest.raises(Malformed):
        exchange("EXTERNAL", message)


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        (None, ()),
        ({}, ()),
        (
            {"subjectAltName": (("DNS", "x.test"), ("email", "a@x.test"), ("email", "b@x.test"))},
            ("a@x.test", "b@x.test"),
        ),
        ({"subject": ((("commonName", "c@x.test"),), (("emailAddress", "a@x.test"),))}, ("a@x.test",)),
        (
            {"subject": ((("emailAddress", "a@x.test"),),), "subjectAltName": (("email", "b@x.test"),)},
            ("b@x.test",),
        ),
        ({"subject": ((("commonName", "alice@example.test"),),)}, ()),
        ({"subjectAltName": (("email", ""), ("email", "a" * 256))}, ()),
    ],
)
def test_names_of_a_certificate(certificate: object, names: tuple[str, ...]) -> None:
    assert certified(certificate) == names


def test_limit_of_names_and_one_more() -> None:
    for count in (CERTIFICATE_NAMES, CERTIFICATE_NAMES + 1, 100 * CERTIFICATE_NAMES):
        many = {"subjectAltName": tuple(("email", f"{n}@x.test") for n in range(count))}
        assert len(certified(many)) == CERTIFICATE_NAMES


def test_nobody_acts_for_another() -> None:
    assert one_of("", ("a@x.test", "b@x.test")) == ("a@x.test", "b@x.test")
    assert one_of("B@x.test", ("a@x.test", "b@x.test")) == ("B@x.test",)
    with pytest.raises(Malformed):
        one_of("c@x.test", ("a@x.test", "b@x.test"))
