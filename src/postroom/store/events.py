"""Who watches what, and hints between the processes of a site that something changed.

A hint says "mailbox 7" or "accounts" and never what happened: who gets one reads the index. A process listens at a
datagram socket run/events/<name>-<random>.sock; who commits sends to all the others. A socket whose queue is full
is tried again until all its hints are told (many become "look at everything"); one whose process is dead is
removed. What is lost even so is healed by a look that each process takes every HINTS_LOOK_SECONDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from postroom.net.limits import HINTS_LOOK_SECONDS, HINTS_PER_DATAGRAM
from postroom.net.log import event
from postroom.store.values import MailboxId

__all__ = ["Hints", "Watchers"]

_log = logging.getLogger("postroom.store")

Hint = int | str
ACCOUNTS: Final = "accounts"
EVERYTHING: Final = "everything"
_OCTETS: Final = 65536
_DATAGRAMS_PER_TURN: Final = 100
_AGAIN_SECONDS: Final = 0.02
_FRESH_NANOSECONDS: Final = 50_000_000
"""A folder's time is coarse: one that changed so lately may have changed again since it was listed."""


class Watchers:
    """Whom to call for which mailbox, in this process."""

    def __init__(self) -> None:
        self._mailboxes: dict[MailboxId, dict[object, Callable[[], None]]] = {}
        self._accounts: dict[object, Callable[[str], None]] = {}
        self._all: dict[object, Callable[[set[MailboxId] | None], None]] = {}

    def watch(self, mailbox: MailboxId, wake: Callable[[], None]) -> Callable[[], None]:
        """See `Store.watch`."""
        key = object()
        self._mailboxes.setdefault(mailbox, {})[key] = wake

        def end() -> None:
            watching = self._mailboxes.get(mailbox, {})
            if watching.pop(key, None) is not None and not watching:
                del self._mailboxes[mailbox]

        return end

    def watch_all(self, wake: Callable[[set[MailboxId] | None], None]) -> Callable[[], None]:
        """Call `wake` for each change of any mailbox, with those that changed; None: any may have."""
        key = object()
        self._all[key] = wake

        def end() -> None:
            self._all.pop(key, None)

        return end

    def watch_accounts(self, tell: Callable[[str], None]) -> Callable[[], None]:
        """See `Store.watch_accounts`."""
        key = object()
        self._accounts[key] = tell

        def end() -> None:
            self._accounts.pop(key, None)

        return end

    @property
    def mailboxes(self) -> list[MailboxId]:
        """All that are watched."""
        return list(self._mailboxes)

    def wake(self, mailboxes: Iterable[MailboxId]) -> None:
        """Call the watchers of these, soon."""
        loop = asyncio.get_running_loop()
        if self._all:
            mailboxes = set(mailboxes)
            if mailboxes:
                self._wake_all(mailboxes)
        for mailbox in mailboxes:
            for key, wake in self._mailboxes.get(mailbox, {}).items():
                loop.call_soon(self._wake, mailbox, key, wake)

    def wake_all(self) -> None:
        """Tell those who watch all mailboxes that any may have changed, soon."""
        self._wake_all(None)

    def _wake_all(self, mailboxes: set[MailboxId] | None) -> None:
        loop = asyncio.get_running_loop()
        for key, wake in self._all.items():
            loop.call_soon(self._call_all, key, wake, mailboxes)

    def _call_all(
        self, key: object, wake: Callable[[set[MailboxId] | None], None], mailboxes: set[MailboxId] | None
    ) -> None:
        if key in self._all:
            wake(mailboxes)

    def _wake(self, mailbox: MailboxId, key: object, wake: Callable[[], None]) -> None:
        # The watch may have ended meanwhile, and a session that is gone must not be called.
        if key in self._mailboxes.get(mailbox, {}):
            wake()

    def tell(self, address: str) -> None:
        """Call the watchers of accounts, soon."""
        loop = asyncio.get_running_loop()
        for key, tell in self._accounts.items():
            loop.call_soon(self._tell, key, tell, address)

    def _tell(self, key: object, tell: Callable[[str], None], address: str) -> None:
        if key in self._accounts:
            tell(address)


