"""BDAT and BINARYMIME over real sockets, into the real store (RFC 3030; docs/security.md, "BDAT")."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House
from tests.scale import scaled
from tests.system.raw import Raw, alive, clear, every_cut, letters, smtp

_MAIL = b"MAIL FROM:<sender@elsewhere.test>"
_RCPT = b"RCPT TO:<alice@example.test>"
_MOST_GROWTH = 16 * 1024 * 1024
"""Octets that a worker may grow by while a letter streams through it."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(autouse=True)
def _others_go_on(house: House) -> Iterator[None]:
    clear(house)
    yield
    alive(house)


def _grown(house: House) -> int:
    """Octets of memory of its own that the worker has."""
    status = Path(f"/proc/{house.pids()['worker-0']}/status").read_text()
    found = re.search(r"RssAnon:\s+([0-9]+) kB", status)
    assert found
    return int(found[1]) * 1024


def _begin(house: House, *, binary: bool = False) -> Raw:
    raw = smtp(house)
    raw.ask(_MAIL + (b" BODY=BINARYMIME" if binary else b""))
    assert raw.ask(_RCPT).startswith(b"250 2.1.5")
    return raw


def _bdat(chunk: bytes, *, last: bool = False) -> bytes:
    return b"BDAT %d%b\r\n%b" % (len(chunk), b" LAST" if last else b"", chunk)


def test_a_binary_letter_comes_back_octet_for_octet(house: House) -> None:
    dice = random.Random(3030)
    sizes = (0, 1, 2, 4095, 4096, 16_384, 70_000, 262_144, 300_000)
    for size in sizes:
        body = (
            b"Subject: binary\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            + dice.randbytes(size)
            + b"\r\n.\r\n\0\r\n\n"
        )
        at = sorted(dice.randrange(len(body)) for _ in range(5))
        with _begin(house, binary=True) as raw:
            for start, end in zip([0, *at], [*at, len(body)], strict=True):
                raw.say(_bdat(body[start:end], last=end == len(body)))
                assert raw.reply().startswith(b"250 ")
        (kept,) = letters(house)
        assert kept.endswith(b"+0000\r\n" + body)
        clear(house)


def test_a_letter_is_whole_wherever_the_stream_is_cut(house: House) -> None:
    stream = _bdat(b"Subject: cut\r\n\r") + _bdat(b"\nQUIT\r\n.\r\n") + _bdat(b"", last=True)
    cuts = list(every_cut(stream))
    with smtp(house) as raw:
        for first, second in cuts:
            assert raw.ask(_MAIL, _RCPT).startswith(b"250 2.1.5")
            raw.say(first, second)
            assert [raw.reply()[:9] for _ in range(3)] == [b"250 2.0.0", b"250 2.0.0", b"250 2.6.0"]
    kept = letters(house)
    assert len(kept) == len(cuts)
    assert all(letter.endswith(b"Subject: cut\r\n\r\nQUIT\r\n.\r\n") for letter in kept)


def test_pipelined_chunks_are_answered_in_order_and_in_number(house: House) -> None:
    """RFC 2920, RFC 3030 4.2: all in one segment, with other commands around them."""
    with smtp(house) as raw:
        raw.say(
            _MAIL + b"\r\n" + _RCPT + b"\r\n" + _bdat(b"NOOP\r\n") + b"NOOP\r\n" + _bdat(b"RSET\r\n", last=True)
            + b"NOOP\r\n" + _bdat(b"QUIT\r\n", last=True) + b"NOOP\r\n"
        )  # fmt: skip
        told = [raw.reply()[:9] for _ in range(8)]
    assert told == [
        *(b"250 2.1.0", b"250 2.1.5", b"250 2.0.0", b"250 2.0.0", b"250 2.6.0"),
        *(b"250 2.0.0", b"503 5.5.1", b"250 2.0.0"),
    ]
    (kept,) = letters(house)
    assert kept.endswith(b"\r\nNOOP\r\nRSET\r\n")


@pytest.mark.parametrize(
    "chunk", [b"a\nb", b"a\rb", b"\0", b".\n.\r", b"\r\n.\r\nMAIL FROM:<e@e.test>\n"], ids=repr
)
def test_without_binarymime_such_octets_refuse_the_letter(house: House, chunk: bytes) -> None:
    with _begin(house) as raw:
        raw.say(_bdat(b"Subject: x\r\n\r\n" + chunk + b"\r\n", last=True))
        assert raw.reply().startswith(b"550 5.6.0 ")
        assert raw.ask(b"NOOP") == b"250 2.0.0 Ok"
    assert letters(house) == []


def test_a_letter_of_fifty_mebibytes_streams_and_one_of_more_is_read_over(house: House) -> None:
    chunk = b"x" * 2**20
    for binary, count, told in ((True, 50, b"250 2.6.0"), (True, 51, b"552 5.3.4"), (False, 50, b"250 2.6.0")):
        if not binary:
            chunk = (b"y" * 62 + b"\r\n") * 2**14
        with _begin(house, binary=binary) as raw:
            before = most = _grown(house)
            for number in range(count):
                raw.say(_bdat(chunk, last=number == count - 1))
                reply = raw.reply()
                most = max(most, _grown(house))
            assert reply.startswith(told)
            assert most - before < _MOST_GROWTH


def test_one_chunk_of_a_hundred_times_the_size_is_read_over_in_constant_memory(house: House) -> None:
    octets = 50 * 2**20 * scaled(2, 100)
    with _begin(house) as raw:
        before = _grown(house)
        raw.say(b"BDAT %d LAST\r\n" % octets)
        for _ in range(octets // 2**20):
            raw.say(b"QUIT\r\n.\r\n".ljust(16, b"z") * 2**16)
        assert raw.reply().startswith(b"552 5.3.4 ")
        assert _grown(house) - before < _MOST_GROWTH
        assert raw.ask(b"NOOP") == b"250 2.0.0 Ok"


def test_many_tiny_chunks_cost_no_more_memory_than_their_octets(house: House) -> None:
    count = scaled(20_000, 102_400)
    with _begin(house) as raw:
        before = _grown(house)
        for _ in range(0, count, 1000):
            raw.say(_bdat(b"a\r\n") * 1000)
            assert all(raw.reply().startswith(b"250 2.0.0 ") for _ in range(1000))
        assert _grown(house) - before < _MOST_GROWTH
        raw.say(_bdat(b"", last=True))
        reply = raw.reply()
    assert reply.startswith(b"250 2.6.0 " if count < 102_400 else b"552 5.3.4 ")


def test_a_flood_of_chunks_that_nobody_wants_ends_the_session(house: House) -> None:
    with smtp(house) as raw:
        raw.say(_bdat(b"MAIL FROM:<e@e.test>\r\n") * 2000)
        told = [raw.reply()[:3] for _ in range(21)]
        assert told == [b"503"] * 20 + [b"421"]


def test_a_cut_letter_is_not_kept(house: House) -> None:
    for piece in (b"", _bdat(b"Subject: cut\r\n\r\n"), b"BDAT 10 LAST\r\n123456789"):
        with _begin(house) as raw:
            raw.say(piece)
    with _begin(house) as raw:
        raw.say(_bdat(b"x" * 300_000))
        raw.reply()
    assert letters(house) == []
