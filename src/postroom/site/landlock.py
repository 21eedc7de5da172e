"""Landlock by ctypes: a process gives up, for good, what it may do with files outside of a list (Linux 5.13 and
later, landlock(7)). Children have the same list; nothing gets it back.

Only what reads, writes, makes, moves or removes files is given up here; looking at folders and running programs
isn't. Rules hold for inodes, not for names: one on a folder holds for all that ever comes to lie beneath it, one
on a file for that file alone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterable
from typing import Final

__all__ = ["NotFenced", "abi", "restrict"]

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
"""System calls; the same numbers on every machine but Alpha."""
_VERSION: Final = 1
"""LANDLOCK_CREATE_RULESET_VERSION"""
_PATH_BENEATH: Final = 1
"""LANDLOCK_RULE_PATH_BENEATH"""
_PR_SET_NO_NEW_PRIVS: Final = 38

_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_FOLDERS: Final = sum(1 << bit for bit in range(4, 13))
"""REMOVE_DIR, REMOVE_FILE, and all that is called MAKE_…"""
_REFER: Final = 1 << 13
"""To move or link between folders: since ABI 2, and forbidden before."""
_TRUNCATE: Final = 1 << 14
"""Since ABI 3."""
_OF_FILES: Final = _WRITE_FILE | _READ_FILE | _TRUNCATE
"""Rights that a rule on something other than a folder can give."""


class NotFenced(Exception):
    """The kernel has no Landlock, or doesn't do it; the text says why."""


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr, as its first version had it; later ones only add."""

    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _syscall(number: int, *arguments: object) -> int:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    done: int = libc.syscall(ctypes.c_long(number), *arguments)
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return done


def abi() -> int:
    """The kernel's version of Landlock; 0 where it has none, or it is switched off."""
    try:
        return _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def _rights(version: int) -> int:
    handled = _WRITE_FILE | _READ_FILE | _FOLDERS
    if version >= 2:
        handled |= _REFER
    if version >= 3:
        handled |= _TRUNCATE
    return handled


def restrict(paths: Iterable[str]) -> None:
    """Give up all files but those at, and beneath, these paths; one that is gone is passed over. It holds for the
    thread that calls, for those that it starts, and for their children: so call it before there are others.

    Raises NotFenced; then nothing was given up.
    """
    version = abi()
    if version < 1:
        raise NotFenced("this kernel has no Landlock")
    rights = _rights(version)
    try:
        attributes = _Ruleset(rights)
        ruleset = _syscall(
            _CREATE_RULESET,
            ctypes.byref(attributes),
            ctypes.c_size_t(ctypes.sizeof(attributes)),
            ctypes.c_uint32(0),
        )
        try:
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    _allow(ruleset, path, rights)
            ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            _syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
        finally:
            os.close(ruleset)
    except OSError as fault:
        raise NotFenced(f"Landlock: {fault}") from fault


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Raises OSError."""
    # O_PATH opens nothing: no device wakes up, and no lock on a database is lost when it is closed.
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        rule = _Beneath(rights if folder else rights & _OF_FILES, descriptor)
        _syscall(
            _ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(descriptor)
