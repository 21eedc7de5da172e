"""The buffer: what was fed comes out, however it was cut; overlong lines in constant memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net.buffer import TAIL_OCTETS, Buffer, LineTooLong

TEXT = b"EHLO a\r\n\r\nNOOP\nQUIT\r\n"
LINES = [b"EHLO a\r\n", b"\r\n", b"NOOP\n", b"QUIT\r\n"]


def drained(buffer: Buffer, limit: int = 100) -> list[bytes]:
    lines = []
    while (line := buffer.line(limit)) is not None:
        lines.append(line)
    return lines


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_lines_come_whole_at_every_cut(cut: int) -> None:
    buffer = Buffer()
    lines = []
    for piece in (TEXT[:cut], TEXT[cut:]):
        buffer.feed(piece)
        lines += drained(buffer)
    assert lines == LINES and len(buffer) == 0


def test_lines_come_whole_octet_by_octet() -> None:
    buffer = Buffer()
    lines = []
    for octet in TEXT:
        buffer.feed(bytes([octet]))
        lines += drained(buffer)
    assert lines == LINES


@given(st.lists(st.binary(max_size=30), max_size=20), st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost_or_doubled_whatever_is_asked(pieces: list[bytes], data: st.DataObject) -> None:
    buffer, got = Buffer(), b""
    for piece in pieces:
        buffer.feed(piece)
        match data.draw(st.sampled_from(["line", "exactly", "some", "unread", "wait"])):
            case "line":
                got += buffer.line(10**6) or b""
            case "exactly":
                got += buffer.exactly(data.draw(st.integers(0, 40))) or b""
            case "some":
                got += buffer.some(data.draw(st.integers(1, 40)))
            case "unread":
                taken = buffer.some(5)
                buffer.unread(taken[2:])
                got += taken[:2]
    assert got + buffer.some(10**6) == b"".join(pieces)


def test_limit_of_a_line_and_one_more() -> None:
    buffer = Buffer()
    buffer.feed(b"12345678\r\n" + b"123456789\r\n" + b"next\r\n")
    assert buffer.line(10) == b"12345678\r\n"
    with pytest.raises(LineTooLong, match="over 10 octets"):
        buffer.line(10)
    assert buffer.line(10) == b"next\r\n"


def test_an_overlong_line_is_dropped_as_it_comes_and_reported_once_at_its_end() -> None:
    buffer = Buffer()
    for _ in range(1000):
        buffer.feed(b"x" * 1000)
        assert buffer.line(100) is None
        assert len(buffer) == 0
    buffer.feed(b"tail {5}\r\nQUIT\r\n")
    with pytest.raises(LineTooLong) as fault:
        buffer.line(100)
    assert fault.value.tail.endswith(b"tail {5}\r\n") and len(fault.value.tail) <= TAIL_OCTETS
    assert buffer.line(100) == b"QUIT\r\n"


def test_what_came_whole_and_alone_passes_uncopied() -> None:
    buffer, chunk = Buffer(), b"x" * 1000
    buffer.feed(chunk)
    assert buffer.some(1000) is chunk


def test_a_buffer_that_was_read_empty_holds_nothing() -> None:
    buffer = Buffer()
    buffer.feed(b"x\n" * 1000)
    while buffer.line(100):
        pass
    assert buffer._data == b""


def test_unread_octets_are_the_next_line() -> None:
    buffer = Buffer()
    buffer.feed(b"body\r\n.\r\nQUIT\r\n")
    assert buffer.line(100) == b"body\r\n"
    body = buffer.some(100)
    buffer.unread(body[3:])
    assert buffer.line(100) == b"QUIT\r\n"
    buffer.unread(b"NOOP\r\n")
    assert buffer.line(100) == b"NOOP\r\n"


def test_clear_forgets_an_overlong_line_too() -> None:
    buffer = Buffer()
    buffer.feed(b"x" * 200)
    assert buffer.line(100) is None
    buffer.clear()
    buffer.feed(b"fresh\r\n")
    assert buffer.line(100) == b"fresh\r\n"


def test_a_line_in_a_million_pieces_is_searched_once() -> None:
    class Counting(bytearray):
        searched = 0

        def find(self, *args: object) -> int:
            assert isinstance(args[1], int)
            Counting.searched += len(self) - args[1]
            return super().find(*args)  # type: ignore[arg-type]

    buffer = Buffer()
    buffer.feed(b"x")
    assert buffer.line(10**6) is None
    buffer._data = Counting(b"x")
    for _ in range(2000):
        buffer.feed(b"x")
        assert buffer.line(10**6) is None
    assert Counting.searched == 2000
