"""The ways in which the grammar refuses octets."""

from __future__ import annotations


class SyntaxFault(Exception):
    """The peer broke the grammar; the answer is BAD (RFC 3501 7.1.3).

    `text` is plain ASCII that never repeats what the peer sent, so that it can be put into the answer as it is.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class NameFault(SyntaxFault):
    """A string is well-formed, but no mailbox can have it as a name; the answer is NO [CANNOT] (RFC 3501 6.3.3,
    RFC 5530 3)."""
