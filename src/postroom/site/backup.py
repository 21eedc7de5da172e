"""What a backup of a site is made of: its data directory, its configuration, and the files that this one names."""

from __future__ import annotations

import time
from pathlib import Path

from postroom.config import Config
from postroom.site.lock import server_runs
from postroom.site.places import Places
from postroom.store.backup.folder import BackupFailed
from postroom.store.backup.manners import Progress, resting
from postroom.store.backup.whole import Done, Source, back_up

__all__ = ["named_files", "run"]


def named_files(config: Config) -> tuple[tuple[str, str], ...]:
    """Settings that name a file which the site can't be without, and what they say."""
    named = [("tls.certificate", config.tls.certificate), ("tls.key", config.tls.key)]
    for name, one in sorted(config.tls.names.items()):
        named += [(f"tls.names.{name}.certificate", one.certificate), (f"tls.names.{name}.key", one.key)]
    named += [
        ("tls.client_ca", config.tls.client_ca),
        ("oauth.client_secret_file", config.oauth.client_secret_file),
        ("queue.smarthost_password_file", config.queue.smarthost_password_file),
    ]
    return tuple([(setting, place) for setting, place in named if place])


def source(config: Config) -> Source:
    """What is to be backed up. Raises `BackupFailed` where a file that is named isn't there."""
    outside: list[tuple[str, str, Path]] = []
    for setting, place in named_files(config):
        path = config.place(place)
        if not path.is_file():
            raise BackupFailed(f"{setting}: {path} is not there")
        if not path.resolve().is_relative_to((config.root / "tls").resolve()):
            outside.append((setting, place, path))
    return Source(config.root, config.path, tuple(outside))


def run(config: Config, path: Path, keep: int, verify_all: bool, fast: bool, progress: Progress) -> Done:
    """Make a snapshot of a site, whose server may run, in a backup's directory: so that its clients don't notice,
    or, with `fast`, as soon as may be. Raises as `back_up` does."""
    if not fast and server_runs(Places(config.root)):
        progress = resting(progress)
    return back_up(source(config), path, time.time(), keep=keep, verify_all=verify_all, progress=progress)
