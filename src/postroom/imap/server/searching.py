"""SEARCH and UID SEARCH (RFC 3501 6.4.4, 6.4.8): the letters of the view that match, found slice by slice.

In a mailbox of more than a few letters the search index is asked first, and letters that it rules out are not
looked at. Of a slice of the others as much is read as decides: nothing but the view where flags do, then entries,
then `Letter`, then header and text of those letters that are still in question, one letter at a time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from postroom.imap.grammar.search import CHARSETS, Search
from postroom.imap.server.candidates import Candidate, Header, Need
from postroom.imap.server.letters import slices
from postroom.imap.server.matching import Matcher, matcher
from postroom.imap.server.narrowing import first_behind, numbers_of, runs_within
from postroom.imap.server.refusals import Refusal
from postroom.imap.server.session import Session
from postroom.net.limits import HEADER_OCTETS
from postroom.store.interface import Unreadable
from postroom.store.search.text import read_body_text
from postroom.store.values import Entry, Letter, Uid

_CHECKS: Final = 200
"""Keys held against letters without a pause: a fraction of a millisecond."""
_ROOM: Final = 500_000
"""Characters looked through without a pause: the same."""
_FEW: Final = 50
"""So many letters are sooner looked at than asked about."""
_NUMBERS: Final = 2000
"""Letters counted without a pause: a millisecond."""


async def search(session: Session, command: Search) -> bytes:
    """SEARCH (RFC 3501 6.4.4)."""
    return await _search(session, command, by_uid=False)


async def uid_search(session: Session, command: Search) -> bytes:
    """UID SEARCH (RFC 3501 6.4.8): the answer counts UIDs."""
    return await _search(session, command, by_uid=True)


async def _search(session: Session, command: Search, *, by_uid: bool) -> bytes:
    if command.key is None:
        raise Refusal(b"Strings can't be searched in that charset", b"BADCHARSET (%b)" % b" ".join(CHARSETS))
    view = session.the_selected().view
    asked = matcher(command.key, view)
    await session.catch_up()
    searching = _Searching(session, asked)
    found: list[int] = []
    for ranges in slices(await searching.narrowed(), max(1, _CHECKS // asked.keys)):
        found += await searching.matching(ranges)
        await session.breathe()
    numbers = map(view.uid_of, found) if by_uid else found
    session.write(b"".join([b"* SEARCH", *[b" %d" % number for number in numbers], b"\r\n"]))
    return b"Searched"


class _Searching:
    """One command on its way through the letters."""

    __slots__ = ("_asked", "_indexed", "_mailbox", "_owner", "_session", "_store", "_view")

    def __init__(self, session: Session, asked: Matcher) -> None:
        selected = session.the_selected()
        self._session = session
        self._asked = asked
        self._view = selected.view
        self._mailbox = selected.mailbox.id
        self._owner = selected.mailbox.owner
        self._store = session.service.store
        self._indexed = False
        """Whether most texts will have been kept."""

    async def narrowed(self) -> list[range]:
        """The numbers of those letters that can match, as far as can be said without a look at any of them."""
        asked, view = self._asked, self._view
        if not asked.looks or sum(map(len, asked.ranges)) <= _FEW:
            return asked.ranges
        clues = [look.clue for look in asked.looks if look.clue is not None]
        answer = await self._store.search_candidates(self._owner, self._mailbox, list(dict.fromkeys(clues)))
        if answer is None:
            return asked.ranges
        self._indexed = True
        for look in asked.looks:
            look.suspects = None if look.clue is None else answer.suspects(look.clue)
        uids = asked.narrow()
        if uids is None:
            return asked.ranges
        numbers: list[int] = []
        for at in range(0, len(uids), _NUMBERS):
            numbers += numbers_of(uids[at : at + _NUMBERS], view)
            await self._session.breathe()
        behind = first_behind(answer.indexed, view)
        del numbers[bisect_left(numbers, behind) :]
        return list(runs_within(chain(numbers, range(behind, len(view) + 1)), asked.ranges))

    async def matching(self, ranges: list[range]) -> list[int]:
        """Which of these letters match; none that is gone (RFC 2180 4.3)."""
        view, needs = self._view, self._asked.needs
        numbers = list(chain(*ranges))
        uids = view.uids(ranges)
        pairs = [pair for pair in zip(numbers, uids, strict=True) if not view.is_gone(pair[1])]
        candidates = [
            Candidate(number, uid, view.flags_at(number), view.keywords_at(number)) for number, uid in pairs
        ]
        found: list[int] = []
        open = self._decide(candidates, found)
        if open and Need.ENTRY in needs:
            open = self._decide(await self._with_entries(open, contiguous=len(ranges) == 1), found)
        if open and Need.LETTER in needs:
            open = self._decide(await self._with_letters(open), found)
        while open:
            # One at a time is in memory with its text.
            candidate = open.pop()
            if await self._look(candidate):
                found.append(candidate.number)
        found.sort()
        return found

    def _decide(self, candidates: Iterable[Candidate], found: list[int]) -> list[Candidate]:
        """Add those that match to `found`; gives back those that are in question."""
        check = self._asked.check
        open: list[Candidate] = []
        for candidate in candidates:
            verdict = check(candidate)
            if verdict is None:
                open.append(candidate)
            elif verdict:
                found.append(candidate.number)
        return open

    async def _with_entries(self, open: list[Candidate], *, contiguous: bool) -> list[Candidate]:
        """Those candidates that the mailbox still has, with their entries."""
        first, last = open[0], open[-1]
        entries: Sequence[Entry]
        if contiguous:
            count = last.number - first.number + 1
            entries = await self._store.entries(self._mailbox, Uid(first.uid - 1), count)
        else:
            entries = [
                entry
                for candidate in open
                for entry in await self._store.entries(self._mailbox, Uid(candidate.uid - 1), 1)
            ]
        found = {entry.uid: entry for entry in entries}
        for candidate in open:
            candidate.entry = found.get(Uid(candidate.uid))
        return [candidate for candidate in open if candidate.entry is not None]

    async def _with_letters(self, open: list[Candidate]) -> list[Candidate]:
        """Those candidates that the mailbox still has, with their letters."""
        uids = [Uid(candidate.uid) for candidate in open]
        answers = Need.BODY in self._asked.needs and not self._indexed
        letters = await self._store.letters(self._mailbox, uids, answers=answers)
        found = {letter.uid: letter for letter in letters}
        for candidate in open:
            candidate.letter = found.get(Uid(candidate.uid))
        return [candidate for candidate in open if candidate.letter is not None]

    async def _look(self, candidate: Candidate) -> bool:
        """Look into a letter until it is decided. One that can't be read doesn't match."""
        letter = candidate.letter
        assert letter is not None
        candidate.search_on(_ROOM)
        while (verdict := self._asked.check(candidate)) is None:
            look = candidate.asked
            assert look is not None
            try:
                if look.need is Need.HEADER and candidate.header is None:
                    candidate.header = Header(await self._header(letter))
                if look.need is Need.BODY and candidate.body is None:
                    candidate.body = await self._body(letter)
            except Unreadable:
                return False
            await self._session.breathe()
            candidate.search_on(_ROOM)
        await self._session.breathe()
        return verdict

    async def _header(self, letter: Letter) -> bytes:
        size = min(len(letter.prefix) + letter.header_size, HEADER_OCTETS)
        return await self._store.read(letter, 0, size)

    async def _body(self, letter: Letter) -> str:
        text = await self._store.search_text(self._owner, letter.message)
        if text is not None:
            return text
        if not letter.parts:
            found = await self._store.letters(self._mailbox, [letter.uid])
            if not found:
                raise Unreadable("it is gone")
            (letter,) = found
        return await read_body_text(self._store, letter, self._session.breathe)
