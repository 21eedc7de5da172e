from __future__ import annotations

import pytest

from postroom.net.limits import (
    SMTP_REPLY_LINE_OCTETS,
)
from postroom.smtp.grammar import (
    ControlFault,
    LineEndFault,
    Parameter,
    ReplyLine,
    SyntaxFault,
    read_command,
    read_number,
    read_parameters,
    read_reply_line,
    read_xtext,
    write_parameters,
    write_reply,
    write_xtext,
)

# --- parameters


def test_parameters_are_read() -> None:
    assert read_parameters(b"<x> size=1000  BODY=8BITMIME X-flag ", 3) == (
        Parameter("SIZE", b"1000"),
        Parameter("BODY", b"8BITMIME"),
        Parameter("X-FLAG"),
    )
    assert read_parameters(b"", 0) == ()


@pytest.mark.parametrize(
    "octets",
    [
        b"SIZE=1",
        b" SIZE=",
        b" =1",
        b" SIZE=1 size=2",
        b" -A=1",
        b" A=b=c",
        b" A=\xc3\xa4",
        b" A=\x00",
        b" A==",
        b" ;",
    ],
)
def test_what_is_no_parameter_is_a_syntax_fault(octets: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_parameters(octets, 0)


@pytest.mark.parametrize(
    "parameter", [Parameter(""), Parameter("A", b""), Parameter("A", b"b c"), Parameter("A", b"\r\n")]
)
def test_a_parameter_that_would_not_read_back_is_not_written(parameter: Parameter) -> None:
    with pytest.raises(ValueError):
        write_parameters([parameter])


def test_a_number_has_1_to_20_digits() -> None:
    assert read_number(b"0") == 0
    assert read_number(b"9" * 20) == 10**20 - 1


@pytest.mark.parametrize(
    "octets", [b"", b"9" * 21, b"+1", b"-1", b"1_0", b" 1", b"1 ", b"1\n", "\u0661".encode(), b"0x1", b"9" * 5000]
)
def test_nothing_else_is_a_number(octets: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_number(octets)


# --- command lines


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"NOOP\r\n", (b"NOOP", b"")),
        (b"quit\r\n", (b"QUIT", b"")),
        (b"ehlo  client.example \r\n", (b"EHLO", b"client.example")),
        (b"RCPT\tTO:<a@b>\r\n", (b"RCPT", b"TO:<a@b>")),
        (b"\r\n", (b"", b"")),
        (b" NOOP\r\n", (b"", b"NOOP")),
        (b"\xff\xfe\r\n", (b"\xff\xfe", b"")),
    ],
)
def test_a_command_is_a_verb_and_an_argument(line: bytes, command: tuple[bytes, bytes]) -> None:
    assert read_command(line) == command


@pytest.mark.parametrize("line", [b"NOOP\n", b"NOOP", b"NOOP\r", b"\n", b""])
def test_a_line_ends_with_crlf(line: bytes) -> None:
    with pytest.raises(LineEndFault):
        read_command(line)


@pytest.mark.parametrize("octet", [*range(9), *range(11, 32), 10, 127])
def test_no_control_character_stands_in_a_command(octet: int) -> None:
    with pytest.raises(ControlFault):
        read_command(b"NOOP a" + bytes([octet]) + b"b\r\n")


# --- xtext


@pytest.mark.parametrize(
    ("octets", "text"), [(b"", b""), (b"e+3Dmc2@example.com", b"e=mc2@example.com"), (b"a+2Bb", b"a+b")]
)
def test_xtext(octets: bytes, text: bytes) -> None:
    assert read_xtext(octets) == text
    assert write_xtext(text) == octets


@pytest.mark.parametrize("octets", [b"a=b", b"a+3d", b"a+", b"a+4", b"a b", b"\xe4"])
def test_what_is_no_xtext(octets: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_xtext(octets)


# --- replies


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"250 2.1.0 Sender ok\r\n", ReplyLine(250, "2.1.0", "Sender ok")),
        (b"250-mx.example.test\r\n", ReplyLine(250, "", "mx.example.test", last=False)),
        (b"354 Go\n", ReplyLine(354, "", "Go")),
        (b"250\r\n", ReplyLine(250, "", "")),
        (b"250 \r\n", ReplyLine(250, "", "")),
        (b"250 2.0.0\r\n", ReplyLine(250, "2.0.0", "")),
        (b"220 1.2.3.4 ready\r\n", ReplyLine(220, "", "1.2.3.4 ready")),
        (b"550 caf\xc3\xa9\r\n", ReplyLine(550, "", "caf\ufffd\ufffd")),
    ],
)
def test_a_reply_line_is_read(line: bytes, reply: ReplyLine) -> None:
    assert read_reply_line(line) == reply


@pytest.mark.parametrize(
    "line",
    [b"", b"\r\n", b"25\r\n", b"250", b"250x\r\n", b"150 a\r\n", b"650 a\r\n", b"260 a\r\n", b"250 a\rb\r\n"],
)
def test_what_is_no_reply(line: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_reply_line(line)


def test_a_reply_line_is_bounded() -> None:
    assert read_reply_line(b"250 " + b"a" * (SMTP_REPLY_LINE_OCTETS - 6) + b"\r\n").code == 250
    with pytest.raises(SyntaxFault):
        read_reply_line(b"250 " + b"a" * (SMTP_REPLY_LINE_OCTETS - 5) + b"\r\n")


def test_a_reply_is_written_line_by_line_with_its_enhanced_code() -> None:
    assert write_reply(250, "2.0.0", ["a", "b"]) == b"250-2.0.0 a\r\n250 2.0.0 b\r\n"
    assert write_reply(220, "", ["mx.example.test ready"]) == b"220 mx.example.test ready\r\n"


def test_no_text_begins_a_line_of_its_own() -> None:
    assert write_reply(550, "5.1.1", ["no\r\n250 yes\0\u0085ö"]) == b"550 5.1.1 no??250 yes???\r\n"
