"""APPEND: a letter streams in, whole and unchanged, or not at all."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from postroom.net.conversation import Kind
from postroom.net.limits import IMAP_APPEND_BEFORE_LOGIN, IMAP_KEYWORDS
from postroom.store.changes import DeleteMailbox
from postroom.store.interface import Blob, StorageFull, Store, StoreFault
from postroom.store.values import Flag, Uid
from tests.imap.server.house import ALICE, LETTER, House, Open, login, select
from tests.talk import session

SIZE = len(LETTER)


async def append(house: House, *octets: bytes, until: bytes = b"a ") -> tuple[list[bytes], list[bytes]]:
    """Say this after Alice's login: what the server answers, and what is in INBOX afterwards."""
    async with house.open() as opened, session(opened.handler) as client:
        await client.line()
        await client.send(f"in LOGIN {ALICE} secret")
        await client.line()
        for piece in octets:
            await client.raw(piece)
        said = await client.lines(until)
        await client.send("z NOOP")
        assert (await client.line()).startswith(b"z OK ")
        return said, await opened.contents()


@pytest.mark.parametrize(
    "letter",
    [
        LETTER,
        b"x",
        b"\r\n",
        b"no header\nbare LF\rbare CR\r\r\n\n",
        bytes(range(1, 256)),
        b"a LOGOUT\r\n" * 3,
        b"Subject: x\r\n\r\n" + b"y" * 900_000,
    ],
    ids=["letter", "octet", "line", "bare", "all", "commands", "large"],
)
@pytest.mark.parametrize("plus", [b"", b"+"])
def test_octets_come_out_as_they_went_in(house: House, letter: bytes, plus: bytes) -> None:
    said, contents = asyncio.run(
        append(house, b"a APPEND INBOX {%d%b}\r\n" % (len(letter), plus), letter + b"\r\n")
    )
    assert contents == [letter]
    assert said[-1].startswith(b"a OK [APPENDUID ")
    assert [line[:1] for line in said[:-1]] == ([] if plus else [b"+"])


def test_flags_date_and_zone_are_kept(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a APPEND INBOX (\\Seen $Forwarded \\Answered) "17-Jul-1996 02:44:25 -0700" {{5}}
        S: + *
        C: hello
        S: a OK *
        {select(letters=1)}
        C: b FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS (\\Answered \\Seen \\Recent $Forwarded))
        S: b OK *
        C: b FETCH 1 INTERNALDATE
        S: * 1 FETCH (INTERNALDATE "17-Jul-1996 02:44:25 -0700")
        S: b OK *
        """
    )


def test_without_a_date_it_is_now(house: House) -> None:
    async def after(opened: Open) -> None:
        (entry,) = await opened.store.entries((await opened.mailbox()).id, Uid(0), 10)
        assert abs(entry.internal_date - time.time()) < 600
        assert (entry.zone, entry.flags, entry.keywords) == (0, Flag(0), "")

    house.talk(f"{login()}\nC: a APPEND INBOX {{5}}\nS: + *\nC: hello\nS: a OK *", after=after)


def test_the_answer_tells_validity_and_uid(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: s STATUS INBOX (UIDVALIDITY)
        S: * STATUS INBOX (UIDVALIDITY {{validity}})
        S: s OK *
        C< a APPEND INBOX {{5+}}\\r\\nhello\\r\\nb APPEND inbox {{5+}}\\r\\nhello\\r\\n
        S: a OK [APPENDUID {{validity}} 1] *
        S: b OK [APPENDUID {{validity}} 2] *
        """
    )


def test_an_append_to_the_selected_mailbox_is_told_of_first(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=0)}
        C: a APPEND INBOX {{5}}
        S: + *
        C: hello
        S: * 1 EXISTS
        S: * 1 RECENT
        S: a OK [APPENDUID *
        """
    )


def test_a_mailbox_that_is_missing_is_said_before_the_letter_comes(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a APPEND Nowhere {{5}}
        S: a NO [TRYCREATE] *
        C< b APPEND Nowhere {{13+}}\\r\\nx LOGOUT\\r\\nyy\\r\\nc NOOP\\r\\n
        S: b NO [TRYCREATE] *
        S: c OK *
        """
    )


