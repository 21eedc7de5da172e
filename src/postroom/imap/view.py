"""One session's numbered view of a mailbox: a value that takes in changes and gives out the untagged news.

The view counts letters as the client does. `apply` takes in what happened; nothing of it changes a sequence number
until `news` gives out the responses that tell the client so: letters that are gone keep their numbers until an
EXPUNGE may be sent (RFC 3501 7.4.1), new ones have none before their EXISTS. Flags are known at their newest at
once; the client is told of each change, save what it did itself with .SILENT.

A letter costs 17 octets: UID, flags, keywords (a number for each set of them) and modseq; dates and sizes are read
from the store. A view and its copies have these columns in common until one of them changes. No I/O here.

The life of a view: `fill` it with slices of the mailbox, or make it by `copy` of another; `opening` (SELECT's
answers), then again and again `apply`, perhaps `stored`, and `news`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, cast
from weakref import WeakSet

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.flags import RECENT, write_flags
from postroom.imap.grammar.sets import SequenceSet
from postroom.imap.keywordsets import KeywordSets
from postroom.store.changes import How
from postroom.store.columns import Columns
from postroom.store.values import Changes, Entry, Flag, ModSeq, Uid

_WRITTEN: Final = tuple([write_flags(bits, "") for bits in range(2 * RECENT)])
_WITH_RECENT: Final = bytes(bits | RECENT for bits in range(256))
_NOT_RECENT: Final = bytes(bits for bits in range(256) if not bits & RECENT)
_WITHOUT_RECENT: Final = bytes(bits & ~RECENT for bits in range(256))
_SEEN: Final = bytes(bits & Flag.SEEN for bits in range(256))
_LOOKED_AT: Final = 16_384
"""Letters whose flags are looked through at a time for an unseen one."""
_LETTER_OCTETS: Final = 17


class _Belief(NamedTuple):
    """A letter's flags as the client has them in mind: what it was told, and its own silent STOREs done to that."""

    flags: int
    keywords: frozenset[str]
    """In upper case."""

    def after(self, how: How, flags: int, keywords: frozenset[str]) -> _Belief:
        """The same after a STORE (RFC 3501 6.4.6); \\Recent is out of its reach."""
        match how:
            case How.SET:
                return _Belief(flags | self.flags & RECENT, keywords)
            case How.ADD:
                return _Belief(self.flags | flags, self.keywords | keywords)
            case How.REMOVE:
                return _Belief(self.flags & ~flags, self.keywords - keywords)


