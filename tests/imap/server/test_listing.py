"""LIST, extended and not, and LSUB."""

from __future__ import annotations

import asyncio

import pytest

from postroom.net.limits import IMAP_LIST_PATTERNS
from postroom.store.changes import CreateMailbox, DeleteMailbox, Subscribe
from tests.imap.server.house import ALICE, House, Open, login
from tests.talk import session

LISTED_FIRST = r"""
S: * LIST (\HasNoChildren) "/" INBOX
S: * LIST (\HasNoChildren \Archive) "/" Archive
S: * LIST (\HasNoChildren \Drafts) "/" Drafts
S: * LIST (\HasNoChildren \Junk) "/" Junk
S: * LIST (\HasNoChildren \Sent) "/" Sent
S: * LIST (\HasNoChildren \Trash) "/" Trash
"""


async def foo_bar(opened: Open) -> None:
    """RFC 5258 5's kind of house: foo with foo/bar, which alone is subscribed to; gone, which is only that."""
    account = (await opened.account()).id
    for mailbox in await opened.store.mailboxes(account):
        await opened.store.commit(Subscribe(account, mailbox.name, on=False))
        if mailbox.special_use is not None:
            await opened.store.commit(DeleteMailbox(account, mailbox.name))
    await opened.store.commit(CreateMailbox(account, "foo/bar"))
    await opened.store.commit(CreateMailbox(account, "foo/baz"))
    await opened.store.commit(Subscribe(account, "foo/bar"))
    await opened.store.commit(Subscribe(account, "gone/by"))


def answers(house: House, command: str) -> list[str]:
    """What the server says to one command of Alice's in that house, the tag's line last."""

    async def ask() -> list[bytes]:
        async with house.open() as opened:
            await foo_bar(opened)
            async with session(opened.handler) as client:
                await client.line()
                await client.send(f"in LOGIN {ALICE} secret")
                await client.line()
                await client.send(f"a {command}")
                return await client.lines(b"a ")

    return [line.decode() for line in asyncio.run(ask())]


def test_list_shows_all_mailboxes_inbox_first(house: House) -> None:
    house.talk(f'{login()}\nC: a LIST "" *\n{LISTED_FIRST}\nS: a OK *')


@pytest.mark.parametrize("reference", ['""', "foo/", "nonsense"])
def test_an_empty_pattern_asks_for_the_separator(house: House, reference: str) -> None:
    assert answers(house, f'LIST {reference} ""') == ['* LIST (\\Noselect) "/" ""', "a OK That is the separator"]
    assert answers(house, f'LSUB {reference} ""') == ['* LSUB (\\Noselect) "/" ""', "a OK That is the separator"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ('"" *', ["INBOX", "foo", "foo/bar", "foo/baz"]),
        ('"" %', ["INBOX", "foo"]),
        ('"" %/%', ["foo/bar", "foo/baz"]),
        ('"" foo*', ["foo", "foo/bar", "foo/baz"]),
        ('"" foo%', ["foo"]),
        ("foo/ %", ["foo/bar", "foo/baz"]),
        ("foo /b%r", ["foo/bar"]),
        ('"" inbox', ["INBOX"]),
        ('"" IN%', ["INBOX"]),
        ('"" *r', ["foo/bar"]),
        ('"" "*%*%*"', ["INBOX", "foo", "foo/bar", "foo/baz"]),
        ('"" ""', [""]),
        ('"" ("")', []),
        ('"" (foo foo foo/%)', ["foo", "foo/bar", "foo/baz"]),
        ('"" gone*', []),
        ('"" FOO', []),
        ('"" {3+}\r\nfoo', ["foo"]),
    ],
)
def test_patterns_choose_names(house: House, arguments: str, names: list[str]) -> None:
    lines = answers(house, f"LIST {arguments}")
    assert [line.split('"/" ')[1].strip('"') for line in lines[:-1]] == names
    assert lines[-1].startswith("a OK ")


@pytest.mark.parametrize("verb", ["LIST", "LSUB"])
def test_a_pattern_of_many_wildcards_costs_little(house: House, verb: str) -> None:
    assert answers(house, f'{verb} "" {"%*" * 400}x')[-1].startswith("a OK ")