class Hints:
    """A process's socket, and its way to the others'. `heard` is called with the mailboxes of hints that came in
    (None: anything may have changed) and whether accounts did; `look` now and then without any hint."""

    def __init__(
        self,
        folder: Path,
        name: str,
        heard: Callable[[list[MailboxId] | None, bool], None],
        look: Callable[[], None],
    ) -> None:
        """Begin to listen. Raises OSError."""
        self._heard = heard
        self._look = look
        self._loop = asyncio.get_running_loop()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._own = f"{name}-{secrets.token_hex(8)}.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            # The socket's own mode is the mode that bind gives to the name (Linux).
            os.fchmod(self._socket.fileno(), 0o600)
            self._socket.bind(self._path(self._own))
        except BaseException:
            self._socket.close()
            os.close(self._folder)
            raise
        self._peers: set[str] = set()
        self._listed = -1
        self._untold: dict[str, set[Hint]] = {}
        self._again: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._socket.fileno(), self._receive)
        self._timer = self._loop.call_later(HINTS_LOOK_SECONDS, self._take_a_look)

    def _path(self, name: str) -> str:
        # A socket's address has 108 octets, and a data directory may lie deep: go by the folder's descriptor.
        return f"/proc/self/fd/{self._folder}/{name}"

    # --- out

    def send(self, mailboxes: Iterable[MailboxId], accounts: bool) -> None:
        """Tell all other processes of the site."""
        hints: set[Hint] = {*mailboxes, *((ACCOUNTS,) if accounts else ())}
        if not hints:
            return
        self._list()
        for peer in tuple(self._peers):
            untold = self._untold.get(peer)
            if untold is None:
                self._tell(peer, hints)
            else:
                untold |= hints

    def _list(self) -> None:
        changed = os.stat(self._folder).st_mtime_ns
        if changed == self._listed:
            return
        fresh = abs(time.time_ns() - changed) < _FRESH_NANOSECONDS
        try:
            names = os.listdir(f"/proc/self/fd/{self._folder}")
        except OSError as error:
            # Out of descriptors, most likely: those known so far are told, and the next time it is tried again.
            event(_log, logging.WARNING, "store.hint", why=error)
            return
        self._peers = {name for name in names if name.endswith(".sock") and name != self._own}
        self._listed = -1 if fresh else changed

    def _tell(self, peer: str, hints: set[Hint]) -> None:
        told = list(hints) if len(hints) <= HINTS_PER_DATAGRAM else [EVERYTHING]
        try:
            self._socket.sendto(json.dumps(told).encode(), self._path(peer))
        except BlockingIOError:
            self._untold[peer] = set(told)
            if self._again is None:
                self._again = self._loop.call_later(_AGAIN_SECONDS, self._tell_again)
        except (ConnectionRefusedError, FileNotFoundError):
            # Names are never used twice, so that this can't be a successor's.
            self._peers.discard(peer)
            with contextlib.suppress(OSError):
                os.unlink(self._path(peer))
        except OSError as error:
            event(_log, logging.WARNING, "store.hint", peer=peer, why=error)

    def _tell_again(self) -> None:
        self._again = None
        untold, self._untold = self._untold, {}
        for peer, hints in untold.items():
            self._tell(peer, hints)

    # --- in

    def _receive(self) -> None:
        mailboxes: set[int] = set()
        accounts = everything = False
        for _ in range(_DATAGRAMS_PER_TURN):
            try:
                hints = json.loads(self._socket.recv(_OCTETS))
                accounts |= ACCOUNTS in hints
                everything |= EVERYTHING in hints
                mailboxes.update(each for each in hints if isinstance(each, int))
            except BlockingIOError:
                break
            except (OSError, ValueError, TypeError) as error:
                event(_log, logging.ERROR, "store.hint", why=error)
                everything = True
        known = None if everything else [MailboxId(each) for each in mailboxes]
        if known is None or known or accounts:
            self._heard(known, accounts or everything)

    def _take_a_look(self) -> None:
        self._timer = self._loop.call_later(HINTS_LOOK_SECONDS, self._take_a_look)
        self._look()

    def close(self) -> None:
        """End, and remove the socket."""
        self._timer.cancel()
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path(self._own))
        os.close(self._folder)
