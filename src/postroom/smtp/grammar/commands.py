"""Command lines (RFC 5321 2.3.8, 4.1.1), and the arguments of MAIL, RCPT, BDAT, VRFY and EXPN."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from postroom.smtp.grammar.faults import AddressFault, ControlFault, LineEndFault, SyntaxFault, Utf8Fault
from postroom.smtp.grammar.parameters import Parameter, read_number, read_parameters, write_parameters
from postroom.smtp.grammar.paths import (
    Address,
    read_address,
    read_local_part,
    read_path,
    read_reverse_path,
    write_path,
)

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def read_command(line: bytes) -> tuple[bytes, bytes]:
    """The verb in upper case, and its argument without the spaces around it; `line` is ended by CRLF.

    A line that ends otherwise is no line (RFC 5321 2.3.8), and controls stand in none; a tab counts as a space.
    Raises LineEndFault, ControlFault.
    """
    if not line.endswith(b"\r\n"):
        raise LineEndFault("lines end with CR LF")
    body = line[:-2]
    if _CONTROL.search(body):
        raise ControlFault("control character")
    verb, _, argument = body.replace(b"\t", b" ").partition(b" ")
    return verb.upper(), argument.strip(b" ")


# --- MAIL and RCPT (RFC 5321 4.1.1.2, 4.1.1.3)

_FROM = re.compile(rb"FROM: *", re.IGNORECASE)
_TO = re.compile(rb"TO: *", re.IGNORECASE)


def read_mail(argument: bytes) -> tuple[Address | None, tuple[Parameter, ...]]:
    """MAIL's argument: reverse-path and parameters."""
    sender, end = read_reverse_path(argument, _after(_FROM, argument))
    return sender, read_parameters(argument, end)


def write_mail(sender: Address | None, parameters: Sequence[Parameter] = ()) -> bytes:
    """A MAIL command line, CRLF included."""
    return b"MAIL FROM:" + write_path(sender) + write_parameters(parameters) + b"\r\n"


def read_rcpt(argument: bytes) -> tuple[Address, tuple[Parameter, ...]]:
    """RCPT's argument: forward-path and parameters."""
    recipient, end = read_path(argument, _after(_TO, argument))
    return recipient, read_parameters(argument, end)


def write_rcpt(recipient: Address, parameters: Sequence[Parameter] = ()) -> bytes:
    """A RCPT command line, CRLF included."""
    return b"RCPT TO:" + write_path(recipient) + write_parameters(parameters) + b"\r\n"


def _after(word: re.Pattern[bytes], argument: bytes) -> int:
    found = word.match(argument)
    if found is None:
        raise SyntaxFault("FROM: or TO: expected")
    return found.end()


# --- BDAT (RFC 3030 2)

_BDAT = re.compile(rb"([0-9]+)(?: +(LAST))?", re.IGNORECASE)


def read_bdat(argument: bytes) -> tuple[int, bool]:
    """BDAT's argument: the chunk's size in octets, and whether it is the last one. Raises SyntaxFault."""
    found = _BDAT.fullmatch(argument)
    if found is None:
        raise SyntaxFault("a size, and LAST or nothing")
    return read_number(found[1]), found[2] is not None


def write_bdat(size: int, *, last: bool = False) -> bytes:
    """A BDAT command line, CRLF included; the chunk follows it. Raises ValueError for what would not read back."""
    line = b"%d%b" % (size, b" LAST" if last else b"")
    if size < 0 or read_bdat(line) != (size, last):
        raise ValueError("not a size that SMTP can carry")
    return b"BDAT " + line + b"\r\n"


# --- VRFY and EXPN (RFC 5321 4.1.1.6, 4.1.1.7; RFC 6531 3.7.4.2)

_UTF8_WANTED: Final = re.compile(rb" +SMTPUTF8\Z", re.IGNORECASE)


def read_wish(argument: bytes) -> tuple[bytes, bool]:
    """VRFY's and EXPN's argument: what is asked about, and whether the answer may go beyond ASCII."""
    wanted = _UTF8_WANTED.search(argument)
    return (argument, False) if wanted is None else (argument[: wanted.start()], True)


def read_mailbox(octets: bytes) -> Address:
    """Whom VRFY and EXPN may name: a path, an address, or a local part alone, whose domain then is empty.

    Raises AddressFault, and of octets that are no UTF-8 Utf8Fault.
    """
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Utf8Fault("not UTF-8") from fault
    if text[:1] == "<" and text[-1:] == ">":
        text = text[1:-1]
    try:
        return read_address(text)
    except AddressFault:
        return Address(read_local_part(text), "")
