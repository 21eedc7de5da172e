"""Domain names beyond ASCII: U-labels to A-labels (RFC 5890, 5891), so that both spellings are one domain.

The standard library's `idna` codec is of 2003 (it takes "ß" for "ss", another domain) and was quadratic
(CVE-2022-45061); here a label is measured before it is encoded. Which characters a label may have follows the rules
of RFC 5892, not its tables: letters, marks and digits that no normalization changes, and its exceptions.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from postroom.net.limits import SMTP_LABEL_OCTETS
from postroom.smtp.grammar.faults import AddressFault

_CATEGORIES: Final = frozenset(("Ll", "Lo", "Lm", "Mn", "Mc", "Nd"))
"""RFC 5892 2.1, LetterDigits; capitals were lowered before."""
_EXCEPTIONS: Final = frozenset("\u00b7\u00df\u0375\u03c2\u05f3\u05f4\u06fd\u06fe\u0f0b\u3007\u30fb")
"""RFC 5892 2.6, those that may stand."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""RFC 5892 A.1, A.2: only behind a virama."""
_VIRAMA: Final = 9
_ASCII: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def to_ascii(domain: str) -> str:
    """A domain with its U-labels as A-labels; one in ASCII stays as it is. Raises AddressFault."""
    if domain.isascii():
        return domain
    return ".".join(label if label.isascii() else _a_label(label) for label in domain.split("."))


def _a_label(written: str) -> str:
    """RFC 5891 4.2 to 4.4; capitals and decomposed letters are taken as RFC 5895 2 maps them."""
    label = unicodedata.normalize("NFC", written.lower())
    if len(label) > SMTP_LABEL_OCTETS or label[0] == "-" or label[-1] == "-" or label[2:4] == "--":
        raise AddressFault("bad domain label")
    if unicodedata.category(label[0])[0] == "M" or not all(map(_may_stand, label, "\0" + label)):
        raise AddressFault("bad domain label")
    encoded = "xn--" + label.encode("punycode").decode("ascii")
    if len(encoded) > SMTP_LABEL_OCTETS:
        raise AddressFault("domain label too long")
    return encoded


def _may_stand(char: str, before: str) -> bool:
    if char.isascii():
        return char in _ASCII
    if char in _JOINERS:
        return unicodedata.combining(before) == _VIRAMA
    if char in _EXCEPTIONS:
        return True
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    return folded == char and unicodedata.category(char) in _CATEGORIES
