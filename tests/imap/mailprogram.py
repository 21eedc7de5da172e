"""What a client makes of the lines that it is sent: mailbox, session and mail program in plain Python, without any
of the view's own means, so that they can be held against it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from postroom.imap.grammar.flags import RECENT
from postroom.imap.view import View
from postroom.store.changes import How
from postroom.store.values import Changes, Entry, Flag, ModSeq, Uid

SEEN, DELETED, FLAGGED, ANSWERED = Flag.SEEN, Flag.DELETED, Flag.FLAGGED, Flag.ANSWERED


def changed(
    flags: int, words: frozenset[str], how: How, by: int, keywords: frozenset[str]
) -> tuple[int, frozenset[str]]:
    """What STORE does, as anybody understands it."""
    if how is How.SET:
        return by, keywords
    if how is How.ADD:
        return flags | by, words | keywords
    return flags & ~by, words - keywords


class Truth:
    """A mailbox as the store has it."""

    def __init__(self, letters: int = 0) -> None:
        self.entries: dict[int, Entry] = {}
        self.tombstones: list[tuple[int, int]] = []
        self.modseq = 10
        self.uid_next = 1
        self.recent_from = 1
        for _ in range(letters):
            self.deliver()

    def deliver(self, flags: int = 0, keywords: str = "") -> int:
        self.modseq += 1
        uid, self.uid_next = self.uid_next, self.uid_next + 1
        self.entries[uid] = Entry(Uid(uid), flags, keywords, ModSeq(self.modseq), 0, 0, 1)
        return uid

    def store(self, uids: list[int], how: How, by: int, keywords: tuple[str, ...] = ()) -> None:
        self.modseq += 1
        for uid in uids:
            if (old := self.entries.get(uid)) is None:
                continue
            flags, words = changed(old.flags, frozenset(old.keywords.split()), how, by, frozenset(keywords))
            new = old._replace(flags=flags, keywords=" ".join(sorted(words)))
            if new != old:
                self.entries[uid] = new._replace(modseq=ModSeq(self.modseq))

    def expunge(self, *uids: int) -> None:
        self.modseq += 1
        for uid in uids:
            if self.entries.pop(uid, None) is not None:
                self.tombstones.append((uid, self.modseq))

    def take_recent(self) -> Uid:
        first, self.recent_from = self.recent_from, self.uid_next
        return Uid(first)

    def changes(self, since: int) -> Changes:
        return Changes(
            ModSeq(self.modseq),
            [entry for entry in self.entries.values() if entry.modseq > since],
            [Uid(uid) for uid, modseq in self.tombstones if modseq > since],
        )


@dataclass
class Known:
    """What a client knows of a letter; None where it was never told."""

    uid: int | None = None
    flags: int | None = None
    keywords: frozenset[str] = frozenset()


_BITS = {
    "\\Seen": SEEN,
    "\\Answered": ANSWERED,
    "\\Flagged": FLAGGED,
    "\\Deleted": DELETED,
    "\\Draft": Flag.DRAFT,
    "\\Recent": RECENT,
}
LINE = re.compile(
    rb"\* (?:(?P<number>[1-9][0-9]*|0) (?P<word>EXISTS|RECENT|EXPUNGE|FETCH)(?P<items> \(.*\))?"
    rb"|FLAGS \((?P<flags>.*)\)|OK \[(?P<code>[A-Z]+)(?: (?P<data>[^\]]*))?\] .+)\r\n"
)


@dataclass
class Client:
    """A mail program that believes each line."""

    letters: list[Known] = field(default_factory=list)
    recent: int = 0
    flags: list[str] = field(default_factory=list)
    permanent: list[str] = field(default_factory=list)
    unseen: int | None = None

    def hear(self, lines: list[bytes]) -> None:
        for line in lines:
            found = LINE.fullmatch(line)
            assert found is not None, line
            if found["flags"] is not None:
                self.flags = found["flags"].decode().split()
            elif found["code"] is not None:
                self._hear_code(found["code"], found["data"].decode())
            else:
                self._hear_number(int(found["number"]), found["word"], found["items"])

    def _hear_code(self, code: bytes, data: str) -> None:
        if code == b"PERMANENTFLAGS":
            self.permanent = data.strip("()").split()
        else:
            assert code == b"UNSEEN"
            self.unseen = int(data)

    def _hear_number(self, number: int, word: bytes, items: bytes | None) -> None:
        if word == b"EXISTS":
            assert number >= len(self.letters), "a mailbox shrinks by EXPUNGE only"
            self.letters += [Known() for _ in range(number - len(self.letters))]
        elif word == b"RECENT":
            self.recent = number
        elif word == b"EXPUNGE":
            del self.letters[number - 1 : number]
        else:
            assert items is not None
            self._hear_fetch(self.letters[number - 1], items)

    def _hear_fetch(self, letter: Known, items: bytes) -> None:
        found = re.fullmatch(rb" \((?:UID (\d+) )?FLAGS (\(.*\))\)", items)
        assert found is not None
        if found[1] is not None:
            assert letter.uid in (None, int(found[1]))
            letter.uid = int(found[1])
        self.hear_flags(letter, found[2])
        assert letter.keywords <= set(self.flags), "FLAGS comes first"

    def hear_flags(self, letter: Known, flags: bytes) -> None:
        words = flags.decode().strip("()").split()
        letter.flags = sum(_BITS[word] for word in words if word in _BITS)
        letter.keywords = frozenset(word for word in words if word not in _BITS)


class Session:
    """A view, the client at its end, and the store behind it."""

    def __init__(self, truth: Truth, *, read_only: bool = False, slice: int = 3) -> None:
        self.truth = truth
        self.view = View(ModSeq(truth.modseq), read_only=read_only)
        self.client = Client()
        self.read_only = read_only
        entries = list(truth.entries.values())
        for start in range(0, len(entries), slice):
            self.view.load(entries[start : start + slice])
        if not read_only:
            self.view.recent(truth.take_recent())
        self.client.hear(self.view.opening())

    def catch_up(self) -> None:
        if not self.read_only:
            self.view.recent(self.truth.take_recent())
        self.view.apply(self.truth.changes(self.view.modseq))

    def news(self, *, expunges: bool = True, with_uid: bool = False) -> list[bytes]:
        self.catch_up()
        lines = self.view.news(expunges=expunges, with_uid=with_uid)
        assert expunges or not any(b"EXPUNGE" in line for line in lines)
        self.client.hear(lines)
        return lines

    def fetch(self, number: int) -> None:
        self.client.hear_flags(self.client.letters[number - 1], self.view.tell_flags(number))
        self.client.letters[number - 1].uid = self.view.uid_of(number)

    def fetch_all(self) -> None:
        numbers = range(1, len(self.view) + 1)
        for number, flags in zip(numbers, self.view.tell_all_flags(numbers), strict=True):
            self.client.hear_flags(self.client.letters[number - 1], flags)
            self.client.letters[number - 1].uid = self.view.uid_of(number)

    def store(
        self, numbers: list[int], how: How, by: Flag, keywords: tuple[str, ...] = (), *, silent: bool = True
    ) -> None:
        """STORE as the server does it, and what a client makes of its own .SILENT."""
        uids = [uid for number in numbers if not self.view.is_gone(uid := self.view.uid_of(number))]
        self.truth.store([int(uid) for uid in uids], how, int(by), keywords)
        self.view.stored(uids, how, by, keywords, silent=silent)
        if silent:
            for letter in (self.client.letters[number - 1] for number in numbers):
                if letter.flags is not None:
                    flags, letter.keywords = changed(
                        letter.flags & ~RECENT, letter.keywords, how, int(by), frozenset(keywords)
                    )
                    letter.flags = flags | letter.flags & RECENT

    def check(self) -> None:
        """The client and the view are of one mind."""
        assert len(self.client.letters) == len(self.view)
        assert self.client.recent == self.view.recents
        for number, letter in enumerate(self.client.letters, 1):
            uid = self.view.uid_of(number)
            assert self.view.number_of(uid) == number
            assert letter.uid in (None, uid)
            if letter.flags is not None and not self.view.is_gone(uid):
                assert letter.flags == self.view.flags_at(number)
                assert letter.keywords == set(self.view.keywords_at(number).split())

    def check_truth(self) -> None:
        """After all news the client knows what is."""
        self.check()
        assert self.view.news(expunges=True) == []
        assert [self.view.uid_of(number) for number in range(1, len(self.view) + 1)] == list(self.truth.entries)
        for number, entry in enumerate(self.truth.entries.values(), 1):
            assert self.view.flags_at(number) & ~RECENT == entry.flags
            assert self.view.keywords_at(number) == entry.keywords
