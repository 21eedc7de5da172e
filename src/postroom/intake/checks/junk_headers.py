"""Does the letter say of itself that it is junk? A filter's word for it, such as X-Spam-Flag: YES.

Whoever wrote the field: a stranger's own can bring his letter into Junk, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable

from postroom.intake.envelope import PASSED, Arrival, Check, Junk, Verdict
from postroom.message.headers import unfolded


def junk_headers_check(rows: Iterable[str]) -> Check:
    """`rows`: "Name: value"; a field of that name whose value begins so, in either case, is a sign."""
    signs: dict[bytes, list[bytes]] = {}
    for row in rows:
        name, _, value = row.partition(":")
        signs.setdefault(name.strip().lower().encode(), []).append(value.strip().lower().encode())
    starts = [b"\n" + name for name in signs]
    common = _common_start(starts)

    async def check_junk_headers(arrival: Arrival) -> Verdict:
        """Send a letter that bears such a sign to Junk."""
        header = b"\n" + arrival.header.lower()
        if common not in header or not any(start in header for start in starts):
            return PASSED
        for line in unfolded(header):
            name, colon, value = line.partition(b":")
            name = name.rstrip(b" \t")
            for sign in signs.get(name, ()) if colon else ():
                if value.strip(b" \t\r").startswith(sign):
                    return Junk(f"{name.decode()}: {sign.decode()}")
        return PASSED

    return check_junk_headers


def _common_start(words: list[bytes]) -> bytes:
    """What all of them begin with: one search for it rules out nearly every letter."""
    first, last = min(words, default=b""), max(words, default=b"")
    length = next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first))
    return first[:length]
