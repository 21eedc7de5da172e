"""The fence: processes that speak to strangers can't read the secrets of those who log in.

A process that becomes a role calls `confine` before it does anything else (`cli.role`; never one that is more than
that role: it is for good). Two things hold it off from secrets.db, its -wal, -shm and
-journal, and from the snapshots of it that upgrades leave:

Landlock, wherever the kernel has it. Landlock knows no "all but", so everything else is listed: the whole of each
folder that has none of these files beneath it, and in the others (the data directory and the folders above it)
each entry that is there. SQLite makes index.db-wal and -shm anew whenever the last connection to the index was
closed, and a new file would be in no list: so each role keeps a connection of its own from before the fence to its
end, and as long as it lives the two stay what they are. In the data directory itself a role can make, move and
remove nothing: it can't put a secrets.db of its own into the place of the true one.

User ids, where the server is started as root and `user` is set: these roles become that user, to whom the data
directory belongs, all but the secrets, which are root's (`settle`). The directory is sticky, so that they can't be
moved either. The supervisor and the authority stay root.

A file beside the data directory that is replaced later would be out of a role's sight, and root's key files were
never in a user's: so the supervisor copies the certificates of the configuration into run/ at each start and reload
(`hand_over`), and roles read these copies.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import apsw

from postroom.accounts.secrets import FILE
from postroom.config import Certificate, Config, ConfigError
from postroom.net.log import event
from postroom.site import landlock
from postroom.site.places import Places
from postroom.store.index import open_index

__all__ = ["become", "confine", "fence", "give", "hand_over", "settle", "user_of", "warn"]

_logger = logging.getLogger("postroom.site")

_SNAPSHOTS: Final = "snapshots"
"""Where `store.upgrade` puts copies of index and secrets."""
_FILES: Final = "files"
"""Trees of the accounts' own: there may be millions of files, and none but the roles makes any."""
_LOCKS: Final = ("compaction.lock", "backup.lock")
"""Held by root's commands and by roles: so they are there, and the user's, before either wants one."""
_DATA_MODE: Final = 0o1770
_OWNER_ONLY: Final = 0o600

_kept: list[apsw.Connection] = []
"""The connection that keeps the index's -wal and -shm."""


@dataclass(frozen=True, slots=True)
class User:
    """Whom the roles become."""

    name: str
    uid: int
    gid: int


def user_of(config: Config) -> User | None:
    """Whom the roles become; None: they stay who the supervisor is. Raises ConfigError."""
    if not config.user or os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(config.user)
    except KeyError:
        raise ConfigError("user", f"this system has no user {config.user}") from None
    return User(found.pw_name, found.pw_uid, found.pw_gid) if found.pw_uid else None


# --- in the supervisor


def warn(config: Config) -> None:
    """One line of the log where nothing keeps the roles from the secrets. Raises ConfigError."""
    if user_of(config) is None and config.user and config.user != _own_name():
        event(
            _logger, logging.WARNING, "user-not-used", user=config.user, reason="the server isn't started as root"
        )
    if not landlock.abi() and user_of(config) is None:
        event(
            _logger,
            logging.WARNING,
            "secrets-not-fenced",
            reason="this kernel has no Landlock; start the server as root with `user` set to keep its workers "
            "from reading password hashes",
        )


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def settle(config: Config) -> None:
    """Give the data directory to the user that the roles become, but for the secrets; nothing where they stay who
    they are. Files made by root since (a command line's) are given over, too. Raises ConfigError, OSError."""
    user = user_of(config)
    if user is None:
        return
    root = config.root
    for name in _LOCKS:
        os.close(os.open(Places(root).run / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY))
    os.chown(root, 0, user.gid)
    os.chmod(root, _DATA_MODE)
    for entry in os.scandir(root):
        if _is_secret(entry.name):
            _give(entry.path, 0, 0)
            if not entry.is_symlink():
                os.chmod(entry.path, _OWNER_ONLY | (0o100 if entry.is_dir() else 0))
        elif entry.name != _FILES or entry.stat(follow_symlinks=False).st_uid != user.uid:
            _give(entry.path, user.uid, user.gid)


def give(config: Config, path: Path) -> None:
    """Give one file to the user that the roles become, where they become one. Raises ConfigError, OSError."""
    user = user_of(config)
    if user is not None:
        os.lchown(path, user.uid, user.gid)


