from __future__ import annotations

import email.utils

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.intake.envelope import Envelope, Origin, Recipient
from postroom.intake.received import write_date, write_prefixes
from postroom.smtp.grammar import Address, read_address
from postroom.store.values import MAX_PREFIX, Account, AccountId
from tests.smtp.office import NOW


def to(address: str, account: str = "alice@example.test") -> Recipient:
    return Recipient(Account(AccountId(1), account), read_address(address))


def prefix(origin: Origin, sender: str | None = "jo@other.test", recipient: str = "info@example.test") -> str:
    envelope = Envelope(read_address(sender) if sender else None, (to(recipient),))
    (written,) = write_prefixes(envelope, origin, "mx.example.test", NOW)
    return written.decode("ascii")


def test_the_prefix_of_a_letter_from_another_site() -> None:
    origin = Origin("client.test", "192.0.2.1", "ESMTPS", "a1.1")
    assert prefix(origin) == (
        "Return-Path: <jo@other.test>\r\n"
        "Delivered-To: alice@example.test\r\n"
        "Received: from client.test ([192.0.2.1])\r\n"
        "\tby mx.example.test with ESMTPS id a1.1\r\n"
        "\tfor <info@example.test>;\r\n"
        "\tTue, 14 Nov 2023 22:13:20 +0000\r\n"
    )


def test_reports_have_no_sender() -> None:
    assert prefix(Origin("x", "192.0.2.1", "SMTP", "a"), None).startswith("Return-Path: <>\r\n")


def test_ipv6_and_clients_without_a_name() -> None:
    assert "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n" in prefix(
        Origin("", "2001:db8::1", "SMTP", "a")
    )


def test_the_program_itself_comes_from_nowhere() -> None:
    assert "Received: by mx.example.test with LMTP id a\r\n\tfor " in prefix(Origin("", "", "LMTP", "a"))


def test_postmaster_stands_as_it_was_said() -> None:
    assert "\tfor <postmaster>;" in prefix(Origin("", "", "SMTP", "a"), recipient="postmaster")


def test_each_recipient_has_a_prefix_that_names_no_other() -> None:
    envelope = Envelope(None, (to("a@example.test"), to("b@example.test", "bob@example.test")))
    first, second = write_prefixes(envelope, Origin("", "", "SMTP", "x"), "mx.example.test", NOW)
    assert b"for <a@example.test>;" in first and b"b@" not in first and b"bob@" not in first
    assert b"Delivered-To: bob@example.test" in second and b"a@example" not in second


@pytest.mark.parametrize(
    "hello", ["a\r\nBcc: x", "a) by evil (", "a;b", 'a"b', "a\0b", "a b", "ä", "(", "<x>", "a\\"]
)
def test_no_name_breaks_out_of_its_place(hello: str) -> None:
    lines = prefix(Origin(hello, "192.0.2.1", "SMTP", "a")).split("\r\n")
    assert len(lines) == 7
    source = lines[2].removeprefix("Received: from ").removesuffix(" ([192.0.2.1])")
    assert not set(source) & set('\r\n\0 ();"<>\\')


def test_the_longest_names_fit_into_a_prefix() -> None:
    domain = ".".join(["d" * 60] * 3)
    longest = f"{'l' * 64}@{domain}"
    envelope = Envelope(read_address(longest), (to(longest, "a" * 255),))
    origin = Origin("h" * 255, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "ESMTPSA", "i" * 50)
    (written,) = write_prefixes(envelope, origin, "m" * 255, NOW)
    assert len(written) <= MAX_PREFIX
    assert max(map(len, written.split(b"\r\n"))) <= 998  # RFC 5322 2.1.1


@pytest.mark.parametrize("seconds", [0, 1, NOW, 951_782_400, 1_709_164_800, 4_102_444_800])
def test_dates_are_those_of_the_standard_library(seconds: int) -> None:
    parsed = email.utils.parsedate_to_datetime(write_date(seconds))
    assert int(parsed.timestamp()) == seconds
    assert email.utils.format_datetime(parsed).replace(", 0", ", ") == write_date(seconds)


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=40),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
)
def test_a_prefix_is_always_six_lines_of_ascii(hello: str, local: str) -> None:
    address = Address(local, "other.test")
    envelope = Envelope(address, (Recipient(Account(AccountId(1), "alice@example.test"), address),))
    (written,) = write_prefixes(envelope, Origin(hello, "192.0.2.1", "SMTP", hello), "mx.example.test", NOW)
    assert written.isascii()
    assert written.count(b"\r\n") == written.count(b"\n") == written.count(b"\r") == 6
    assert b"\0" not in written
