"""The conversation as a whole: greeting, legality, errors, deadlines, news between two sessions."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import pytest

from postroom.imap.server.session import State
from postroom.imap.server.table import TABLE
from postroom.net import limits, memory
from postroom.net.stream import Farewell
from postroom.store.interface import StorageFull, Store, StoreFault
from tests.imap.server.house import ALICE, LETTER, House, Open, login, select
from tests.talk import session


class Broken:
    """A store of which some methods raise."""

    def __init__(self, store: Store, broken: dict[str, Exception]) -> None:
        self._store = store
        self._broken = broken

    def __getattr__(self, name: str) -> Any:
        fault = self._broken.get(name)
        if fault is None:
            return getattr(self._store, name)

        async def fail(*arguments: object) -> None:
            raise fault

        return fail


def breaking(**broken: Exception) -> Callable[[Store], Store]:
    """For House.wrap: a store of which these methods raise."""
    return lambda store: Broken(store, broken)


def test_the_greeting_tells_the_capabilities_and_never_preauth(house: House) -> None:
    house.talk("S: * OK [CAPABILITY IMAP4rev1 LITERAL+ *")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("a FROBNICATE", "a BAD There is no such command"),
        ("a", "* BAD *"),
        ("a  NOOP", "a BAD *"),
        ("", "* BAD *"),
        ("* NOOP", "* BAD *"),
        ("+ NOOP", "* BAD *"),
        ("(a NOOP", "* BAD *"),
        ("a NOOP x", "a BAD *"),
        ("a NOOP ", "a BAD *"),
        ("a SELECT INBOX", "a BAD Log in first"),
        ("a" * 255 + " NOOP", "*"),
        ("a" * 256 + " NOOP", "* BAD *"),
    ],
)
def test_a_command_that_is_none_is_bad_and_the_session_goes_on(house: House, line: str, answer: str) -> None:
    house.talk(f"S: * OK *\nC: {line}\nS: {answer}\nC: z NOOP\nS: z OK *")


def test_what_the_client_sent_is_not_repeated_in_an_error(house: House) -> None:
    talked = house.talk("S: * OK *\nC: a EVIL\x1b[31m\nS: a BAD {text}\nC: b ID (EVIL)\nS: b BAD {more}")
    assert "EVIL" not in talked.names["text"] + talked.names["more"]


def test_every_verb_is_refused_where_it_is_not_legal(house: House) -> None:
    async def try_all() -> None:
        async with house.open() as opened:
            for state, verbs in _illegal().items():
                for verb in verbs:
                    async with session(opened.handler) as client:
                        await client.line()
                        if state is not State.NOT_AUTHENTICATED:
                            await client.send(f"in LOGIN {ALICE} secret")
                            await client.line()
                        if state is State.SELECTED:
                            await client.send("sel SELECT INBOX")
                            await client.lines(b"sel OK")
                        await client.send(b"a " + verb)
                        assert (await client.line()).startswith(b"a BAD "), (state, verb)

    asyncio.run(try_all())


def _illegal() -> dict[State, list[bytes]]:
    states = (State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED)
    return {state: [row.verb for row in TABLE.values() if state not in row.states] for state in states}


def test_too_many_errors_before_the_login_end_the_session(house: House) -> None:
    flood = "C: a X\nS: a BAD *\n" * (limits.BAD_COMMANDS - 1)
    house.talk(f"S: * OK *\n{flood}C: b NOOP\nS: b OK *\nC: a X\nS: a BAD *\nS: * BYE Too many errors\nS! end")


def test_errors_behind_the_login_count_one_after_the_other(house: House) -> None:
    flood = "C: a X\nS: a BAD *\n" * (limits.BAD_COMMANDS - 1)
    house.talk(f"{login()}\n{flood}C: b NOOP\nS: b OK *\n{flood}C: a X\nS: a BAD *\nS: * BYE *\nS! end")


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "POST /x HTTP/1.0", "PRI * HTTP/2.0"])
def test_a_browser_is_hung_up_on(house: House, request_line: str) -> None:
    house.talk(f"S: * OK *\nC: {request_line}\nS! end")


def test_a_tag_may_be_called_get(house: House) -> None:
    house.talk("S: * OK *\nC: GET NOOP\nS: GET OK *")


@pytest.mark.parametrize("over", [0, 1])
def test_a_command_before_the_login_is_bounded(house: House, over: int) -> None:
    line = "a ID (" + " ".join('"k" "v"' for _ in range(20)) + ")"
    line += " " * (limits.IMAP_COMMAND_OCTETS_BEFORE_LOGIN - 2 - len(line) + over)
    answer = "* BAD The command is too long" if over else "a BAD *"
    house.talk(f"S: * OK *\nC: {line}\nS: {answer}\nC: b NOOP\nS: b OK *")


@pytest.mark.parametrize("over", [0, 1])
def test_a_command_behind_the_login_is_bounded(house: House, over: int) -> None:
    line = "a NOOP" + " " * (limits.IMAP_COMMAND_OCTETS - 8 + over)
    answer = "* BAD The command is too long" if over else "a BAD *"
    house.talk(f"{login()}\nC: {line}\nS: {answer}\nC: b NOOP\nS: b OK *")


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 10, 4000, 20_000])
def test_octets_announced_by_an_overlong_line_never_run(house: House, cut: int) -> None:
    async def try_it() -> None:
        async with house.open() as opened, session(opened.handler) as client:
            await client.line()
            line = b"a LOGIN " + b"x" * 30_000 + b" {10+}\r\n"
            await client.raw(line[:-cut])
            for _ in range(5):
                await asyncio.sleep(0)
            await client.raw(line[-cut:] + b"b LOGOUT\r\n\r\n")
            said = await client.eof()
            assert said.startswith(b"* BYE [TOOBIG]")
            assert b"b OK" not in said

    asyncio.run(try_it())


def test_pipelined_commands_are_answered_in_order_in_one_write(house: House) -> None:
    async def try_it() -> None:
        async with house.open() as opened, session(opened.handler) as client:
            await client.line()
            await client.send(f"in LOGIN {ALICE} secret")
            await client.line()
            before = memory.writes(client.server)
            await client.send(*(f"a{number} NOOP" for number in range(50)))
            assert [(await client.line()).split()[0] for _ in range(50)] == [b"a%d" % n for n in range(50)]
            assert memory.writes(client.server) - before == 1

    asyncio.run(try_it())


def test_a_shutdown_says_bye(house: House) -> None:
    house.talk(f"{login()}\nS! part\nS: * BYE [UNAVAILABLE] Postroom is shutting down*\nS! end")


def test_a_changed_account_says_bye(house: House) -> None:
    async def try_it() -> None:
        async with house.open() as opened, session(opened.handler) as client:
            await client.line()
            await client.send(f"in LOGIN {ALICE} secret")
            await client.line()
            client.server.part(Farewell.ACCOUNT)
            assert (await client.eof()).startswith(b"* BYE [UNAVAILABLE] The account was changed")

    asyncio.run(try_it())


def test_a_session_without_a_login_has_its_time(house: House) -> None:
    now = [0.0]
    house.clock = lambda: now[0]

    async def try_it(seconds: float, said: bytes) -> None:
        now[0] = 0.0
        async with house.open() as opened, session(opened.handler) as client:
            await client.line()
            now[0] = seconds
            await client.send("a NOOP", "b LOGOUT")
            assert said in await client.eof()

    asyncio.run(try_it(limits.UNAUTHENTICATED_SECONDS - 1, b"b OK"))
    asyncio.run(try_it(limits.UNAUTHENTICATED_SECONDS, b"* BYE [UNAVAILABLE] You were silent for too long"))


@pytest.mark.parametrize(("name", "logged_in"), [("LOGIN_SECONDS", False), ("IMAP_IDLE_SECONDS", True)])
def test_silence_ends_in_bye(house: House, monkeypatch: pytest.MonkeyPatch, name: str, logged_in: bool) -> None:
    monkeypatch.setattr(f"postroom.imap.server.session.{name}", 0.0)
    lines = [f"in LOGIN {ALICE} secret"] if logged_in else []

    async def try_it() -> None:
        async with house.open() as opened, session(opened.handler) as client:
            await client.send(*lines)
            assert b"* BYE [UNAVAILABLE] You were silent" in await client.eof()

    asyncio.run(try_it())


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (StoreFault("the disk is on fire"), "a NO [UNAVAILABLE] Storage failed*"),
        (StorageFull("full"), "a NO [OVERQUOTA] *"),
        (RuntimeError("a bug"), "a NO [SERVERBUG] *"),
    ],
)
def test_our_own_fault_ends_the_command_only(
    house: House, caplog: pytest.LogCaptureFixture, fault: Exception, answer: str
) -> None:
    house.wrap = breaking(mailboxes=fault)
    with caplog.at_level(logging.ERROR):
        house.talk(f'{login()}\nC: a LIST "" *\nS: {answer}\nC: b NOOP\nS: b OK *')
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert bool(record.exc_info) == isinstance(fault, RuntimeError)


def test_news_that_cannot_be_read_do_not_undo_an_answer(house: House) -> None:
    house.wrap = breaking(changes=StoreFault("no"))
    house.talk(f"{login()}\n{select(letters=0)}\nC: a CHECK\nS: a OK *\nC: b UNSELECT\nS: b OK *")


def test_no_octets_bring_an_exception_out(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """A fuzz in small: commands of good and bad pieces; each session lives on or ends, and nothing is our fault."""
    draw = random.Random(3501)
    verbs = [*TABLE, b"X", b"", b"UID", b"uid fetch"]

    def command(number: int) -> bytes:
        pieces = (draw.choice(PIECES) for _ in range(draw.randrange(5)))
        return b" ".join([draw.choice((b"t%d" % number, b"*", b"")), draw.choice(verbs), *pieces]) + b"\r\n"

    async def try_all() -> None:
        async with house.open() as opened:
            await opened.deliver(LETTER, LETTER)
            for _ in range(150):
                async with session(opened.handler) as client:
                    await client.send(f"in LOGIN {ALICE} secret", "s SELECT INBOX")
                    await client.raw(b"".join(map(command, range(30))) + b"DONE\r\n\r\nz LOGOUT\r\n")
                    await client.eof()

    with caplog.at_level(logging.ERROR):
        asyncio.run(try_all())
    assert not caplog.records


PIECES = (
    b"1 2:4 1:* *:* 0 4294967296 INBOX inbox Sent * % () ( ) ((( (FLAGS) BODY[] BODY[1.2.MIME] BODY[ BODY[]<0.5> "
    b'"" "x" "\\" "x\\"" {3} {3+}\r\nabc ~{1+}\r\nx {99999999999999999999+} +FLAGS -FLAGS.SILENT (\\Seen) \\Recent '
    b"(MESSAGES) (USE(\\Sent)) RETURN (SUBSCRIBED) NOT OR ALL CHARSET UTF-8 KEYWORD x HEADER &AAA- &U,BTFw- \x00 "
    b'\xff 1-Jan-2020 "17-Jul-1996 02:44:25 -0700" NIL PLAIN AGE= ENVELOPE BODYSTRUCTURE (UID RFC822.SIZE)'
).split(b" ")


# --- two sessions


def test_a_new_letter_is_told_of_after_the_next_command(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(letters=0)}
        C2: a APPEND INBOX {{5}}
        S2: + *
        C2: hello
        S2: a OK [APPENDUID *
        C: b NOOP
        S: * 1 EXISTS
        S: * 1 RECENT
        S: b OK *
        C: c NOOP
        S: c OK *
        """
    )


