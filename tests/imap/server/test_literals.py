"""Literals: collected in memory within bounds, refused before they are asked for, and never run as commands."""

from __future__ import annotations

import asyncio

import pytest

from postroom.net.limits import IMAP_COMMAND_OCTETS, IMAP_COMMAND_OCTETS_BEFORE_LOGIN
from tests.imap.server.house import ALICE, LETTER, House, Open, login
from tests.talk import session

NAME = ALICE.encode()
LOGIN_BY_LITERALS = b"a LOGIN {%d+}\r\n%b {6+}\r\nsecret\r\n" % (len(NAME), NAME)


def at_every_cut(house: House, octets: bytes, last: bytes, *, logged_in: bool = False) -> list[bytes]:
    """What the server says to octets that come in two pieces, for every cut: up to the line that begins with
    `last`."""

    async def try_all() -> list[bytes]:
        said = []
        async with house.open() as opened:
            for cut in range(1, len(octets)):
                async with session(opened.handler) as client:
                    await client.line()
                    if logged_in:
                        await client.send(f"in LOGIN {ALICE} secret")
                        await client.line()
                    await client.raw(octets[:cut])
                    for _ in range(4):
                        await asyncio.sleep(0)
                    await client.raw(octets[cut:])
                    said.append(b"\n".join(await client.lines(last)))
        return said

    return asyncio.run(try_all())


def test_a_login_by_literals_is_understood_at_every_cut(house: House) -> None:
    for said in at_every_cut(house, LOGIN_BY_LITERALS, b"a "):
        assert said.startswith(b"a OK ")


def test_an_append_is_understood_at_every_cut(house: House) -> None:
    octets = b"a APPEND {5+}\r\nINBOX (\\Seen) {%d+}\r\n%b\r\n" % (len(LETTER), LETTER)
    for said in at_every_cut(house, octets, b"a ", logged_in=True):
        assert said.startswith(b"a OK [APPENDUID ")

    async def contents() -> list[bytes]:
        async with house.open() as opened:
            return await opened.contents()

    assert asyncio.run(contents()) == [LETTER] * (len(octets) - 1)


def test_a_synchronising_literal_is_asked_for(house: House) -> None:
    house.talk(
        f"""
        S: * OK *
        C: a LOGIN {{{len(NAME)}}}
        S: + *
        C< {ALICE} {{6}}\\r\\n
        S: + *
        C: secret
        S: a OK *
        """
    )


def test_the_octets_of_a_literal_are_no_commands(house: House) -> None:
    inner = b"x LOGOUT\\r\\n"
    house.talk(f"S: * OK *\nC< a LOGIN {{10+}}\\r\\n{inner.decode()} pw\\r\\n\nS: a NO *\nC: b NOOP\nS: b OK *")


def test_a_literal_whose_last_octets_look_like_another_announces_none(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C< a APPEND {{5+}}\\r\\n{{5+}}\\r\\n
        S: a NO *
        C: b NOOP
        S: b OK *
        """
    )


def test_nor_are_they_where_the_command_is_none(house: House) -> None:
    for head in ("a FROB", "*", "a SELECT", "", "a "):
        unrun = "{10+}\\r\\nx LOGOUT\\r\\n\\r\\n"
        house.talk(f"S: * OK *\nC< {head} {unrun}\nS: {head[:1] or '*'} BAD *\nC: b NOOP\nS: b OK *")


@pytest.mark.parametrize("over", [0, 1])
def test_a_literal_before_the_login_is_bounded(house: House, over: int) -> None:
    head = len("a LOGIN {16300}\r\n")
    size = IMAP_COMMAND_OCTETS_BEFORE_LOGIN - head + over
    answer = "a BAD The literal is too big" if over else "+ *"
    house.talk(f"S: * OK *\nC: a LOGIN {{{size}}}\nS: {answer}\n" + ("C: b NOOP\nS: b OK *" if over else ""))


@pytest.mark.parametrize("over", [0, 1])
def test_a_literal_behind_the_login_is_bounded(house: House, over: int) -> None:
    size = IMAP_COMMAND_OCTETS - len("a SELECT {65500}\r\n") + over
    answer = "a BAD The literal is too big" if over else "+ *"
    house.talk(f"{login()}\nC: a SELECT {{{size}}}\nS: {answer}\n" + ("C: b NOOP\nS: b OK *" if over else ""))


@pytest.mark.parametrize("size", [IMAP_COMMAND_OCTETS_BEFORE_LOGIN, 2**32, 2**63, 10**30])
@pytest.mark.parametrize("verb", ["LOGIN", "ID", "FROB", "APPEND INBOX"])
def test_a_huge_literal_that_comes_unasked_ends_the_session_unrun(house: House, size: int, verb: str) -> None:
    house.talk(f"S: * OK *\nC< a {verb} {{{size}+}}\\r\\nb NOOP\\r\\n\nS: * BYE [TOOBIG] *\nS! end")


def test_many_literals_are_bounded_together(house: House) -> None:
    literals = "{1000+}\\r\\n" + "x" * 1000
    house.talk(f"S: * OK *\nC< a ID {literals * 20}\nS: * BYE [TOOBIG] *\nS! end")


def test_a_line_behind_a_literal_is_bounded(house: House) -> None:
    octets = "a LOGIN {1+}\\r\\nx " + "y" * 20_000 + "\\r\\n"
    house.talk(f"S: * OK *\nC< {octets}\nS: a BAD The command is too long\nC: b NOOP\nS: b OK *")


def test_octets_announced_by_an_overlong_line_behind_a_literal_never_run(house: House) -> None:
    rest = "y" * 20_000 + " {8+}"
    house.talk(f"S: * OK *\nC< a LOGIN {{1+}}\\r\\nx {rest}\\r\\nb NOOP\\r\\n\nS: * BYE [TOOBIG] *\nS! end")


@pytest.mark.parametrize("command", ["a FROB", "a SELECT", "a UID FETCH", "* NOOP"])
def test_a_literal_that_cannot_be_right_is_not_asked_for(house: House, command: str) -> None:
    house.talk(f"S: * OK *\nC: {command} {{3}}\nS: {command[0]} BAD *\nC: x NOOP\nS: x OK *")


def test_a_password_is_not_asked_for_in_clear(house: House) -> None:
    house.talk("S: * OK *\nC: a LOGIN {3}\nS: a NO [PRIVACYREQUIRED] *\nC: b NOOP\nS: b OK *", peer="192.0.2.1")


def test_a_nul_in_a_literal_is_bad(house: House) -> None:
    house.talk("S: * OK *\nC< a LOGIN {3+}\\r\\na\\0b pw\\r\\n\nS: a BAD *\nC: b NOOP\nS: b OK *")


def test_a_binary_literal_is_bad(house: House) -> None:
    house.talk(f"{login()}\nC< a SELECT ~{{5+}}\\r\\nINBOX\\r\\n\nS: a BAD *\nC: b NOOP\nS: b OK *")


def test_a_connection_that_ends_within_a_literal_just_ends(house: House) -> None:
    house.talk(f"{login()}\nC< a SELECT {{5+}}\\r\\nIN\nC! close")


def test_a_connection_that_ends_within_a_letter_leaves_nothing(house: House) -> None:
    async def after(opened: Open) -> None:
        assert await opened.contents() == []

    house.talk(f"{login()}\nC< a APPEND INBOX {{100+}}\\r\\nIN\nC! abort", after=after)