def _give(path: str, uid: int, gid: int) -> None:
    """A file or a whole folder; links are not followed. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        if (status.st_uid, status.st_gid) != (uid, gid):
            os.lchown(path, uid, gid)
    if os.path.isdir(path) and not os.path.islink(path):
        for entry in os.scandir(path):
            _give(entry.path, uid, gid)


def hand_over(config: Config) -> None:
    """Copy the configured certificates, keys and the clients' authority to where roles find them. Raises
    ConfigError, OSError."""
    user = user_of(config)
    folder = _handed_folder(config)
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(folder, user.uid, user.gid)
    for name in _named(config):
        _copy(config.place(name), _copy_of(config, name), user)


def _handed_folder(config: Config) -> Path:
    return Places(config.root).run / "handed"


def _named(config: Config) -> Iterator[str]:
    tls = config.tls
    pairs = [Certificate(tls.certificate, tls.key), *tls.names.values()]
    for name in (tls.client_ca, *(name for pair in pairs for name in (pair.certificate, pair.key))):
        if name:
            yield name


def _copy_of(config: Config, name: str) -> Path:
    """Where a file's copy lies: a name for each path, so that those of an older configuration stay."""
    path = os.fsencode(config.place(name))
    return _handed_folder(config) / f"{hashlib.sha256(path).hexdigest()[:32]}.pem"


def _copy(source: Path, target: Path, user: User | None) -> None:
    """Whole or not at all; no copy outlives the server, so it needs no sync."""
    fresh = target.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
        if user is not None:
            os.fchown(file.fileno(), user.uid, user.gid)
    fresh.rename(target)


# --- in a role


def confine(config: Config) -> Config:
    """Shut this process off from the secrets, for good; gives the configuration with the files that were handed
    over. To be called at a role's start, when it has one thread and nothing open. What doesn't work is told in the
    log.

    Raises ConfigError, OSError, apsw.Error where the index can't be opened.
    """
    become(config)
    try:
        fence(config.root)
    except landlock.NotFenced as why:
        level = logging.DEBUG if landlock.abi() == 0 else logging.ERROR  # of the former the supervisor has warned
        event(_logger, level, "not-fenced", reason=why)
    return _handed(config)


def become(config: Config) -> None:
    """Be the user of the configuration from now on, where that is to be. Raises ConfigError, OSError."""
    user = user_of(config)
    if user is not None:
        os.initgroups(user.name, user.gid)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)


def fence(root: Path) -> None:
    """Landlock alone, round the secrets of a data directory. Raises NotFenced, OSError, apsw.Error."""
    if len(os.listdir("/proc/self/task")) > 1:
        raise landlock.NotFenced("another thread runs already, which would stay outside")
    os.close(os.open(root / "index.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY))
    index = open_index(root / "index.db")
    # A statement that reads opens -wal and -shm.
    index.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    try:
        landlock.restrict(list(_all_but_secrets(Path(os.path.realpath(root)))))
    except BaseException:
        index.close()
        raise
    _kept.append(index)


def _is_secret(name: str) -> bool:
    """Whether an entry of the data directory is, or holds, secrets; also those of a restore or an undo."""
    return name == _SNAPSHOTS or name.startswith(FILE)


def _all_but_secrets(root: Path) -> Iterator[str]:
    """All of the file system: folders whole where no secret lies beneath, else each of their entries."""
    secrets = {str(root / FILE)}
    for name in os.listdir(root):
        if _is_secret(name):
            secrets.add(os.path.realpath(root / name))
    open_ = {str(parent) for secret in secrets for parent in Path(secret).parents}
    yield from _entries("/", open_, secrets, str(root))


def _entries(folder: str, opened: set[str], secrets: set[str], root: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.is_symlink() or entry.path in secrets or (folder == root and _is_secret(entry.name)):
            continue
        if entry.path in opened:
            yield from _entries(entry.path, opened, secrets, root)
        else:
            yield entry.path


def _handed(config: Config) -> Config:
    """The configuration with the copies in place of its certificates, where there are copies."""

    def lent(name: str) -> str:
        copy = _copy_of(config, name) if name else None
        return str(copy) if copy is not None and copy.exists() else name

    tls = config.tls
    names = {name: Certificate(lent(one.certificate), lent(one.key)) for name, one in tls.names.items()}
    return replace(
        config,
        tls=replace(
            tls, certificate=lent(tls.certificate), key=lent(tls.key), client_ca=lent(tls.client_ca), names=names
        ),
    )
