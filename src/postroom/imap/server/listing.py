"""Which mailboxes there are: LIST and LSUB (RFC 3501 6.3.8, 6.3.9), LIST extended (RFC 5258) with CHILDREN (RFC
3348) and SPECIAL-USE (RFC 6154).

Every level above a mailbox exists, the store sees to that; but a name that is subscribed to need not, nor need the
levels above it. \\HasChildren or \\HasNoChildren and a special use are told of each mailbox, asked for or not; the
many names of one account are gone through with turns for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from postroom.imap.grammar.commands import List, Return, Selection
from postroom.imap.grammar.listing import write_list
from postroom.imap.grammar.names import Pattern, pattern
from postroom.imap.server.session import Session
from postroom.store.names import levels_above
from postroom.store.values import INBOX, SEPARATOR, Mailbox

_CRITERIA: Final = (Selection.SUBSCRIBED, Selection.SPECIAL_USE)
"""Options that choose; the others only change how."""


@dataclass(frozen=True, slots=True)
class _Names:
    """An account's names, as one command sees them."""

    mailboxes: Mapping[str, Mailbox]
    subscribed: frozenset[str]
    parents: frozenset[str]
    """Names of mailboxes that have inferiors."""

    def all(self, levels: frozenset[str] = frozenset()) -> list[str]:
        """Mailboxes, subscribed names and `levels`, INBOX first, each name's inferiors right behind it."""
        names = self.subscribed.union(self.mailboxes, levels)
        return sorted(names, key=lambda name: (name != INBOX, name.split(SEPARATOR)))


async def _names(session: Session) -> _Names:
    store, account = session.service.store, session.the_account().id
    mailboxes = {mailbox.name: mailbox for mailbox in await store.mailboxes(account)}
    subscribed = frozenset(await store.subscriptions(account))
    parents = frozenset(name.rpartition(SEPARATOR)[0] for name in mailboxes)
    return _Names(mailboxes, subscribed, parents)


async def list_(session: Session, command: List) -> bytes:
    """RFC 3501 6.3.8, RFC 5258 3."""
    if command.patterns == (b"",) and not command.extended:
        session.write(write_list(b"LIST", [b"\\Noselect"], ""))
        return b"That is the separator"
    patterns = _patterns(command)
    names = await _names(session)
    chosen = _chooser(names, command.selection)
    told = Selection.SUBSCRIBED in command.selection or Return.SUBSCRIBED in command.returns
    child_info = b'("CHILDINFO" (%b))' % b" ".join(
        b'"%b"' % option.value for option in _CRITERIA if option in command.selection
    )
    above = for_inferiors = frozenset[str]()
    if Selection.RECURSIVEMATCH in command.selection:
        above, for_inferiors = await _look_above(session, names, chosen, patterns)
    for name in names.all(for_inferiors):
        await session.breathe()
        if name not in for_inferiors and not (chosen(name) and _matches(patterns, name)):
            continue
        session.write(
            write_list(
                b"LIST",
                _attributes(names, name, subscriptions=told),
                name,
                child_info=child_info if name in above else b"",
            )
        )
    return b"Those are the mailboxes"


def _patterns(command: List) -> list[Pattern]:
    return [pattern(command.reference, each) for each in dict.fromkeys(command.patterns)]


def _matches(patterns: Iterable[Pattern], name: str) -> bool:
    return any(each.matches(name) for each in patterns)


def _chooser(names: _Names, selection: frozenset[Selection]) -> Callable[[str], bool]:
    """Whether a name meets all criteria. Without any it must be a mailbox's; REMOTE would let more in, and there is
    none."""
    subscribed, special = (option in selection for option in _CRITERIA)

    def chosen(name: str) -> bool:
        mailbox = names.mailboxes.get(name)
        if special and (mailbox is None or mailbox.special_use is None):
            return False
        return name in names.subscribed if subscribed else mailbox is not None

    return chosen


def _attributes(names: _Names, name: str, *, subscriptions: bool) -> list[bytes]:
    mailbox = names.mailboxes.get(name)
    attributes = [b"\\HasChildren" if name in names.parents else b"\\HasNoChildren"]
    if mailbox is None:
        attributes.insert(0, b"\\NonExistent")
    elif mailbox.special_use is not None:
        attributes.append(mailbox.special_use.encode())
    if subscriptions and name in names.subscribed:
        attributes.append(b"\\Subscribed")
    return attributes


async def _look_above(
    session: Session, names: _Names, chosen: Callable[[str], bool], patterns: list[Pattern]
) -> tuple[frozenset[str], frozenset[str]]:
    """Names that have an inferior which meets the criteria (RFC 5258 3.1, RECURSIVEMATCH); and names that are to be
    shown for an inferior alone, because that one isn't shown itself (3.5)."""
    above: set[str] = set()
    for_inferiors: set[str] = set()
    for name in names.all():
        await session.breathe()
        if not chosen(name):
            continue
        shown = _matches(patterns, name)
        for level in levels_above(name):
            await session.breathe()
            if level in names.mailboxes or level in names.subscribed:
                above.add(level)
            if not shown and level not in for_inferiors and _matches(patterns, level):
                for_inferiors.add(level)
    return frozenset(above | for_inferiors), frozenset(for_inferiors)


async def lsub(session: Session, command: List) -> bytes:
    """RFC 3501 6.3.9: the names subscribed to. One that is no mailbox (any more) is \\Noselect, and so is a level
    above a name that a "%" cuts off: with foo/bar subscribed to, and not foo, "%" gives foo."""
    if command.patterns == (b"",):
        session.write(write_list(b"LSUB", [b"\\Noselect"], ""))
        return b"That is the separator"
    patterns = _patterns(command)
    names = await _names(session)
    _, cut_off = await _look_above(session, names, names.subscribed.__contains__, patterns)
    for name in names.all(cut_off):
        await session.breathe()
        if name not in cut_off and not (name in names.subscribed and _matches(patterns, name)):
            continue
        selectable = name in names.subscribed and name in names.mailboxes
        session.write(write_list(b"LSUB", [] if selectable else [b"\\Noselect"], name))
    return b"Those are the subscriptions"
