"""Which names mailboxes and accounts may have."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net.limits import ACCOUNT_OCTETS, IMAP_MAILBOX_LEVELS, IMAP_MAILBOX_NAME_OCTETS
from postroom.store.names import canonical, is_account_name, is_mailbox_name, levels_above


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("inbox", "INBOX"),
        ("InBox/x", "INBOX/x"),
        ("inboxes", "inboxes"),
        ("x/inbox", "x/inbox"),
        ("ınbox", "ınbox"),  # a dotless i is another letter, whatever upper() makes of it
        ("", ""),
    ],
)
def test_inbox_is_the_first_level_in_any_case(name: str, inside: str) -> None:
    assert canonical(name) == inside


@pytest.mark.parametrize("name", ["a", "a/b", "Entwürfe", "../..", "~", "a b", "日本語", "100%", "*", '"', "\\"])
def test_a_mailbox_may_have_any_printable_name(name: str) -> None:
    assert is_mailbox_name(name)


@pytest.mark.parametrize(
    "name", ["", "/", "/a", "a/", "a//b", "a\0", "a\r\nb", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "a/\x1b"]
)
def test_a_mailbox_may_not_have_controls_or_empty_levels(name: str) -> None:
    assert not is_mailbox_name(name)


def test_the_longest_name_of_a_mailbox_is_counted_in_octets() -> None:
    assert is_mailbox_name("a" * IMAP_MAILBOX_NAME_OCTETS)
    assert not is_mailbox_name("a" * (IMAP_MAILBOX_NAME_OCTETS + 1))
    assert is_mailbox_name("ä" * (IMAP_MAILBOX_NAME_OCTETS // 2))
    assert not is_mailbox_name("ä" * (IMAP_MAILBOX_NAME_OCTETS // 2) + "a")


def test_the_deepest_name_of_a_mailbox() -> None:
    assert is_mailbox_name("/".join("a" * IMAP_MAILBOX_LEVELS))
    assert not is_mailbox_name("/".join("a" * (IMAP_MAILBOX_LEVELS + 1)))


def test_the_levels_above_a_mailbox_are_named_from_the_top() -> None:
    assert levels_above("a") == []
    assert levels_above("a/b/c") == ["a", "a/b"]


@pytest.mark.parametrize("address", ["alice@example.test", "a", "jürgen@example.test", "a+b@x", "a b@x"])
def test_an_account_may_be_called_so(address: str) -> None:
    assert is_account_name(address)


@pytest.mark.parametrize("address", ["", ".alice@x", "Alice@x", "../x", "a/b@x", "a\0@x", "a\n@x", "\ud800@x"])
def test_an_account_may_not_be_called_so(address: str) -> None:
    assert not is_account_name(address)


def test_the_longest_name_of_an_account_is_counted_in_octets() -> None:
    assert is_account_name("a" * ACCOUNT_OCTETS)
    assert not is_account_name("a" * (ACCOUNT_OCTETS + 1))
    assert not is_account_name("ä" * (ACCOUNT_OCTETS // 2 + 1))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_no_name_raises(name: str) -> None:
    canonical(name)
    is_mailbox_name(name)
    is_account_name(name)
    if is_mailbox_name(name):
        assert canonical(canonical(name)) == canonical(name)
        assert all(is_mailbox_name(level) for level in levels_above(name))