@pytest.mark.parametrize("over", [0, 1])
def test_a_letter_is_bounded(house: House, over: int) -> None:
    house.max_message_size = 100
    size = 100 + over
    asked = "S: a NO [TOOBIG] *" if over else f"S: + *\nC: {'x' * size}\nS: a OK *"
    unasked = "S: b NO [TOOBIG] *" if over else "S: b OK *"
    house.talk(
        f"""
        {login()}
        C: a APPEND INBOX {{{size}}}
        {asked}
        C< b APPEND INBOX {{{size}+}}\\r\\n{"x" * size}\\r\\n
        {unasked}
        C: c NOOP
        S: c OK *
        """
    )


@pytest.mark.parametrize("over", [0, 1])
def test_a_letter_that_comes_unasked_is_dropped_up_to_a_bound(
    house: House, monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    monkeypatch.setattr("postroom.imap.server.appending.IMAP_DISCARD_OCTETS", 1000)
    house.max_message_size = 100
    ending = "S: * BYE [TOOBIG] *\nS! end" if over else "S: a NO [TOOBIG] *\nC: b NOOP\nS: b OK *"
    house.talk(f"{login()}\nC< a APPEND INBOX {{{1000 + over}+}}\\r\\n{'x' * (1000 + over)}\\r\\n\n{ending}")


@pytest.mark.parametrize("size", [2**63, 10**30])
def test_a_size_beyond_all_numbers_is_too_big(house: House, size: int) -> None:
    house.talk(f"{login()}\nC: a APPEND INBOX {{{size}}}\nS: a NO [TOOBIG] *\nC: b NOOP\nS: b OK *")
    house.talk(f"{login()}\nC< a APPEND INBOX {{{size}+}}\\r\\nb NOOP\\r\\n\nS: * BYE [TOOBIG] *\nS! end")


def test_an_empty_letter_is_refused(house: House) -> None:
    house.talk(f"{login()}\nC: a APPEND INBOX {{0}}\nS: a NO *\nC< b APPEND INBOX {{0+}}\\r\\n\\r\\n\nS: b NO *")


@pytest.mark.parametrize("where", [0, 5, 70_000])
def test_a_nul_is_refused_and_nothing_kept(house: House, where: int) -> None:
    letter = b"x" * where + b"\0" + b"y" * 100_000
    said, contents = asyncio.run(append(house, b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(letter), letter)))
    assert said == [b"a BAD A letter has no NUL"]
    assert contents == []


@pytest.mark.parametrize(
    "rest",
    [
        b" x\r\n",
        b" (\\Seen) {3}\r\n",
        b" (\\Seen) {10+}\r\nz LOGOUT\r\n\r\n",
        b" {10+}\r\nz LOGOUT\r\n {10+}\r\nz LOGOUT\r\n\r\n",
        b" " + b"x" * 5000 + b"\r\n",
    ],
)
def test_a_command_that_goes_on_behind_the_letter_is_bad(house: House, rest: bytes) -> None:
    said, contents = asyncio.run(append(house, b"a APPEND INBOX {5+}\r\nhello" + rest))
    assert len(said) == 1
    assert said[0].startswith(b"a BAD ")
    assert contents == []


@pytest.mark.parametrize(
    "arguments",
    [
        b"",
        b" INBOX",
        b" INBOX hello",
        b' INBOX "hello"',
        b" {5+}\r\nINBOX",
    ],
)
def test_an_append_without_a_literal_is_bad(house: House, arguments: bytes) -> None:
    said, contents = asyncio.run(append(house, b"a APPEND" + arguments + b"\r\n"))
    assert said[-1].startswith(b"a BAD ")
    assert contents == []


@pytest.mark.parametrize(
    "arguments",
    [
        b'INBOX "32-Jul-1996 02:44:25 -0700"',
        b"INBOX (\\Recent)",
        b"INBOX (\\Seen",
        b"IN*BOX",
        b"INBOX UTF8",
        b"INBOX (" + b" ".join(b"k%d" % number for number in range(IMAP_KEYWORDS + 1)) + b")",
    ],
)
def test_a_wrong_argument_is_bad_and_the_letter_never_run(house: House, arguments: bytes) -> None:
    said, contents = asyncio.run(append(house, b"a APPEND " + arguments + b" {10+}\r\nz LOGOUT\r\n\r\n"))
    assert [line[:6] for line in said] == [b"a BAD "]
    assert contents == []
    said, _ = asyncio.run(append(house, b"a APPEND " + arguments + b" {10}\r\n"))
    assert [line[:6] for line in said] == [b"a BAD "]