class View:
    """See the module."""

    modseq: ModSeq
    """The `since` of the next question for changes."""
    lost: bool
    """Whether the mailbox itself is gone."""

    def __init__(self, modseq: ModSeq, *, read_only: bool = False) -> None:
        """An empty view. `modseq` is the mailbox's highest as `status` told it before the first slice was read."""
        self.modseq = modseq
        self.lost = False
        self._read_only = read_only
        self._uids = array("I")
        self._flags = array("B")
        self._keywords = array("I")
        self._modseqs = array("Q")
        self._sets = KeywordSets()
        self._flags_of: WeakSet[View] = WeakSet((self,))
        self._rest_of: WeakSet[View] = WeakSet((self,))
        """The views that have these columns in common; nothing is changed in place where there are others."""
        self._seen_before = 0
        """No letter before this index is unseen."""
        self._recent_from: int | None = None
        self._recents = 0
        self._recents_told = 0
        self._gone: set[int] = set()
        """UIDs that wait for their EXPUNGE."""
        self._fresh: dict[int, Entry] = {}
        """Letters that wait for their EXISTS."""
        self._believed: dict[int, _Belief | None] = {}
        """By UID, where the client's mind may differ from what is; None where it must be told in any case."""

    def load(self, entries: Sequence[Entry]) -> None:
        """`fill` with rows."""
        if entries:
            uids, flags, keywords, modseqs, *_ = zip(*entries, strict=True)
            self.fill(Columns(array("I", uids), array("B", flags), array("Q", modseqs), list(keywords)))

    def fill(self, letters: Columns) -> None:
        """Take in the next slice of the mailbox, ascending; only before `opening`."""
        if not letters.uids:
            return
        first = len(self._uids)
        self._own()
        for words in set(letters.keywords):
            self._sets.number(words)
        self._uids.extend(letters.uids)
        self._flags.extend(letters.flags)
        self._keywords.extend(map(self._sets.numbers.__getitem__, letters.keywords))
        self._modseqs.extend(letters.modseqs)
        self._recents += _recents_of(letters.flags)
        self._mark_recent(first)

    def copy(self, *, read_only: bool = False) -> View:
        """Another session's view of what this one knows, told or not; nothing is \\Recent there."""
        twin = View(self.modseq, read_only=read_only)
        twin._uids, twin._flags = self._uids, self._flags
        twin._keywords, twin._modseqs = self._keywords, self._modseqs
        twin._sets = self._sets.copy()
        twin._flags_of, twin._rest_of = self._flags_of, self._rest_of
        twin._flags_of.add(twin)
        twin._rest_of.add(twin)
        twin._seen_before, twin._recents = self._seen_before, self._recents
        twin._gone, twin._fresh = self._gone.copy(), self._fresh.copy()
        twin.settle()
        if twin._recents:
            twin._flags = array("B", twin._flags.tobytes().translate(_WITHOUT_RECENT))
            twin._flags_of = twin._without_others(twin._flags_of)
            twin._recents = 0
        return twin

    def settle(self) -> None:
        """Take all that waits to be told for told: where no client was told of anything yet."""
        self._take_away()
        self._take_in()
        self._believed.clear()
        self._first_unseen()
        if self._sets.full:
            self._keywords = self._sets.relist(self._keywords)

    @property
    def octets(self) -> int:
        """What it takes of memory, about; much of that may be what copies of it have too."""
        return _LETTER_OCTETS * len(self._uids) + self._sets.octets

    def _own(self) -> None:
        """To be called before a column is changed in place."""
        self._own_flags()
        if len(self._rest_of) > 1:
            self._uids, self._keywords, self._modseqs = self._uids[:], self._keywords[:], self._modseqs[:]
            self._rest_of = self._without_others(self._rest_of)

    def _own_flags(self) -> None:
        if len(self._flags_of) > 1:
            self._flags = self._flags[:]
            self._flags_of = self._without_others(self._flags_of)

    def _without_others(self, views: WeakSet[View]) -> WeakSet[View]:
        views.discard(self)
        return WeakSet((self,))

    def recent(self, first: Uid) -> None:
        """Letters from this UID on, present and to come, are \\Recent in this session (store.values.Recent).
        To be called before `opening`, and again after each further TakeRecent, before `apply`."""
        self._recent_from = first
        self._mark_recent(0)

    def _mark_recent(self, start: int) -> None:
        if self._recent_from is None:
            return
        start = bisect_left(self._uids, self._recent_from, start)
        if start == len(self._uids):
            return
        self._own_flags()
        flags = self._flags[start:]
        self._recents += len(flags) - _recents_of(flags)
        self._flags[start:] = array("B", flags.tobytes().translate(_WITH_RECENT))

    def opening(self) -> list[bytes]:
        """SELECT's untagged FLAGS, EXISTS, RECENT, PERMANENTFLAGS and (where there is one) UNSEEN."""
        self.settle()
        self._sets.untold = False
        self._recents_told = self.recents
        lines = [
            b"* FLAGS (%b)\r\n" % self._sets.names(),
            b"* %d EXISTS\r\n" % len(self._uids),
            b"* %d RECENT\r\n" % self._recents_told,
        ]
        if (unseen := self._first_unseen()) is not None:
            lines.append(b"* OK [UNSEEN %d] The first unseen letter\r\n" % unseen)
        lines.append(self._permanent_flags())
        return lines

    def _first_unseen(self) -> int | None:
        """A number; found only once, however often the mailbox is selected."""
        for start in range(self._seen_before, len(self._flags), _LOOKED_AT):
            found = self._flags[start : start + _LOOKED_AT].tobytes().translate(_SEEN).find(b"\0")
            if found >= 0:
                self._seen_before = start + found
                return self._seen_before + 1
        self._seen_before = len(self._flags)
        return None

    def _permanent_flags(self) -> bytes:
        if self._read_only:
            return b"* OK [PERMANENTFLAGS ()] No flag can be changed\r\n"
        return b"* OK [PERMANENTFLAGS (%b \\*)] Flags are kept, new keywords too\r\n" % self._sets.names()

    # --- what the client sees

    def __len__(self) -> int:
        """How many letters the client knows of: those that wait for their EXPUNGE included."""
        return len(self._uids)

    @property
    def recents(self) -> int:
        """How many of them are \\Recent."""
        return self._recents

    def number_of(self, uid: int) -> int | None:
        """The sequence number of a UID; None where the client knows no such letter."""
        return self._index(uid) + 1 or None

    def uid_of(self, number: int) -> Uid:
        """The UID of a sequence number between 1 and len(self)."""
        return Uid(self._uids[number - 1])

    def chosen(self, chosen: SequenceSet, *, by_uid: bool) -> list[range]:
        """The letters of a set as ranges of sequence numbers, ascending. UIDs that aren't there are passed over.

        Raises `SyntaxFault` for a sequence number that isn't there, "*" in an empty mailbox included (RFC 3501 9).
        """
        if by_uid:
            return [range(found.start + 1, found.stop + 1) for found in chosen.over(self._uids)]
        if not self._uids or chosen.highest() > len(self._uids):
            raise SyntaxFault("there is no letter of that number")
        return [range(low, high + 1) for low, high in chosen.intervals(len(self._uids))]

    def uids(self, numbers: Iterable[range]) -> list[Uid]:
        """The UIDs of ranges of sequence numbers, ascending."""
        uids: list[int] = []
        for run in numbers:
            uids.extend(self._uids[run.start - 1 : run.stop - 1])
        return cast("list[Uid]", uids)

    def is_gone(self, uid: int) -> bool:
        """Whether a letter is expunged and just waits for its EXPUNGE: it can't be fetched, stored or searched."""
        return uid in self._gone

    def any_gone(self, uids: Sequence[int]) -> bool:
        """Whether one of these letters is so."""
        return bool(self._gone) and not self._gone.isdisjoint(uids)

    def flags_at(self, number: int) -> int:
        """Bits of `Flag`, and `grammar.flags.RECENT`, as they are now."""
        return self._flags[number - 1]

    def keywords_at(self, number: int) -> str:
        """Keywords as they are now, single spaces between."""
        return self._sets.sets[self._keywords[number - 1]]

    def tell_flags(self, number: int) -> bytes:
        """The flags in parentheses for a FETCH response that the caller is about to write; news won't repeat
        them."""
        self._believed.pop(self._uids[number - 1], None)
        return write_flags(self.flags_at(number), self.keywords_at(number))

    def tell_all_flags(self, numbers: Sequence[int]) -> list[bytes]:
        """`tell_flags` of many letters, ascending."""
        if not numbers:
            return []
        low, high = numbers[0] - 1, numbers[-1]
        if high - low != len(numbers) or any(self._keywords[low:high]):
            return list(map(self.tell_flags, numbers))
        if self._believed:
            for uid in self._uids[low:high]:
                self._believed.pop(uid, None)
        return list(map(_WRITTEN.__getitem__, self._flags[low:high]))

    # --- what happens

    def apply(self, changes: Changes) -> None:
        """Take in what happened after `modseq`. The same changes twice do no harm."""
        last = self._uids[-1] if self._uids else 0
        index = -1
        if changes.entries:
            self._own()
        for entry in changes.entries:
            if entry.uid > last:
                self._arrive(entry)
            elif (index := self._index(entry.uid, index + 1)) >= 0 and entry.modseq > self._modseqs[index]:
                self._change(index, entry)
        for uid in changes.vanished:
            self._fresh.pop(uid, None)
            if (index := self._index(uid, index + 1)) >= 0:
                self._gone.add(uid)
                self._believed.pop(uid, None)
        self.modseq = max(self.modseq, changes.modseq)
        self.lost = self.lost or not changes.exists
        if self._sets.crowded:
            self._keywords = self._sets.forget(self._keywords)

    def _arrive(self, entry: Entry) -> None:
        """A letter that the client doesn't know. One whose modseq has been passed came before, and went again."""
        known = self._fresh.get(entry.uid)
        if entry.modseq <= (self.modseq if known is None else known.modseq):
            return
        if known is not None:
            recent = known.flags & RECENT
        else:
            recent = RECENT if self._recent_from is not None and entry.uid >= self._recent_from else 0
        self._fresh[entry.uid] = entry._replace(flags=entry.flags | recent)

    def _change(self, index: int, entry: Entry) -> None:
        flags = entry.flags | self._flags[index] & RECENT
        keywords = self._sets.number(entry.keywords)
        self._modseqs[index] = entry.modseq
        if flags == self._flags[index] and keywords == self._keywords[index]:
            return
        if entry.uid not in self._gone:
            self._believed.setdefault(entry.uid, self._as_is(index))
        self._flags[index] = flags
        self._keywords[index] = keywords
        if not flags & Flag.SEEN:
            self._seen_before = min(self._seen_before, index)

    def stored(self, uids: Iterable[int], how: How, flags: Flag, keywords: Sequence[str], *, silent: bool) -> None:
        """This session's own STORE was done to these UIDs (not to those that `FlagsSet.modified` names).

        To be called before the next `news`. With `silent` the client reckons the result itself and hears of a
        letter only where another changed it too; without, it hears of each.
        """
        folded = frozenset(keyword.upper() for keyword in keywords)
        index = -1
        for uid in uids:
            index = self._index(uid, index + 1)
            if index < 0 or uid in self._gone:
                continue
            if not silent:
                self._believed[uid] = None
            elif (belief := self._believed.get(uid, self._as_is(index))) is not None:
                self._believed[uid] = belief.after(how, int(flags), folded)

    def news(self, *, expunges: bool, with_uid: bool = False) -> list[bytes]:
        """The untagged responses that bring the client up to date, each a whole line.

        EXPUNGE (only where `expunges`: never during FETCH, STORE, SEARCH, nor without a command), EXISTS, RECENT,
        FLAGS where keywords are new, FETCH (FLAGS), with the UID where `with_uid`.
        """
        lines: list[bytes] = []
        if expunges:
            lines += [b"* %d EXPUNGE\r\n" % number for number in self._take_away()]
        if self._take_in():
            lines.append(b"* %d EXISTS\r\n" % len(self._uids))
        if (recents := self.recents) != self._recents_told:
            self._recents_told = recents
            lines.append(b"* %d RECENT\r\n" % recents)
        if self._sets.untold:
            self._sets.untold = False
            lines.append(b"* FLAGS (%b)\r\n" % self._sets.names())
            if not self._read_only:
                lines.append(self._permanent_flags())
        return lines + self._flag_news(with_uid=with_uid)

    def _flag_news(self, *, with_uid: bool) -> list[bytes]:
        believed, self._believed = self._believed, {}
        lines = []
        index = -1
        for uid in sorted(believed):
            index = self._index(uid, index + 1)
            if believed[uid] != self._as_is(index):
                item = b"UID %d FLAGS" % uid if with_uid else b"FLAGS"
                lines.append(b"* %d FETCH (%b %b)\r\n" % (index + 1, item, self.tell_flags(index + 1)))
        return lines

    def _take_away(self) -> list[int]:
        """Drop the letters that are gone: the numbers of their EXPUNGEs, each counted after the one before
        (RFC 3501 7.4.1: "* 3 EXPUNGE" three times for 3, 4 and 5)."""
        if not self._gone:
            return []
        going = [self._index(uid) for uid in sorted(self._gone)]
        self._gone.clear()
        self._recents -= sum([self._flags[index] & RECENT != 0 for index in going])
        self._seen_before -= bisect_left(going, self._seen_before)
        self._own()
        for column in (self._uids, self._flags, self._keywords, self._modseqs):
            _take_out(column, going)
        return [index + 1 - before for before, index in enumerate(going)]

    def _take_in(self) -> bool:
        """Give the letters that are new their numbers; whether there are any."""
        if not self._fresh:
            return False
        fresh, self._fresh = self._fresh, {}
        self.load([fresh[uid] for uid in sorted(fresh)])
        return True

    def _as_is(self, index: int) -> _Belief:
        return _Belief(self._flags[index], self._sets.folded[self._keywords[index]])

    def _index(self, uid: int, guess: int = 0) -> int:
        """Where a UID stands, counted from 0; -1 where it doesn't. `guess` is tried first, as most come in runs."""
        uids = self._uids
        if guess < len(uids) and uids[guess] == uid:
            return guess
        index = bisect_left(uids, uid)
        return index if index < len(uids) and uids[index] == uid else -1


def _recents_of(flags: array[int]) -> int:
    return len(flags.tobytes().translate(None, _NOT_RECENT))


def _take_out(column: array[int], going: Sequence[int]) -> None:
    """Drop the letters at some indices, ascending, out of a column: what lies between them is moved as a whole, and
    what lies before them not at all."""
    end = going[0]
    with memoryview(column) as letters:
        for index, behind in zip(going, [*going[1:], len(column)], strict=True):
            start, end = end, end + behind - index - 1
            letters[start:end] = letters[index + 1 : behind]
    del column[end:]
