"""The octets between DATA's 354 and its end: dot-stuffing, read and write (RFC 5321 4.5.2), over chunks.

Pure, and fast by design: each chunk costs a handful of searches in C, whatever stands in it. Only CRLF.CRLF ends
the data, wherever the input was cut (CVE-2023-51764 and its kin: LF.LF, CR.CRLF and so on end nothing); a CR or LF
that isn't part of a CRLF is told, so that the letter can be refused when it has ended.

    reader = DataReader(line_limit=1_000_000)
    reader.feed(b"Hello\\r\\n..dot\\r\\n.\\r\\nQUIT\\r\\n")  ->  b"Hello\\r\\n.dot\\r\\n"
    reader.finished, reader.rest                    ->  True, b"QUIT\\r\\n"
"""

from __future__ import annotations

from typing import Final

from postroom.message.octets import only_crlf

_END: Final = b"\r\n.\r\n"


class DataReader:
    """Takes the stuffing out of chunks, up to the data's end. Holds at most 4 octets back between two chunks."""

    __slots__ = ("_carry", "_line", "_line_limit", "_skip", "bare", "finished", "overlong", "rest", "size")

    size: int
    """Octets of the letter so far, line ends included, stuffing not (RFC 1870 4)."""
    finished: bool
    """The end was seen."""
    bare: bool
    """A CR or LF that isn't part of a CRLF was seen."""
    overlong: bool
    """A line of more than the limit was seen."""
    rest: bytes
    """What came behind the end: the next commands."""

    def __init__(self, line_limit: int) -> None:
        """`line_limit` in octets, CRLF included."""
        self.size = 0
        self.finished = self.bare = self.overlong = False
        self.rest = b""
        self._line_limit = line_limit
        self._line = 0
        # The data begins at a line's start: as if a CRLF stood before it, which is left out again.
        self._carry = b"\r\n"
        self._skip = 2

    def feed(self, chunk: bytes) -> bytes:
        """The letter's octets that this chunk gives. Nothing may be fed after the end."""
        data = self._carry + chunk if self._carry else chunk
        end = data.find(_END)
        if end >= 0:
            self.finished = True
            self.rest = data[end + len(_END) :]
            piece = data[: end + 2]
        else:
            held = _held_back(data)
            self._carry = data[len(data) - held :]
            piece = data[: len(data) - held] if held else data
        if not piece:
            return piece
        # The pattern can't overlap itself and is never cut: what could be its beginning was held back.
        piece = piece.replace(b"\r\n.", b"\r\n")
        if self._skip:
            piece = piece[self._skip :]
            self._skip = 0
        self.size += len(piece)
        self._look_at_line_ends(piece)
        return piece

    def _look_at_line_ends(self, piece: bytes) -> None:
        # A CRLF is never cut by the pieces' borders, so that each piece can be judged by itself.
        if not only_crlf(piece):
            self.bare = True
        limit = self._line_limit
        first = piece.find(b"\n") + 1
        if not first:
            self._line += len(piece)
        else:
            if self._line + first > limit:
                self.overlong = True
            # Only a piece that is longer than the limit can hold a whole line that is.
            if len(piece) > limit and max(map(len, piece.split(b"\n"))) + 1 > limit:
                self.overlong = True
            self._line = len(piece) - piece.rfind(b"\n") - 1
        if self._line > limit:
            self.overlong = True


def _held_back(data: bytes) -> int:
    """Octets at the end of `data` that may be the beginning of the end."""
    for length in (4, 3, 2, 1):
        if data.endswith(_END[:length]):
            return length
    return 0


def stuff(letter: bytes) -> bytes:
    """A whole letter as DATA carries it, its end included. A last line without CRLF gets one.

    Raises ValueError for a letter with a bare CR or LF, which some servers take for the end of a line, and then of
    the data (CVE-2026-33604).
    """
    if not only_crlf(letter):
        raise ValueError("bare CR or LF in a letter")
    ended = letter if not letter or letter.endswith(b"\r\n") else letter + b"\r\n"
    return ((b"\r\n" + ended).replace(b"\r\n.", b"\r\n..") + b".\r\n")[2:]


def unstuff(data: bytes) -> bytes:
    """The letter that whole data carry. Raises ValueError where they don't end, or don't end there."""
    reader = DataReader(line_limit=len(data))
    letter = reader.feed(data)
    if not reader.finished or reader.rest:
        raise ValueError("data without its end")
    return letter
