"""i;unicode-casemap (RFC 5051): what SORT, THREAD and SEARCH compare instead of the text itself."""

from __future__ import annotations

import unicodedata

_REMEMBERED = 10_000


class _Mapping(dict[int, str]):
    """Code points to what they become, filled as they are met."""

    def __missing__(self, code: int) -> str:
        # The collation's titlecase is one to one; where Python's is longer (eszett), the letter has none.
        character = chr(code)
        title = character.title()
        mapped = unicodedata.normalize("NFKD", title if len(title) == 1 else character)
        if len(self) < _REMEMBERED:
            self[code] = mapped
        return mapped


_mapping = _Mapping()


def casemap(text: str) -> str:
    """Titlecase each character, then decompose it (RFC 5051 2)."""
    return text.upper() if text.isascii() else text.translate(_mapping)
