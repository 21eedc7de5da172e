from __future__ import annotations

import random

import pytest

from postroom.intake.submission import HeaderRepair
from postroom.net.limits import SMTP_JOINED_OCTETS, SMTP_SMALL_PIECE_OCTETS
from postroom.smtp.receiving import Chunks, Keeper
from postroom.smtp.replies import R552_TOO_BIG, R554_LONG_LINE, Reply
from postroom.store.interface import StoreFault
from tests.smtp.office import NOW, MemoryBlob


def test_pieces_are_kept_in_order_whatever_their_size() -> None:
    blob = MemoryBlob()
    keeper = Keeper(blob, None)
    dice = random.Random(5)
    sizes = [1, 10, SMTP_SMALL_PIECE_OCTETS - 1, SMTP_SMALL_PIECE_OCTETS, SMTP_JOINED_OCTETS]
    pieces = [dice.randbytes(dice.choice(sizes)) for _ in range(300)]
    for piece in pieces:
        keeper.write(piece)
    keeper.finish()
    assert blob.contents() == b"".join(pieces)
    assert keeper.failure is None


@pytest.mark.parametrize("count", [1, 2, 100])
def test_small_pieces_are_joined_and_large_ones_are_not_copied(count: int) -> None:
    blob = MemoryBlob()
    keeper = Keeper(blob, None)
    for _ in range(count * SMTP_JOINED_OCTETS):
        keeper.write(b"x")
    keeper.write(b"y" * SMTP_SMALL_PIECE_OCTETS)
    keeper.finish()
    assert (blob.size, blob.writes) == (count * SMTP_JOINED_OCTETS + SMTP_SMALL_PIECE_OCTETS, count + 1)


def test_the_first_objection_stays_and_nothing_more_is_kept() -> None:
    blob = MemoryBlob()
    keeper = Keeper(blob, None)
    keeper.write(b"x" * 10_000)
    keeper.fail(R554_LONG_LINE)
    keeper.fail(R552_TOO_BIG)
    keeper.write(b"y" * 10_000)
    keeper.finish()
    assert keeper.failure is R554_LONG_LINE
    assert blob.discarded and blob.size == 10_000


@pytest.mark.parametrize("octets", [1, 10_000])
def test_the_stores_fault_is_an_objection(octets: int) -> None:
    fault = StoreFault("full")
    keeper = Keeper(MemoryBlob(fault), None)
    keeper.write(b"x" * octets)
    keeper.finish()
    assert keeper.failure is fault


def test_what_a_repair_holds_back_comes_at_the_end() -> None:
    blob = MemoryBlob()
    keeper = Keeper(blob, HeaderRepair("mx.example.test", NOW))
    for octet in b"Date: x\r\nMessage-ID: y\r\nBcc: z\r\n":
        keeper.write(bytes((octet,)))
    assert not blob.size
    keeper.finish()
    assert blob.contents() == b"Date: x\r\nMessage-ID: y\r\n"


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("size", "failure"), [(1000, None), (1001, R552_TOO_BIG), (100_000, R552_TOO_BIG)])
def test_a_chunk_is_refused_by_its_announced_size(binary: bool, size: int, failure: Reply | None) -> None:
    chunks = Chunks(MemoryBlob(), None, 1000, binary=binary)
    chunks.begin(size)
    assert chunks.failure is failure


@pytest.mark.parametrize("binary", [False, True])
def test_the_size_is_that_of_all_chunks(binary: bool) -> None:
    chunks = Chunks(MemoryBlob(), None, 1000, binary=binary)
    for _ in range(10):
        chunks.begin(100)
        chunks.feed(b"x" * 98 + b"\r\n")
    assert chunks.failure is None
    chunks.begin(0)
    assert chunks.failure is None
    chunks.begin(1)
    assert chunks.failure is R552_TOO_BIG
