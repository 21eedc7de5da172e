"""Landlock's system calls, as the kernel's headers have them, against a libc that is none."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from postroom.site import landlock
from postroom.site.landlock import NotFenced

FILES = (1 << 1) | (1 << 2)
"""WRITE_FILE and READ_FILE of linux/landlock.h."""
FOLDERS = sum(1 << bit for bit in range(4, 13))
REFER, TRUNCATE = 1 << 13, 1 << 14


class Kernel:
    """What stands for the C library: keeps what was asked."""

    def __init__(self, version: int, fails: int = 0) -> None:
        self.version = version
        self.fails = fails
        self.rules: list[tuple[str, int]] = []
        self.handled = 0
        self.restricted = 0
        self.prctls: list[tuple[object, ...]] = []

    def prctl(self, *arguments: object) -> int:
        self.prctls.append(arguments)
        return 0

    def syscall(self, number: ctypes.c_long, *arguments: object) -> int:
        if number.value == self.fails or not self.version:
            ctypes.set_errno(errno.ENOSYS)
            return -1
        match number.value, arguments:
            case 444, (None, ctypes.c_size_t(value=0), ctypes.c_uint32(value=1)):
                return self.version
            case 444, (reference, ctypes.c_size_t(value=8), ctypes.c_uint32(value=0)):
                self.handled = reference._obj.handled_access_fs  # type: ignore[attr-defined]
                return os.open(os.devnull, os.O_RDONLY)
            case 445, (_, ctypes.c_int(value=1), reference, ctypes.c_uint32(value=0)):
                rule = bytes(reference._obj)  # type: ignore[attr-defined]
                assert len(rule) == 12
                descriptor = int.from_bytes(rule[8:], "little")
                self.rules.append((os.readlink(f"/proc/self/fd/{descriptor}"), int.from_bytes(rule[:8], "little")))
                return 0
            case 446, (_, ctypes.c_uint32(value=0)):
                self.restricted += 1
                return 0
        raise AssertionError((number, arguments))


def kernel(monkeypatch: pytest.MonkeyPatch, version: int, fails: int = 0) -> Kernel:
    made = Kernel(version, fails)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: made)
    return made


@pytest.mark.parametrize(("version", "further"), [(1, 0), (2, REFER), (3, REFER | TRUNCATE), (7, REFER | TRUNCATE)])
def test_each_abi_gives_up_what_it_knows(
    version: int, further: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    asked = kernel(monkeypatch, version)
    before = os.listdir("/proc/self/fd")
    landlock.restrict([str(tmp_path), str(tmp_path / "file"), str(tmp_path / "gone")])
    assert os.listdir("/proc/self/fd") == before
    everything = FILES | FOLDERS | further
    assert asked.handled == everything
    assert asked.rules == [
        (str(tmp_path), everything),
        (str(tmp_path / "file"), everything & (FILES | TRUNCATE)),
    ]
    assert asked.restricted == 1 and asked.prctls == [(38, 1, 0, 0, 0)]


def test_without_landlock_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = kernel(monkeypatch, 0)
    assert landlock.abi() == 0
    with pytest.raises(NotFenced, match="no Landlock"):
        landlock.restrict([str(tmp_path)])
    assert not asked.restricted


@pytest.mark.parametrize("call", [445, 446])
def test_a_call_that_fails_is_told_and_leaves_no_descriptor(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(monkeypatch, 3, fails=call)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(NotFenced, match="Landlock"):
        landlock.restrict([str(tmp_path)])
    assert os.listdir("/proc/self/fd") == before


def test_this_kernels_version_is_a_number() -> None:
    assert landlock.abi() >= 0
