"""What SIGHUP and `postroom reload` do, which is the same: read the configuration and the certificates anew.

Where nothing but certificates can have changed, the workers load these, and no session notices. Else the roles are
replaced, one after the other: a new worker takes over the listening sockets before its predecessor lets them go, so
that no connection is refused or lost; sessions in the old one go on to their end, or for `limits.reload_patience`.
What needs other sockets or another data directory takes a restart. A configuration that can't be used is refused in
one line, and everything goes on as it was.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from dataclasses import asdict, dataclass, fields
from typing import Final

from postroom.config import Config, ConfigError, parse, read
from postroom.net import limits
from postroom.net.ipc import bind_unix
from postroom.net.log import event
from postroom.net.supervisor import Supervisor
from postroom.site.crew import Crew, CrewFull, Settings
from postroom.site.fence import hand_over
from postroom.site.pairs import check_pairs
from postroom.site.places import Places
from postroom.site.prepare import check_engines, make_pair
from postroom.site.served import SERVED
from postroom.site.verifier import check_verifier

__all__ = ["CERTIFICATES", "EVERYTHING", "Outcome", "Reloader", "warn"]

_logger = logging.getLogger("postroom.site")

CERTIFICATES: Final = "certificates"
EVERYTHING: Final = "everything"
_FIXED: Final = ("data", "user", "writer", "store", "blobs", "workers", "listen")
"""Settings whose change takes a restart."""


def warn(config: Config) -> None:
    """What is configured, and not done by this version: a line of the log each."""
    for setting in fields(config.listen):
        if getattr(config.listen, setting.name) and setting.name not in SERVED:
            event(_logger, logging.WARNING, "listener-not-served", listener=setting.name)
    for key in config.unused:
        event(_logger, logging.WARNING, "setting-not-used", setting=key)


class _Refused(Exception):
    """The reload can't be done; the text tells why, in one line."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload, as `postroom reload` hears it."""

    reloaded: str = ""
    """CERTIFICATES or EVERYTHING; empty: nothing was."""
    workers: int = 0
    refused: str = ""
    """Why not, in one line."""
    configuration: bool = False
    """The configuration can't be used."""

    def line(self) -> bytes:
        """As it is written to who asked."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Outcome:
        """What `line` gave. Raises ValueError."""
        match json.loads(line):
            case {"reloaded": str(done), "workers": int(workers), "refused": str(why), "configuration": bool(bad)}:
                return cls(done, workers, why, bad)
            case _:
                raise ValueError("not an outcome")


class Reloader:
    """Does reloads in a supervisor's loop, one at a time: who asks meanwhile gets the next one."""

    def __init__(self, crew: Crew, settings: Settings) -> None:
        self._crew = crew
        self._settings = settings
        self._older: list[Settings] = []
        self._supervisor: Supervisor
        self._listening: socket.socket
        self._asking: list[socket.socket] = []
        """Wait for the next reload."""
        self._waiting: list[socket.socket] = []
        """Wait for the present one."""
        self._again = False
        self._mixed = False
        """A replacement failed half-way: some roles may have the new settings, and some the old ones."""

    def attach(self, supervisor: Supervisor) -> None:
        """Work in this supervisor's loop, and listen at the socket of `postroom reload`. Raises OSError."""
        self._supervisor = supervisor
        self._listening = bind_unix(os.fspath(Places(self._settings.config.root).reload))
        supervisor.watch(self._listening, self._accept)

    def close(self) -> None:
        """The end of the supervisor: nobody is waited for any more."""
        for sock in (self._listening, *self._asking, *self._waiting):
            sock.close()
        Places(self._settings.config.root).reload.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            sock, _ = self._listening.accept()
            if len(self._asking) >= limits.RELOAD_CALLERS:
                sock.close()
                return
            sock.setblocking(False)
            self._asking.append(sock)
            self.begin()

    def begin(self) -> None:
        """Reload, or do so again when the one under way is done."""
        if self._supervisor.busy:
            self._again = True
            return
        self._again = False
        self._waiting, self._asking = self._asking, []
        try:
            self._begin()
        except ConfigError as fault:
            self._end(Outcome(refused=f"{self._settings.config.path}: {fault}", configuration=True))
        except (_Refused, CrewFull, OSError) as fault:
            self._end(Outcome(refused=str(fault)))

    def _begin(self) -> None:
        """Raises ConfigError, _Refused, CrewFull, OSError."""
        running, path = self._settings.config, self._settings.config.path
        text = read(path)
        config = parse(text, path)
        check_engines(config)
        for key in _FIXED:
            if getattr(config, key) != getattr(running, key):
                raise _Refused(f"{path}: {key}: a change of it takes a restart of the server")
        make_pair(config)
        check_pairs(config)
        check_verifier(config)
        hand_over(config)
        if config == running and not (config.tls.client_ca or config.oauth.client_secret_file or self._mixed):
            self._supervisor.renew(lambda fault: self._done(fault, CERTIFICATES))
            return
        # Where clients have certificates too, a resumed session would not be held against the new authority; and a
        # file with a secret is read at a role's start.
        settings = Settings.of(config, text)
        try:
            present, living = self._supervisor.present(), self._supervisor.living()
            roles = self._crew.next(settings, present, living, before=None if self._mixed else running)
        except CrewFull:
            os.close(settings.descriptor)
            raise
        self._older.append(self._settings)
        self._settings = settings
        self._supervisor.replace(roles, lambda fault: self._done(fault, EVERYTHING))

    def _done(self, fault: str, what: str) -> None:
        self._mixed = bool(fault) and what is EVERYTHING
        if fault:
            self._end(Outcome(refused=f"{fault}: the log tells why, and the old ones go on"))
            return
        for older in self._older:
            os.close(older.descriptor)
        self._older.clear()
        if what is EVERYTHING:
            warn(self._settings.config)
        self._end(Outcome(what, self._crew.workers))

    def _end(self, outcome: Outcome) -> None:
        if outcome.refused:
            event(_logger, logging.ERROR, "reload-refused", reason=outcome.refused)
        else:
            event(_logger, logging.INFO, "reloaded", what=outcome.reloaded, workers=outcome.workers)
        for sock in self._waiting:
            with contextlib.suppress(OSError):
                sock.send(outcome.line())
            sock.close()
        self._waiting = []
        if self._again or self._asking:
            self.begin()
