"""The figure of a conversation: two columns, the time between, and nothing that could steer a terminal."""

from __future__ import annotations

import pytest

from postroom.net.conversation import Kind, Record, Row, Who
from postroom.net.figure import two_columns


def record(*rows: Row) -> Record:
    return Record("a0x1y2", "smtp", "192.0.2.1", "alice@example.test", 0.0, None, rows)


def client(data: bytes, at: float = 0.5) -> Row:
    return Row(at, Who.CLIENT, Kind.LINE, data, len(data))


def server(data: bytes, at: float = 0.5) -> Row:
    return Row(at, Who.SERVER, Kind.LINE, data, len(data))


def test_the_client_stands_left_and_the_server_right() -> None:
    figure = two_columns(
        record(
            server(b"220 mx\r\n", 0.0),
            client(b"EHLO me\r\n", 0.25),
            server(b"250-mx\r\n250 SIZE\r\n", 1.0),
            Row(1.5, Who.CLIENT, Kind.SECRET, b"", 24),
            Row(2.0, Who.CLIENT, Kind.BODY, b"", 12345),
            Row(2.5, Who.NOBODY, Kind.NOTE, b"TLS began", 9),
        ),
        60,
    )
    column = (60 - 16) // 2
    assert figure.splitlines() == [
        "a0x1y2  smtp  from 192.0.2.1  alice@example.test",
        " " * column + " ◀─    0.000 ── 220 mx",
        f"{'EHLO me':<{column}} ──    0.250 ─▶",
        " " * column + " ◀─    1.000 ── 250-mx",
        " " * (column + 16) + "250 SIZE",
        f"{'[secret: 24 octets]':<{column}} ──    1.500 ─▶",
        f"{'[12,345 octets]':<{column}} ──    2.000 ─▶",
        "(TLS began)".center(60).rstrip(),
    ]
    assert figure.endswith("\n")


@pytest.mark.parametrize("width", [0, 40, 80, 200])
def test_no_line_is_wider_than_asked(width: int) -> None:
    long = b"z" * 300 + b" " + b"y" * 20
    figure = two_columns(record(client(long), server(long)), width)
    assert max(map(len, figure.splitlines()[1:])) <= max(width, 40)
    assert figure.count("z") == 600


def test_nothing_that_steers_a_terminal_comes_out() -> None:
    hostile = bytes(range(256)) + "\u202e\x9b31m".encode() + b"\x1b]0;title\x07\r\n"
    figure = two_columns(record(client(hostile), server(hostile)), 80)
    assert figure.replace("\n", "").isprintable()


def test_what_was_cut_off_is_said() -> None:
    assert "[500 octets more]" in two_columns(record(Row(0.0, Who.SERVER, Kind.LINE, b"x" * 10, 510)), 80)


def test_an_empty_line_has_a_place() -> None:
    assert " ─▶" in two_columns(record(client(b"\r\n")), 80)
