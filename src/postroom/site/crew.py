"""Who runs on a site, and what each of them is given: words, sockets, its column of the table of connections.

Each role reads the configuration that its supervisor accepted (a memfd), not the file: what somebody writes there
meanwhile means nothing to the successor of a killed worker, until a reload.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from postroom.config import Config
from postroom.net import limits
from postroom.net.counts import Table
from postroom.net.running import Role
from postroom.net.supervisor import Bound
from postroom.site.places import Places

_SPARE: Final = 2
"""Columns of each worker beside those of its retired ones: its own, and its successor's or one that is ending."""

_READ: Final = {"authority": ("limits", "login", "oauth"), "keeper": ("quota",)}
"""What these know of the configuration. They keep what others wait for (logins half done, counts of attempts,
changes under way), and are ended only where one of it has changed."""


class CrewFull(Exception):
    """So many workers are still at their end that no further one can be started now."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration as the roles are given it: its text in a memfd, which lies where its file does."""

    config: Config
    descriptor: int

    @classmethod
    def of(cls, config: Config, text: str) -> Settings:
        """Raises OSError."""
        descriptor = os.memfd_create("postroom-settings", os.MFD_CLOEXEC)
        os.write(descriptor, text.encode("utf-8"))
        return cls(config, descriptor)


def read_settings(descriptor: int) -> str:
    """What `Settings.of` was given; closes the descriptor. Raises OSError, UnicodeDecodeError."""
    try:
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8")
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class Crew:
    """The roles of one supervisor. `listeners` has, for each listener, a socket for each worker."""

    level: str
    """Of the log."""
    listeners: Sequence[Sequence[Bound]]
    workers: int
    keeper: bool
    _table: Table = field(init=False)
    _counts: int = field(init=False)
    """The table's descriptor."""
    _columns: dict[str, int] = field(default_factory=dict)
    """By the names of workers that run, those at their end included."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._table, self._counts = Table.make(self.workers * (limits.RETIRED_WORKERS + _SPARE))

    def first(self, settings: Settings) -> list[Role]:
        """All roles, in the order in which they are started."""
        workers = self._workers(settings, ())
        return [*self._others(settings), *workers, self._role(settings, "runner")]

    def next(
        self, settings: Settings, present: Sequence[str], living: Collection[str], *, before: Config | None = None
    ) -> dict[str, Role]:
        """Those that take the places of the present ones, by the names of these, which are in the order of `first`.
        `living` are all roles that run; `before` is what all of them were started with, where it is known. Raises
        CrewFull."""
        old = [name for name in present if name in self._columns]
        others = [
            replace(role, at_once=before is None or _concerns(role.name, before, settings.config))
            for role in (*self._others(settings), self._role(settings, "runner"))
        ]
        workers = self._workers(settings, living)
        return {role.name: role for role in others} | dict(zip(old, workers, strict=True))

    def _others(self, settings: Settings) -> list[Role]:
        kinds = ["authority", *(["keeper"] if self.keeper else [])]
        return [self._role(settings, kind, serves_others=True) for kind in kinds]

    def _role(self, settings: Settings, kind: str, *, serves_others: bool = False) -> Role:
        command = partial(self._command, settings, kind, kind, [])
        return Role(kind, command, serves_others=serves_others, descriptors=(settings.descriptor,))

    def _workers(self, settings: Settings, living: Collection[str]) -> list[Role]:
        self._columns = {name: column for name, column in self._columns.items() if name in living}
        free = sorted(set(range(self._table.columns)) - set(self._columns.values()))
        if len(free) < self.workers:
            raise CrewFull("too many workers are still at their end: try again in a moment")
        return [self._worker(settings, place, free[place]) for place in range(self.workers)]

    def _worker(self, settings: Settings, place: int, column: int) -> Role:
        name = f"worker-{next(self._numbers)}"
        self._columns[name] = column
        own = [each[place] for each in self.listeners]
        spare = [bound for each in self.listeners for bound in each if bound not in own]
        listen = [f"--listen={bound.protocol}={bound.sock.fileno()}" for bound in own]
        listen += [f"--spare={bound.protocol}={bound.sock.fileno()}" for bound in spare]
        counts = f"--counts={self._counts}:{column}"
        return Role(
            name,
            partial(self._command, settings, "worker", name, [*listen, counts]),
            tuple(bound.sock for bound in (*own, *spare)),
            descriptors=(settings.descriptor, self._counts),
            buried=self._burial(settings, name, column),
        )

    def _command(
        self, settings: Settings, kind: str, name: str, further: Sequence[str], ready: int, life: int
    ) -> list[str]:
        return [
            *(sys.executable, "-m", "postroom", "role", kind, f"--name={name}", f"--config={settings.config.path}"),
            *(f"--settings={settings.descriptor}", f"--log-level={self.level}"),
            *(f"--ready={ready}", f"--life={life}", *further),
            *(["--keeper"] if self.keeper else []),
        ]

    def _burial(self, settings: Settings, name: str, column: int) -> Callable[[], None]:
        """What a worker can't do for itself when it was killed."""
        control = Places(settings.config.root).control(name)

        def bury() -> None:
            self._table.clear(column)
            control.unlink(missing_ok=True)

        return bury


def _concerns(name: str, before: Config, now: Config) -> bool:
    """Whether what a role reads has changed; a file with a secret may have."""
    if name == "authority" and now.oauth.client_secret_file:
        return True
    sections = _READ.get(name)
    return sections is None or any(getattr(before, one) != getattr(now, one) for one in sections)
