"""App passwords, short names, and what ends sessions: the command line beside a running server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

import click
import pytest

from postroom.cli.main import postroom
from tests.accounts.sasl.desk import Scram
from tests.house import ALICE, BOB, PASSWORDS, House
from tests.system.logins import SPOKEN, Caller

pytestmark = pytest.mark.system

PASSWORD = PASSWORDS[ALICE]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    tables = '[login]\nscram = "on"\nscram_iterations = 4096\n'
    with House(tmp_path_factory.mktemp("house"), plain=False, workers=2, tables=tables) as made:
        yield made


def account(house: House, *words: str, input: str | None = None) -> str:
    done = house.run("account", *words, input=input)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def says_no(house: House, status: int, why: str, *words: str) -> bool:
    """Whether a command fails, and why. In this process: a program takes its time to start."""
    with pytest.raises(click.ClickException) as fault:
        postroom.main(["account", *words, "--config", str(house.config_path)], standalone_mode=False)
    message = fault.value.format_message()
    return fault.value.exit_code == status and why in message and "\n" not in message


@contextlib.contextmanager
def sessions(house: House, login: str = ALICE, password: str = PASSWORD) -> Iterator[list[Caller]]:
    """One of each protocol, logged in, and two of IMAP that wait in IDLE, the second with a mailbox."""
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(Caller(house, listener)) for listener in (*SPOKEN, "imaps", "imaps")]
        for number, caller in enumerate(callers):
            assert caller.plain(login, password)
            if number == 4:
                caller.say(b"b SELECT INBOX")
                caller.lines(b"b ")
            if number >= 3:
                caller.say(b"d IDLE")
                assert caller.line().startswith(b"+")
        yield callers


def _passwd(house: House) -> None:
    account(house, "passwd", ALICE, "--password-stdin", input=PASSWORD + "\n")


def _disable(house: House) -> None:
    account(house, "disable", ALICE)


def _revoke(house: House) -> None:
    account(house, "app-password", "add", ALICE, "to go")
    account(house, "app-password", "revoke", ALICE, "to go")


@pytest.mark.parametrize("change", [_passwd, _disable, _revoke])
def test_sessions_of_all_protocols_end_those_of_others_dont(house: House, change: Callable[[House], None]) -> None:
    try:
        with sessions(house) as callers, Caller(house, "imaps") as bob:
            assert bob.plain(BOB, PASSWORDS[BOB])
            change(house)
            assert [caller.ended() for caller in callers] == [True] * 5
            bob.say(b"e NOOP")
            assert bob.line().startswith(b"e OK")
    finally:
        account(house, "enable", ALICE)


def test_a_disabled_account_is_told_what_a_stranger_is_told(house: House) -> None:
    account(house, "disable", ALICE)
    try:
        for listener in SPOKEN:
            with Caller(house, listener) as caller:
                assert not caller.plain(ALICE, PASSWORD)
                assert not caller.plain("nobody@example.test", PASSWORD)
    finally:
        account(house, "enable", ALICE)
    with Caller(house, "pop3s") as caller:
        assert caller.plain(ALICE, PASSWORD)


def test_an_app_password_from_its_making_to_its_end(house: House) -> None:
    made = account(house, "app-password", "add", ALICE, "phone", "--protocol", "imap, smtp").strip()
    everything = json.loads(account(house, "app-password", "add", ALICE, "desk", "--json"))
    assert (everything["name"], everything["protocols"]) == ("desk", [])
    for listener, may in (("submissions", True), ("imaps", True), ("pop3s", False)):
        with Caller(house, listener) as caller:
            assert caller.plain(ALICE, made) is may
        with Caller(house, listener) as caller:
            client = Scram(made.encode())
            answers = (client.final, b"") if may else (client.final,)
            assert caller.authenticate("SCRAM-SHA-256", *answers, initial=client.first) is may
        with Caller(house, listener) as caller:
            assert caller.plain(ALICE, everything["password"])
    rows = json.loads(account(house, "app-password", "list", ALICE, "--json"))
    assert [(row["name"], row["protocols"]) for row in rows] == [("desk", []), ("phone", ["smtp", "imap"])]
    listed = account(house, "app-password", "list", ALICE).splitlines()
    assert listed[0].startswith("desk  all  since 20") and listed[1].startswith("phone  smtp,imap  since 20")
    assert made not in "".join(listed)
    account(house, "app-password", "revoke", ALICE, "phone")
    account(house, "app-password", "revoke", ALICE, "desk")
    with Caller(house, "imaps") as caller:
        assert not caller.plain(ALICE, made)
    assert made not in house.log()


def test_what_app_password_says_no_to(house: House) -> None:
    account(house, "app-password", "add", BOB, "phone")
    nobody = "nobody@example.test"
    for status, why, words in (
        (1, "there is an app password of that name: phone", ("add", BOB, "phone")),
        (1, "no such account", ("add", nobody, "phone")),
        (2, "'imaps' is none of the protocols", ("add", BOB, "tablet", "--protocol", "imaps")),
        (2, "printable", ("add", BOB, " ")),
        (1, "there is no app password of that name: tablet", ("revoke", BOB, "tablet")),
        (1, "no such account", ("list", nobody)),
    ):
        assert says_no(house, status, why, "app-password", *words), words


def test_a_short_name_logs_in_and_is_one_accounts(house: House) -> None:
    account(house, "set", ALICE, "--short", "Ali", "--tags", "--letters-per-hour", "50")
    for listener in SPOKEN:
        for login in ("ali", "ALI", ALICE.upper()):
            with Caller(house, listener) as caller:
                assert caller.plain(login, PASSWORD)
    assert says_no(house, 1, "ali: another account has that name", "set", BOB, "--short", "ali")
    shown = json.loads(account(house, "show", ALICE, "--json"))
    assert (shown["short"], shown["tags"], shown["letters_per_hour"], shown["letters_per_day"]) == (
        "ali",
        True,
        50,
        None,
    )
    assert shown["address"] == ALICE and shown["disabled"] is False
    said = account(house, "show", ALICE)
    assert said.startswith(f"{ALICE}\n") and "logs in as ali too" in said
    assert "may send 50 letters an hour, what is the default a day" in said
    account(house, "set", ALICE, "--short", "none", "--no-tags", "--letters-per-hour", "default")
    shown = json.loads(account(house, "show", ALICE, "--json"))
    assert (shown["short"], shown["tags"], shown["letters_per_hour"]) == (None, False, None)
    with Caller(house, "imaps") as caller:
        assert not caller.plain("ali", PASSWORD)


def test_what_set_and_show_say_no_to(house: House) -> None:
    for status, why, words in (
        (2, "nothing to set", ("set", ALICE)),
        (2, "no domain", ("set", ALICE, "--short", "a@b")),
        (2, "character", ("set", ALICE, "--short", "../a")),
        (2, "whole number", ("set", ALICE, "--letters-per-day", "many")),
        (1, "no such account", ("set", "nobody@example.test", "--tags")),
        (1, "no such account", ("show", "nobody@example.test")),
    ):
        assert says_no(house, status, why, *words), words
