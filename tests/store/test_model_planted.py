"""The model is checked: faults that are planted in the store are found, each within a few histories.

The histories are always the same ones (`derandomize`), so that a fault that is found today is found tomorrow.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import Phase, settings

from postroom.store import index, reads, segments, usage
from postroom.store.apply import batch, flags, leaving, letters, mailboxes
from postroom.store.changes import Done, Expunge, Expunged, How, MoveLetters, SetFlags, Subscribe
from postroom.store.index import fetch_all
from postroom.store.ledger import Counters, Ledger
from postroom.store.segments import Segment
from postroom.store.values import Flag, ModSeq, Uid, Usage
from postroom.store.writer import inline as writer
from tests.store.modelhistories import walk_through
from tests.store.modelwalk import FORMS

HISTORIES: Final = 600
"""In which each fault must be found; most are in the first five."""
STEPS: Final = 40

Plant = Callable[[pytest.MonkeyPatch], None]


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Plant:
    """Put something in the place of a piece of the store, made from the piece."""
    return lambda patch: patch.setattr(owner, name, make(getattr(owner, name)))


def _apply(kind: type[Any], make: Callable[[Any], Any]) -> Plant:
    """The same of what makes a change's rows."""
    return lambda patch: patch.setitem(batch.APPLY, kind, make(batch.APPLY[kind]))


def _uid_again(went: Any) -> Any:
    def stand_in(self: Counters, uid: int, flags: int, size: int) -> None:
        went(self, uid, flags, size)
        if uid == self.uid_next - 1:
            self.uid_next -= 1

    return stand_in


def _filed_twice(file: Any) -> Any:
    def stand_in(*about: Any) -> Any:
        file(*about)
        return file(*about)

    return stand_in


def _kept(expunge: Any) -> Any:
    def stand_in(ledger: Ledger, change: Expunge) -> Any:
        if change.uids is None and change.deleted_only:
            ledger.flush()
            sql = "SELECT uid FROM entries WHERE mailbox = ? AND flags & 8 ORDER BY uid"
            found = fetch_all(ledger.connection, sql, (change.mailbox,))
            return Expunged(ModSeq(1), tuple([Uid(uid) for (uid,) in found]))
        return expunge(ledger, change)

    return stand_in


def _torn(take_away: Any) -> Any:
    def stand_in(ledger: Ledger, mailbox: Counters, rows: Any, why: Any = leaving.Why.EXPUNGED) -> None:
        if why is leaving.Why.MOVED:
            ledger.flush()
            ledger.connection.execute("COMMIT; BEGIN IMMEDIATE").fetchall()
        take_away(ledger, mailbox, rows, why)

    return stand_in


def _flags_lost(bits: Any) -> Any:
    def stand_in(before: int, change: SetFlags) -> int:
        after: int = bits(before, change)
        return after & ~int(Flag.FLAGGED) if change.how is How.ADD else after

    return stand_in


def _one_beside(move: Any) -> Any:
    def stand_in(ledger: Ledger, change: MoveLetters) -> Any:
        (message, before, after), *others = change.moves
        moves = ((message, before, after + 1), *others)
        return move(ledger, MoveLetters(change.source, change.target, change.end, moves))

    return stand_in


def _told_too_early(try_commit: Any) -> Any:
    def stand_in(self: Any, under_way: Any) -> None:
        told = [each for each in under_way.waiting if isinstance(each.item, Subscribe) and not each.answer.done()]
        for each in told:
            each.reply(Done())
        if told:
            self._loop.call_later(0.001, try_commit, self, under_way)
        else:
            try_commit(self, under_way)

    return stand_in


PLANTED: Final[dict[str, Plant]] = {
    "a flag is lost": _replace(flags, "_bits", _flags_lost),
    "only the first keyword is set": _replace(
        flags, "change_keywords", lambda change: lambda old, how, new: change(old, how, new[:1])
    ),
    "a UID is given again": _replace(Counters, "went", _uid_again),
    "unseen letters are counted wrong": _replace(Counters, "flagged", lambda _: lambda self, was, now, count: None),
    "a letter is filed twice": _replace(letters, "_file", _filed_twice),
    "a modseq stays where it was": _replace(Counters, "next_modseq", lambda _: lambda self: self.highest_modseq),
    "a modseq goes back": _replace(
        Counters, "next_modseq", lambda draw: lambda self: draw(self) - 2 * (self.messages == 3)
    ),
    "an expunge keeps its letters": _apply(Expunge, _kept),
    "a domain's usage is not counted": _replace(
        usage.Use, "add", lambda _: lambda self, octets, letters: self.own.add(octets, letters)
    ),
    "a limit is passed": _replace(Usage, "has_room", lambda _: lambda self, octets, letters: True),
    "a subscription is lost": _apply(Subscribe, lambda _: lambda ledger, change: Done()),
    "threads are mixed up": _replace(Ledger, "thread", lambda _: lambda self, account, hashes, own: own),
    "a UIDVALIDITY is given again": _replace(
        Ledger, "draw", lambda draw: lambda self, name, least=0: 7 if least else draw(self, name)
    ),
    "a mailbox is renamed without those below": _replace(
        mailboxes, "_inferiors", lambda find: lambda *about: find(*about)[1:]
    ),
    "a move leaves its letters to undelete": _replace(
        letters, "take_away", lambda take: lambda ledger, mailbox, rows, why: take(ledger, mailbox, rows)
    ),
    "a letter comes back twice": _replace(letters, "_BROUGHT_BACK", lambda sql: f"{sql} AND 0"),
    "a letter is not among the changes": _replace(
        reads, "_ENTRY", lambda sql: f"{sql} AND (uid <> 2 OR modseq < 4)"
    ),
    "compaction puts a letter beside its place": _apply(MoveLetters, _one_beside),
    "a move is two transactions": _replace(letters, "take_away", _torn),
    "letters are not synced": _replace(Segment, "sync", lambda _: lambda self: None),
    "a segment's name is not synced": _replace(segments, "sync_folder", lambda _: lambda folder: None),
    "the index is not synced": _replace(index, "_SETTINGS", lambda sql: sql.replace("FULL", "OFF")),
    "an answer comes before its change": _replace(writer.Writer, "_try_commit", _told_too_early),
}
"""In words, and how it is planted."""


@pytest.mark.parametrize("plant", list(PLANTED.values()), ids=list(PLANTED))
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    plant(monkeypatch)
    # By which of its marks depends on what came together in a batch: without the fault the histories are clean.
    assert _what_is_found()


def _what_is_found() -> str:
    """What goes wrong, as the model says it; nothing where nothing does."""
    chosen = settings(
        max_examples=HISTORIES,
        stateful_step_count=STEPS,
        phases=[Phase.generate],
        derandomize=True,
        report_multiple_bugs=False,
    )
    try:
        walk_through(FORMS["sqlite"], chosen)
    except (AssertionError, pytest.fail.Exception) as found:
        return "".join(traceback.format_exception_only(found))
    return ""
