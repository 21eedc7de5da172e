"""Octets that mean harm, for every reader: it gives a value or raises SyntaxFault, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from postroom.imap.grammar.faults import SyntaxFault

Reader = Callable[[bytes, int], object]

SPECIALS = (
    *(bytes([octet]) for octet in b'()[]{}<>"\\%*&+-.,:/=~ \0\r\n\xc3\xff'),
    *(b"\r\n", b"{0}\r\n", b"{3+}\r\n", b"{99999999999999999999}\r\n", b'""', b"NIL", b"INBOX", b"&AAA-", b"&2D0-"),
    *(b"0", b"1", b"4294967295", b"4294967296", b"18446744073709551616", b"1" * 5000, b"\\Seen", b"OR ", b"NOT "),
)


def octets(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Noise, words of the protocol in any order, and samples with a piece replaced."""
    pieces = st.one_of(st.sampled_from(SPECIALS), st.sampled_from(samples), st.binary(max_size=4))
    return st.one_of(
        st.binary(max_size=60),
        st.lists(pieces, max_size=12).map(b"".join),
        st.builds(_spliced, st.sampled_from(samples), st.integers(0, 200), st.integers(0, 5), pieces),
    )


def _spliced(sample: bytes, at: int, cut: int, piece: bytes) -> bytes:
    at %= len(sample) + 1
    return sample[:at] + piece + sample[at + cut :]


def refuses_or_reads(read: Reader, buffer: bytes, position: int = 0) -> object:
    """The value; None where the reader raised SyntaxFault, with a text that can stand in an answer."""
    try:
        return read(buffer, position)
    except SyntaxFault as fault:
        assert fault.text.isascii() and fault.text.isprintable()
        return None


def every_cut(read: Reader, whole: bytes) -> None:
    """Feed all beginnings of a command, and the command with something behind it."""
    for end in range(len(whole)):
        refuses_or_reads(read, whole[:end])
    for tail in (b"\0", b" ", b"\r\n", b")", b"x"):
        refuses_or_reads(read, whole + tail)
