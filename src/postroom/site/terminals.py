"""Who of all workers' clients is there to be shown a letter (RFC 821 3.4), and showing it.

Live sessions are IMAP's (`imap.server.alerts`) and `postroom listen`, which follows one worker by its control
socket, as `postroom trace` does: who may open that (its owner, mode 0600) may read all mail of the site anyway, and
names an account without a password. A worker answers `present` and `show` for its own sessions to the others, and
`listen` and `heard` to `postroom listen`.

A worker that hangs or dies costs SMTP TERMINAL_WORKER_SECONDS once: then it is not asked until it answers again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final

from postroom.imap.server.alerts import Alerts
from postroom.net.ipc import Failed, Handler, Json, Peer, Refused, Unreachable, Values
from postroom.net.limits import (
    TERMINAL_LISTENERS,
    TERMINAL_SHOW_SECONDS,
    TERMINAL_WAITING,
    TERMINAL_WORKER_SECONDS,
)
from postroom.net.log import event
from postroom.site.places import Places
from postroom.smtp.notices import Notice
from postroom.store.values import Account

__all__ = ["SiteTerminals"]

_logger = logging.getLogger("postroom.terminals")
_NOBODY: Final = "<>"


class _Listener:
    """One `postroom listen`: of one account, or of everybody's letters (None)."""

    def __init__(self, account: str | None) -> None:
        self.account = account
        self.waiting: deque[tuple[Notice, str, asyncio.Future[bool]]] = deque()
        self.something = asyncio.Event()

    def tell(self, notice: Notice, account: str) -> asyncio.Future[bool]:
        """Hand a letter over; the future tells whether it was shown."""
        if len(self.waiting) >= TERMINAL_WAITING:
            _settle(self.waiting.popleft()[2], False)
        shown: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting.append((notice, account, shown))
        self.something.set()
        return shown


class SiteTerminals:
    """One worker's sessions, and by their sockets all others'. See `smtp.notices.Terminals`."""

    def __init__(
        self,
        places: Places,
        role: str,
        alerts: Alerts,
        account: Callable[[str], Awaitable[Account | None]],
    ) -> None:
        """`role` is this worker's own, which is not asked by its socket; `account` looks an address up."""
        self._alerts = alerts
        self._account = account
        self._others = _Others(places, role)
        self._listeners: set[_Listener] = set()
        self._tickets = itertools.count(1)
        self._shown: dict[int, asyncio.Future[bool]] = {}

    async def close(self) -> None:
        """Let go of the other workers."""
        await self._others.close()

    # --- what SMTP asks

    async def present(self, accounts: Collection[str]) -> set[str]:
        """Those of the accounts that have somebody who would be shown a letter, in any worker."""
        here = self._present_here(accounts)
        missing: list[Json] = [account for account in accounts if account not in here]
        if missing:
            for answer in await self._others.ask("present", accounts=missing):
                here |= _names(answer, accounts)
        return here

    async def show(self, accounts: Collection[str], notice: Notice, *, owners: bool = False) -> set[str]:
        """Show a letter in all sessions of the accounts, in all workers; for which of them that was confirmed."""
        here, answers = await asyncio.gather(
            self._show_here(accounts, notice, owners),
            self._others.ask("show", accounts=list(accounts), notice=dict(notice.to_json()), owners=owners),
        )
        for answer in answers:
            here |= _names(answer, accounts)
        return here

    # --- what happens here

    def _present_here(self, accounts: Collection[str]) -> set[str]:
        if any(listener.account is None for listener in self._listeners):
            return set(accounts)
        listening = {listener.account for listener in self._listeners if listener.account is not None}
        return self._alerts.present(accounts) | listening.intersection(accounts)

    async def _show_here(self, accounts: Iterable[str], notice: Notice, owners: bool) -> set[str]:
        told: list[tuple[asyncio.Future[bool], str, bool]] = []
        text = f"Message from {notice.sender or _NOBODY}: {notice.first_line}"
        for account in accounts:
            told += [(said, account, True) for said in self._alerts.tell(account, text)]
            told += [
                (listener.tell(notice, account), account, listener.account is not None or not owners)
                for listener in self._listeners
                if listener.account in (account, None)
            ]
        if not told:
            return set()
        try:
            done, _ = await asyncio.wait([said for said, _, _ in told], timeout=TERMINAL_SHOW_SECONDS)
        finally:
            for said, _, _ in told:
                # What was not shown in time is taken back: SMTP tells the sender so, or files the letter.
                said.cancel()
        return {account for said, account, counts in told if counts and said in done and said.result()}

    # --- what this worker answers

    def handlers(self) -> Mapping[str, Handler]:
        """The questions of other workers and of `postroom listen`."""
        return {"present": self._present, "show": self._show, "listen": self._listen, "heard": self._heard}

    async def _present(self, asked: Values) -> Values:
        return {"accounts": list[Json](self._present_here(_texts(asked.get("accounts"))))}

    async def _show(self, asked: Values) -> Values:
        try:
            notice = Notice.from_json(asked.get("notice"))
        except ValueError as fault:
            raise Refused(str(fault)) from fault
        shown = await self._show_here(_texts(asked.get("accounts")), notice, asked.get("owners") is True)
        return {"accounts": list[Json](shown)}

    async def _listen(self, asked: Values) -> AsyncGenerator[Values, None]:
        """Rows: an empty one at the start, then a letter each, with a ticket that `heard` hands back."""
        account = asked.get("account")
        if account is not None and not isinstance(account, str):
            raise Refused("an account is an address")
        if account is not None and await self._account(account) is None:
            raise Refused(f"{account}: no such account")
        if len(self._listeners) >= TERMINAL_LISTENERS:
            raise Refused("too many listen already")
        listener = _Listener(account)
        self._listeners.add(listener)
        given = set[int]()
        try:
            yield {}
            while True:
                await listener.something.wait()
                listener.something.clear()
                while listener.waiting:
                    notice, of, shown = listener.waiting.popleft()
                    if shown.done():
                        continue
                    ticket = next(self._tickets)
                    self._shown[ticket] = shown
                    given.add(ticket)
                    shown.add_done_callback(functools.partial(self._settled, ticket, given))
                    yield {"ticket": ticket, "account": of, "notice": dict(notice.to_json())}
        finally:
            self._listeners.discard(listener)
            for ticket in list(given):
                _settle(self._shown[ticket], False)
            for _, _, shown in listener.waiting:
                _settle(shown, False)

    def _settled(self, ticket: int, given: set[int], _: asyncio.Future[bool]) -> None:
        self._shown.pop(ticket, None)
        given.discard(ticket)

    async def _heard(self, asked: Values) -> Values:
        """A letter was printed. Whether that still counts."""
        ticket = asked.get("ticket")
        shown = self._shown.get(ticket) if isinstance(ticket, int) else None
        counts = shown is not None and not shown.done()
        if shown is not None:
            _settle(shown, True)
        return {"counts": counts}


