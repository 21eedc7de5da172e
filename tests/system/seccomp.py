"""Run a program on a kernel that has no Landlock: its system calls fail as unknown ones do.

python seccomp.py PROGRAM ARGUMENT…
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

_LOAD_NUMBER = (0x20, 0, 0, 0)
"""BPF_LD | BPF_W | BPF_ABS: the system call's number, the first field of struct seccomp_data."""
_ALLOW, _NO_SUCH_CALL = 0x7FFF0000, 0x00050000 | errno.ENOSYS


def without_landlock() -> None:
    """For this process and all that it starts."""
    rows = [
        _LOAD_NUMBER,
        (0x35, 0, 2, 444),  # below 444: allow
        (0x25, 1, 0, 446),  # above 446: allow
        (0x06, 0, 0, _NO_SUCH_CALL),
        (0x06, 0, 0, _ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    filter_ = struct.pack("HxxxxxxP", len(rows), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.create_string_buffer(filter_), 0, 0) == 0, os.strerror(ctypes.get_errno())


if __name__ == "__main__":
    without_landlock()
    os.execvp(sys.argv[1], sys.argv[1:])
