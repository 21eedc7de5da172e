"""Who somebody is: legal names, and the one way in for every protocol."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.accounts.authority import Attempt, Login, Outcome
from postroom.accounts.directory import Directory, account_name
from postroom.accounts.sasl import Credentials
from postroom.net.limits import LOGIN_OCTETS
from postroom.store.values import Account, AccountId

ALICE = Account(AccountId(1), "alice@example.test")
BOB = Account(AccountId(2), "bob@example.test", disabled=True)


class Porter:
    """An authority to whom one password is right."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        self.outcome = outcome
        self.attempts: list[Attempt] = []

    async def login(self, attempt: Attempt) -> Login:
        self.attempts.append(attempt)
        if self.outcome is not None:
            return Login(self.outcome)
        right = attempt.password == b"right"
        return Login(Outcome.OK, attempt.login) if right else Login(Outcome.DENIED)

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        raise AssertionError("nobody asks for this")

    async def remove(self, address: str) -> None:
        raise AssertionError("nobody asks for this")

    async def close(self) -> None:
        pass


async def lookup(name: str) -> Account | None:
    return {ALICE.address: ALICE, BOB.address: BOB}.get(name)


def login(porter: Porter, name: str, password: bytes) -> Account | Outcome:
    directory = Directory(lookup, porter)
    return asyncio.run(directory.login(Credentials(name, password), "192.0.2.1", "imap", "a0x"))


@pytest.mark.parametrize("name", ["alice@example.test", "ALICE@Example.Test"])
def test_the_right_password_gives_the_account(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert login(Porter(), name, b"right") is ALICE
    assert [record.message for record in caplog.records] == [
        "login session=a0x protocol=imap peer=192.0.2.1 login=alice@example.test"
    ]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice@example.test", b"wrong"),
        ("bob@example.test", b"right"),
        ("gone@example.test", b"right"),
        ("no address", b"wrong"),
        ("../../etc/passwd", b"wrong"),
        ("a" * 300, b"wrong"),
    ],
)
def test_all_who_may_not_get_one_answer_after_the_same_question(
    name: str, password: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    porter = Porter()
    with caplog.at_level(logging.INFO):
        assert login(porter, name, password) is Outcome.DENIED
    assert len(porter.attempts) == 1 and porter.attempts[0].peer == "192.0.2.1"
    (record,) = caplog.records
    assert record.message.startswith("login-failed session=a0x protocol=imap peer=192.0.2.1 login=")
    assert record.message.endswith(" reason=denied") and "wrong" not in record.message


@pytest.mark.parametrize("outcome", [Outcome.BLOCKED, Outcome.UNAVAILABLE, Outcome.DENIED])
def test_the_authoritys_other_words_are_passed_on(outcome: Outcome) -> None:
    assert login(Porter(outcome), "alice@example.test", b"right") is outcome


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alice@example.test", "alice@example.test"),
        ("Al.Ice+tag@EXAMPLE.test", "al.ice+tag@example.test"),
        ("o'neil!#$%&*=?^_`{|}~-@x", "o'neil!#$%&*=?^_`{|}~-@x"),
        ("JÜRGEN@Bücher.example", "jürgen@bücher.example"),
        ("ju\u0308rgen@x", "jürgen@x"),
        ("アリス@例え.テスト", "アリス@例え.テスト"),
        ("a@" + "b" * 63, "a@" + "b" * 63),
        ("1@2x", "1@2x"),
    ],
)
def test_names_are_one_spelling(text: str, name: str) -> None:
    assert account_name(text) == name
    assert account_name(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "alice",
        "alice@",
        "@example.test",
        "a/b@x",
        "../x@y",
        ".a@x",
        "a.@x",
        "a..b@x",
        "a@b@c",
        "a b@x",
        'a"b@x',
        "a\\b@x",
        "a\x00@x",
        "a\n@x",
        "a@x/y",
        "a@.x",
        "a@x.",
        "a@x..y",
        "a@-x",
        "a@x-",
        "a@[192.0.2.1]",
        "a@192.0.2.1",
        "a@" + "b" * 64,
        "a\u202eb@x",
        "a\u200bb@x",
        "a\udcff@x",
        "a@x\udcff",
        "😀@x",
    ],
)
def test_what_could_be_a_path_or_a_trick_is_no_name(text: str) -> None:
    with pytest.raises(ValueError):
        account_name(text)


def test_limit_of_a_name_and_one_more() -> None:
    domain = "@" + "x" * 60
    longest = "a" * (LOGIN_OCTETS - len(domain)) + domain
    assert account_name(longest) == longest
    with pytest.raises(ValueError, match=str(LOGIN_OCTETS)):
        account_name("a" + longest)
    with pytest.raises(ValueError, match=str(LOGIN_OCTETS)):
        account_name("ü" * 128 + "@x")


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_stable_name_or_a_value_error(text: str) -> None:
    try:
        name = account_name(text + "@x")
    except ValueError:
        return
    assert account_name(name) == name and "/" not in name and not name.startswith(".")
