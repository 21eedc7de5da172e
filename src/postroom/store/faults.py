"""What the system's and SQLite's errors mean to who asked the store: come again later, or there is no room."""

from __future__ import annotations

import errno

import apsw

from postroom.store.interface import StorageFull, StoreFault

__all__ = ["NO_ROOM", "is_of_the_ground", "os_fault", "sqlite_fault"]

NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))

_OF_THE_GROUND = (
    apsw.FullError,
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.NoMemError,
    apsw.ProtocolError,
    apsw.PermissionsError,
    apsw.ConnectionClosedError,
)


def os_fault(error: OSError) -> StoreFault:
    """The store's word for a failed call to the system."""
    kind = StorageFull if error.errno in NO_ROOM else StoreFault
    return kind(error.strerror or type(error).__name__)


def sqlite_fault(connection: apsw.Connection, error: apsw.Error) -> StoreFault:
    """The store's word for an error of the index; the connection tells which call to the system failed."""
    if isinstance(error, apsw.FullError):
        return StorageFull(str(error))
    if isinstance(error, apsw.IOError) and connection.system_errno in NO_ROOM:
        # SQLite calls only ENOSPC "full"; a quota and a limit on a file's size come as plain I/O errors.
        return StorageFull(str(error))
    return StoreFault(str(error))


def is_of_the_ground(error: Exception) -> bool:
    """Whether it is the disk or the index that failed, so that trying the changes one by one would be no use."""
    return isinstance(error, _OF_THE_GROUND)