def test_a_name_that_no_mailbox_can_have_is_no_and_the_letter_never_run(house: House) -> None:
    said, contents = asyncio.run(append(house, b"a APPEND & {10+}\r\nz LOGOUT\r\n\r\n"))
    assert [line.partition(b"]")[0] for line in said] == [b"a NO [CANNOT"]
    assert contents == []


def test_a_binary_literal_is_not_taken(house: House) -> None:
    said, contents = asyncio.run(append(house, b"a APPEND INBOX ~{10+}\r\nz LOGOUT\r\n\r\n"))
    assert [line[:6] for line in said] == [b"a BAD "]
    assert contents == []


def test_a_letter_before_the_login_is_refused(house: House) -> None:
    house.talk("S: * OK *\nC: a APPEND INBOX {5}\nS: a BAD Log in first\nC: b NOOP\nS: b OK *")
    house.talk("S: * OK *\nC< a APPEND INBOX {8+}\\r\\nb NOOP\\r\\n\\r\\n\nS: * BYE [TOOBIG] *\nS! end")
    assert IMAP_APPEND_BEFORE_LOGIN == 0


def test_a_mailbox_that_goes_while_the_letter_comes_is_said_so(house: House) -> None:
    async def try_it() -> None:
        async with house.open() as opened, session(opened.handler) as client:
            await client.line()
            await client.send(f"in LOGIN {ALICE} secret", "a APPEND Archive {5}")
            await client.lines(b"+ ")
            await opened.store.commit(DeleteMailbox((await opened.account()).id, "Archive"))
            await client.send("hello")
            assert (await client.line()).startswith(b"a NO [TRYCREATE] ")

    asyncio.run(try_it())


class Faulty:
    """A store whose letters can't be written, or not be filed."""

    def __init__(self, store: Store, write: Exception | None, deliver: Exception | None) -> None:
        self._store = store
        self._write = write
        self._deliver = deliver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def blob(self) -> Blob:
        blob = self._store.blob()
        return FaultyBlob(blob, self._write) if self._write is not None else blob

    async def deliver(self, delivery: Any) -> Any:
        if self._deliver is not None:
            raise self._deliver
        return await self._store.deliver(delivery)


class FaultyBlob:
    """Takes the first chunk and then no more."""

    def __init__(self, blob: Blob, fault: Exception) -> None:
        self._blob = blob
        self._fault = fault
        self.size = 0

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        if self._blob.size:
            raise self._fault
        self._blob.write(chunk)

    def contents(self) -> Any:
        return self._blob.contents()

    def discard(self) -> None:
        self._blob.discard()


@pytest.mark.parametrize("where", ["write", "deliver"])
@pytest.mark.parametrize(
    ("fault", "answer"),
    [(StorageFull("full"), b"a NO [OVERQUOTA] "), (StoreFault("on fire"), b"a NO [UNAVAILABLE] ")],
)
def test_a_store_in_trouble_refuses_after_the_letter(
    house: House, where: str, fault: StoreFault, answer: bytes
) -> None:
    house.wrap = lambda store: Faulty(
        store, fault if where == "write" else None, fault if where == "deliver" else None
    )
    letter = b"z LOGOUT\r\n" * 50_000
    said, contents = asyncio.run(append(house, b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(letter), letter)))
    assert len(said) == 1
    assert said[0].startswith(answer)
    assert contents == []


@pytest.mark.parametrize("plus", [b"", b"+"])
def test_our_own_fault_within_a_letter_ends_the_session(house: House, plus: bytes) -> None:
    house.wrap = lambda store: Faulty(store, RuntimeError("a bug"), None)

    async def try_it() -> bytes:
        async with house.open() as opened, session(opened.handler) as client:
            await client.line()
            await client.send(f"in LOGIN {ALICE} secret")
            await client.line()
            await client.raw(b"a APPEND INBOX {200000%b}\r\n" % plus + b"z LOGOUT\r\n" * 20_000 + b"\r\n")
            return await client.eof()

    said = asyncio.run(try_it())
    assert b"a NO [SERVERBUG] " in said
    assert b"* BYE [UNAVAILABLE] " in said
    assert b"z OK" not in said


def test_the_tap_counts_a_letter_and_shows_nothing_of_it(house: House) -> None:
    talked = house.talk(f"{login()}\nC: a APPEND INBOX {{5}}\nS: + *\nC: hello\nS: a OK *")
    rows = talked.conversations[1].rows
    assert [row.octets for row in rows if row.kind is Kind.BODY] == [5]
    assert not any(b"hello" in row.data for row in rows)
