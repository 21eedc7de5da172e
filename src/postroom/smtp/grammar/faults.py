"""What can be wrong with a line. The texts are ours, short, and repeat nothing of what the peer sent."""

from __future__ import annotations


class SyntaxFault(ValueError):
    """The peer broke the grammar."""


class AddressFault(SyntaxFault):
    """A path that is none: it has replies of its own (RFC 3463 3.2: X.1.3, X.1.7)."""


class Utf8Fault(AddressFault):
    """An address whose octets are no UTF-8 (RFC 6531 3.3)."""


class LineEndFault(SyntaxFault):
    """A command line that doesn't end with CR LF (RFC 5321 2.3.8)."""


class ControlFault(SyntaxFault):
    """A control character in a command line."""
