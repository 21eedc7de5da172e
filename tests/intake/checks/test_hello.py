from __future__ import annotations

import socket

import pytest

from postroom.intake.checks.hello import hello_check
from postroom.intake.envelope import PASSED, Passed, Rejected
from postroom.smtp.replies import R501_HELLO, R550_HELLO
from tests.intake.checks.callers import PEER, caller, judged

NAMES = ("mx.example.test", "example.test")
NOT_YOURS, NO_NAME = Rejected(R550_HELLO), Rejected(R501_HELLO)


def said(hello: str, peer: str = PEER, *, strict: bool = False) -> Passed | Rejected:
    return judged(hello_check(NAMES, strict=strict), caller(peer, hello))


@pytest.mark.parametrize(
    ("hello", "literal", "strict"),
    [
        ("client.test", PASSED, PASSED),
        ("CLIENT.test.", PASSED, PASSED),
        ("[192.0.2.1]", PASSED, PASSED),
        ("192.0.2.1", PASSED, NO_NAME),
        ("client", PASSED, NO_NAME),
        ("localhost", PASSED, NO_NAME),
        ("192.0.2.2", NOT_YOURS, NO_NAME),
        ("[192.0.2.2]", NOT_YOURS, NOT_YOURS),
        ("[127.0.0.1]", NOT_YOURS, NOT_YOURS),
        ("[IPv6:2001:db8::1]", NOT_YOURS, NOT_YOURS),
        ("[IPv6:::ffff:192.0.2.1]", PASSED, PASSED),
        ("mx.example.test", NOT_YOURS, NOT_YOURS),
        ("Example.TEST", NOT_YOURS, NOT_YOURS),
        ("mail.example.test", PASSED, PASSED),
        ("[x400:abc]", NO_NAME, NO_NAME),
    ],
)
def test_a_stranger_may_say_what_can_be_his(
    hello: str, literal: Passed | Rejected, strict: Passed | Rejected
) -> None:
    assert said(hello) == literal
    assert said(hello, strict=True) == strict


def test_an_ipv6_client_says_its_own_address() -> None:
    assert said("[IPv6:2001:DB8::1]", "2001:db8::1") == PASSED
    assert said("[IPv6:2001:db8:0:0::1]", "2001:db8::1", strict=True) == PASSED
    assert said("[IPv6:2001:db8::2]", "2001:db8::1") == NOT_YOURS
    assert said("[IPv6:fe80::1]", "fe80::1%eth0") == PASSED


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", ""])
@pytest.mark.parametrize(
    "hello", ["localhost", "laptop", "[127.0.0.1]", "[127.0.1.1]", "[IPv6:::1]", "mx.example.test", "example.test"]
)
def test_nothing_that_this_machines_own_programs_say_is_refused(peer: str, hello: str) -> None:
    assert said(hello, peer) == PASSED


def test_who_comes_by_loopback_may_say_any_address_of_this_machine_and_no_other() -> None:
    # What smtplib says where the host's name has no domain: the address of that name.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.1", 9))
        assert said(f"[{probe.getsockname()[0]}]", "127.0.0.1") == PASSED
    assert said("[192.0.2.7]", "127.0.0.1") == NOT_YOURS
    assert said("[IPv6:2001:db8::7]", "127.0.0.1") == NOT_YOURS
