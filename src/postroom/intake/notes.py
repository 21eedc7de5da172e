"""What a letter's story begins with: who brought it, from whom, for how many, and what was held against it. Pure.

    id=b2.1 peer=192.0.2.7 with=ESMTPS recipients=2 checks=loop from=<x@elsewhere.test>

One line of words without spaces, so that the letter of an SMTP reply can be found by its id. What a stranger chose
stands at the end, its spaces replaced, so that it can't look like anything else; the store replaces controls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from postroom.intake.envelope import Envelope, Origin
from postroom.smtp.grammar import write_path

_SENDER_CHARACTERS: Final = 200


def write_note(envelope: Envelope, origin: Origin, checks: Sequence[str]) -> str:
    """The note on a letter that went through these checks (`judging.Judged.words`)."""
    sender = write_path(envelope.sender).decode("ascii", "replace").replace(" ", "?")[:_SENDER_CHARACTERS]
    peer = f"peer={origin.peer} " if origin.peer else ""
    held = ",".join(checks).replace(" ", "?") or "none"
    return (
        f"{id_word(origin.id)} {peer}with={origin.protocol} recipients={len(envelope.recipients)} checks={held}"
        f" from={sender}"
    )


def id_word(letter: str) -> str:
    """How a letter's id of the logs and of SMTP's reply stands in its note."""
    return f"id={letter}"