@pytest.mark.parametrize("over", [0, 1])
def test_patterns_are_bounded_in_number(house: House, over: int) -> None:
    patterns = " ".join(f"p{number}" for number in range(IMAP_LIST_PATTERNS + over))
    assert answers(house, f'LIST "" ({patterns})')[-1].startswith("a BAD " if over else "a OK ")


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        # RFC 5258 3.1: what is subscribed to, there or not.
        (
            '(SUBSCRIBED) "" *',
            [r"(\HasNoChildren \Subscribed) foo/bar", r"(\NonExistent \HasNoChildren \Subscribed) gone/by"],
        ),
        ('(SUBSCRIBED) "" %', []),
        # 3.5 and the table there: levels above that don't meet the criteria themselves.
        (
            '(SUBSCRIBED RECURSIVEMATCH) "" %',
            [
                r'(\HasChildren) foo ("CHILDINFO" ("SUBSCRIBED"))',
                r'(\NonExistent \HasNoChildren) gone ("CHILDINFO" ("SUBSCRIBED"))',
            ],
        ),
        # "Servers SHOULD suppress redundant CHILDINFO responses."
        (
            '(RECURSIVEMATCH SUBSCRIBED) "" *',
            [r"(\HasNoChildren \Subscribed) foo/bar", r"(\NonExistent \HasNoChildren \Subscribed) gone/by"],
        ),
        ('(SUBSCRIBED RECURSIVEMATCH) "" foo', [r'(\HasChildren) foo ("CHILDINFO" ("SUBSCRIBED"))']),
        ('(RECURSIVEMATCH) "" *', None),
        ('(REMOTE RECURSIVEMATCH) "" *', None),
        ('(NONSENSE) "" *', None),
        ('"" * RETURN (NONSENSE)', None),
        ('(REMOTE) "" foo', [r"(\HasChildren) foo"]),
        ('() "" foo', [r"(\HasChildren) foo"]),
        ('"" foo RETURN ()', [r"(\HasChildren) foo"]),
        (
            '"" foo* RETURN (CHILDREN)',
            [r"(\HasChildren) foo", r"(\HasNoChildren) foo/bar", r"(\HasNoChildren) foo/baz"],
        ),
        (
            '"" foo/* RETURN (SUBSCRIBED)',
            [r"(\HasNoChildren \Subscribed) foo/bar", r"(\HasNoChildren) foo/baz"],
        ),
        ('(SPECIAL-USE) "" *', []),
        ('(SUBSCRIBED SPECIAL-USE) "" *', []),
    ],
)
def test_list_extended(house: House, arguments: str, lines: list[str] | None) -> None:
    said = answers(house, f"LIST {arguments}")
    if lines is None:
        assert said[0].startswith("a BAD ")
    else:
        assert [line.removeprefix("* LIST ").replace('"/" ', "") for line in said[:-1]] == lines


def test_a_special_use_can_be_asked_for(house: House) -> None:
    uses = LISTED_FIRST.replace('S: * LIST (\\HasNoChildren) "/" INBOX\n', "")
    house.talk(
        f"""
        {login()}
        C: a LIST (SPECIAL-USE) "" *
        {uses}
        S: a OK *
        C: b LIST "" Sent RETURN (SPECIAL-USE SUBSCRIBED)
        S: * LIST (\\HasNoChildren \\Sent \\Subscribed) "/" Sent
        S: b OK *
        C: c LIST (SPECIAL-USE SUBSCRIBED) "" Junk
        S: * LIST (\\HasNoChildren \\Junk \\Subscribed) "/" Junk
        S: c OK *
        """
    )


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ('"" *', ["() foo/bar", r"(\Noselect) gone/by"]),
        # RFC 3501 6.3.9: "%" cuts a name that is subscribed to.
        ('"" %', [r"(\Noselect) foo", r"(\Noselect) gone"]),
        ('"" foo', [r"(\Noselect) foo"]),
        ('"" foo/%', ["() foo/bar"]),
        ("foo/ %", ["() foo/bar"]),
        ('"" f*', ["() foo/bar"]),
    ],
)
def test_lsub(house: House, arguments: str, lines: list[str]) -> None:
    said = answers(house, f"LSUB {arguments}")
    assert [line.removeprefix("* LSUB ").replace('"/" ', "") for line in said[:-1]] == lines


def test_names_of_any_script_come_back_as_they_went_in(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a CREATE &U,BTFw-/&ZeVnLIqe-
        S: a OK *
        C: b LIST "" &U,BTFw-*
        S: * LIST (\\HasChildren) "/" &U,BTFw-
        S: * LIST (\\HasNoChildren) "/" &U,BTFw-/&ZeVnLIqe-
        S: b OK *
        C: c LIST "" *&ZeVnLIqe-
        S: * LIST (\\HasNoChildren) "/" &U,BTFw-/&ZeVnLIqe-
        S: c OK *
        """
    )


def test_a_name_that_would_break_a_line_is_quoted(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a CREATE "x) \\\\"y"
        S: a OK *
        C: b LIST "" x*
        S: * LIST (\\HasNoChildren) "/" "x) \\\\"y"
        S: b OK *
        """.replace("\\\\", "\\")
    )