_Socket = tuple[str, int]
"""A worker's socket by path and inode: one that was bound anew is another worker's."""


class _Others:
    """The other workers, by their control sockets. One that hangs is let go, and asked nothing until it answers."""

    def __init__(self, places: Places, role: str) -> None:
        self._places = places
        self._own = places.control(role)
        self._peers: dict[_Socket, Peer] = {}
        self._silent: dict[_Socket, asyncio.Task[None]] = {}
        """Those that gave no answer, with what waits for one."""

    async def ask(self, name: str, **values: Json) -> list[Values]:
        """The answers of all that answer within TERMINAL_WORKER_SECONDS."""
        asked = {asyncio.create_task(peer.call(name, **values)): key for key, peer in self._here().items()}
        if not asked:
            return []
        try:
            done, late = await asyncio.wait(asked, timeout=TERMINAL_WORKER_SECONDS)
        except asyncio.CancelledError:
            for task in asked:
                task.cancel()
            raise
        for task in late:
            task.cancel()
            await self._let_go(asked[task])
        answers = []
        for task in done:
            # One has just ended, or is no worker, or its log tells: nobody is there.
            with contextlib.suppress(Unreachable, Refused, Failed):
                answers.append(task.result())
        return answers

    async def close(self) -> None:
        """Let go of all."""
        waiting, peers = list(self._silent.values()), list(self._peers.values())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        self._peers.clear()
        for peer in peers:
            await peer.close()

    def _here(self) -> dict[_Socket, Peer]:
        found = {}
        for path in self._places.controls():
            if path == self._own:
                continue
            with contextlib.suppress(OSError):
                key = str(path), path.stat().st_ino
                if key not in self._silent:
                    found[key] = self._peers.get(key) or Peer(path)
        # Of one that has ended the connection has too.
        self._peers = found
        return dict(found)

    async def _let_go(self, key: _Socket) -> None:
        """Drop the connection, so that it takes back what it was asked once it sees that; wait for its answer."""
        peer = self._peers.pop(key, None)
        if peer is not None:
            event(_logger, logging.WARNING, "worker-silent", socket=key[0])
            self._silent[key] = asyncio.create_task(self._wait_for(key))
            await peer.close()

    async def _wait_for(self, key: _Socket) -> None:
        peer = Peer(key[0])
        try:
            await peer.call("present", accounts=[])
        except (Unreachable, Refused, Failed):
            pass
        finally:
            del self._silent[key]
            await peer.close()


def _settle(future: asyncio.Future[bool], shown: bool) -> None:
    if not future.done():
        future.set_result(shown)


def _texts(value: Json | None) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _names(answer: Values, accounts: Collection[str]) -> set[str]:
    return set(_texts(answer.get("accounts"))).intersection(accounts)
