"""What lies where under the data directory (docs/design.md, "Contracts")."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The data directory's rooms."""

    data: Path

    @property
    def run(self) -> Path:
        """Sockets, locks and the process id: nothing here outlives the server."""
        return self.data / "run"

    @property
    def tls(self) -> Path:
        """The self-signed pair."""
        return self.data / "tls"

    @property
    def maildrops(self) -> Path:
        """POP3's exclusive locks."""
        return self.run / "maildrop"

    @property
    def pid(self) -> Path:
        """The supervisor's process id, and the lock that there is one only."""
        return self.run / "postroom.pid"

    @property
    def authority(self) -> Path:
        """The auth role's socket."""
        return self.run / "authority.sock"

    @property
    def keeper(self) -> Path:
        """The keeper's socket (`store.writer.link`)."""
        return self.run / "keeper.sock"

    @property
    def checks(self) -> Path:
        """What checks remember of clients. A folder of its own, where a fenced role can make files."""
        return self.data / "checks"

    @property
    def reload(self) -> Path:
        """The supervisor's socket: who connects asks it to reload, and hears what came of it."""
        return self.run / "reload.sock"

    def control(self, role: str) -> Path:
        """A role's socket for the command line."""
        return self.run / f"control-{role}.sock"

    def controls(self) -> list[Path]:
        """All roles' sockets that are there."""
        return sorted(self.run.glob("control-*.sock"))

    def make(self) -> None:
        """The directories, readable by their owner alone."""
        store = (self.data / "segments", self.data / "search")
        for path in (self.data, self.run, self.tls, self.maildrops, *store, self.checks):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
