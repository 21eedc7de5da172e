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


class Text:
    """What was seen of a letter's lines so far."""

    __slots__ = ("_line", "_line_limit", "bare", "nul", "overlong", "size")

    size: int
    """Octets of the letter so far, line ends included, stuffing not (RFC 1870 4)."""
    bare: bool
    """A CR or LF that isn't part of a CRLF was seen."""
    nul: bool
    """A NUL was seen."""
    overlong: bool
    """A line of more than the limit was seen."""

    def __init__(self, line_limit: int) -> None:
        """`line_limit` in octets, CRLF included."""
        self.size = 0
        self.bare = self.nul = self.overlong = False
        self._line_limit = line_limit
        self._line = 0

    def _look(self, piece: bytes) -> None:
        # A CRLF is never cut by the pieces' borders, so that each piece can be judged by itself.
        self.size += len(piece)
        if not only_crlf(piece):
            self.bare = True
        if b"\0" in piece:
            self.nul = True
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


class ChunkReader(Text):
    """Looks at what comes by BDAT (RFC 3030 2), in pieces cut anywhere; a line limit of 0 lets all octets be."""

    __slots__ = ("_cr",)

    def __init__(self, line_limit: int) -> None:
        super().__init__(line_limit)
        self._cr = False

    def feed(self, piece: bytes) -> bytes:
        """The octets to be kept now: a CR at the end waits for what follows it."""
        if not self._line_limit:
            self.size += len(piece)
            return piece
        if self._cr:
            piece = b"\r" + piece
        self._cr = piece.endswith(b"\r")
        if self._cr:
            piece = piece[:-1]
        self._look(piece)
        return piece

    def finish(self) -> bytes:
        """The octets that are left when the last chunk has ended."""
        if not self._cr:
            return b""
        self._cr = False
        self._look(b"\r")
        return b"\r"


class DataReader(Text):
    """Takes the stuffing out of chunks, up to the data's end. Holds at most 4 octets back between two chunks."""

    __slots__ = ("_carry", "_skip", "finished", "rest")

    finished: bool
    """The end was seen."""
    rest: bytes
    """What came behind the end: the next commands."""

    def __init__(self, line_limit: int) -> None:
        """`line_limit` in octets, CRLF included."""
        super().__init__(line_limit)
        self.finished = False
        self.rest = b""
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
        self._look(piece)
        return piece


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