def test_one_session_alone_is_told_of_a_letter_as_recent(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(letters=0)}
        {select("2", letters=0)}
        {login("3")}
        C3: a APPEND INBOX {{5}}
        S3: + *
        C3: hello
        S3: a OK [APPENDUID *
        C: b NOOP
        S: * 1 EXISTS
        S: * 1 RECENT
        S: b OK *
        C2: b NOOP
        S2: * 1 EXISTS
        S2* * 0 RECENT
        S2: b OK *
        C3: b STATUS INBOX (RECENT)
        S3: * STATUS INBOX (RECENT 0)
        S3: b OK *
        """
    )


def test_no_expunge_is_told_during_fetch_store_and_search(house: House) -> None:
    async def before(opened: Open) -> None:
        await opened.deliver(LETTER, LETTER, LETTER)

    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(letters=3)}
        {select("2", letters=3)}
        C2: a STORE 1 +FLAGS.SILENT (\\Deleted)
        S2: a OK *
        C2: b EXPUNGE
        S2: * 1 EXPUNGE
        S2: b OK *
        C: c FETCH 2 UID
        S: * 2 FETCH (UID 2)
        S: c OK *
        C: d STORE 3 +FLAGS (\\Seen)
        S: * 3 FETCH (FLAGS (*
        S: d OK *
        C: e SEARCH UID 2
        S: * SEARCH 2
        S: e OK *
        C: f NOOP
        S: * 1 EXPUNGE
        S* * 2 RECENT
        S: f OK *
        C: g FETCH 1 UID
        S: * 1 FETCH (UID 2)
        S: g OK *
        """,
        before=before,
    )


def test_who_looks_into_a_mailbox_that_is_deleted_hears_bye(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(mailbox="Archive", letters=0)}
        C2: a DELETE Archive
        S2: a OK *
        C: b NOOP
        S: b OK *
        S: * BYE [UNAVAILABLE] The mailbox was deleted
        S! end
        """
    )


def test_who_deletes_the_mailbox_it_looks_into_has_left_it(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(mailbox="Archive", letters=0)}
        C: a DELETE Archive
        S: a OK *
        C: b CHECK
        S: b BAD *
        C: c NOOP
        S: c OK *
        """
    )


def test_who_looks_into_a_mailbox_that_is_renamed_stays_there(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(mailbox="Archive", letters=0)}
        C: a RENAME Archive Old
        S: a OK *
        C: b APPEND Old {{5}}
        S: + *
        C: hello
        S: * 1 EXISTS
        S: * 1 RECENT
        S: b OK *
        """
    )
