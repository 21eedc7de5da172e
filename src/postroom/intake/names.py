"""How names are compared: local parts in lower case and composed (NFC), as accounts are named; a domain's two
spellings, A-labels ("xn--bcher-kva") and U-labels ("bücher"), mean the same (RFC 5890 2.3).

Pure. Addresses that were read have A-labels (`smtp.grammar.paths`); an account or an alias may have been written
with U-labels.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import Final

from postroom.smtp.grammar import AddressFault, to_ascii

__all__ = ["composed", "unicode_domain"]

_LABEL_OCTETS: Final = 63
_PREFIX: Final = "xn--"


def composed(text: str) -> str:
    """Lower case and composed (NFC), as accounts are named.

    >>> composed("Jo@Example.TEST")
    'jo@example.test'
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


@functools.lru_cache(maxsize=1024)
def unicode_domain(domain: str) -> str:
    """A domain in lower case, with U-labels where its A-labels are sound.

    >>> unicode_domain("xn--bcher-kva.example")
    'bücher.example'
    """
    lower = composed(domain)
    return ".".join(map(_to_unicode, lower.split("."))) if _PREFIX in lower else lower


def _to_unicode(label: str) -> str:
    if not label.startswith(_PREFIX) or not label.isascii() or len(label) > _LABEL_OCTETS:
        return label
    try:
        made = label[len(_PREFIX) :].encode("ascii").decode("punycode")
        # What is no U-label, or another label's, is not to be taken for it.
        return made if not made.isascii() and to_ascii(made) == label else label
    except (AddressFault, UnicodeError, ValueError, OverflowError):
        return label
