"""Data directories as earlier versions of the program wrote them: tests/store/vectors/v<schema>."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any, Final

import apsw

__all__ = ["EARLIER", "make_earlier", "rows"]

_VECTORS: Final = Path(__file__).parent / "vectors"
EARLIER: Final = sorted(int(each.name[1:]) for each in _VECTORS.glob("v*"))
"""Schemas that there is a data directory of."""


def make_earlier(root: Path, schema: int) -> None:
    """A data directory of this schema at `root`, which is made."""
    folder = _VECTORS / f"v{schema}"
    (root / "segments").mkdir(mode=0o700, parents=True)
    for name, octets in json.loads((folder / "segments.json").read_text()).items():
        (root / "segments" / name).write_bytes(base64.b64decode(octets))
    with contextlib.closing(apsw.Connection(str(root / "index.db"))) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute((folder / "index.sql").read_text()).fetchall()
        connection.pragma("user_version", schema)


def rows(index: Path, sql: str, *bound: int | str) -> list[Any]:
    """What a statement gives, of an index of any schema."""
    with contextlib.closing(apsw.Connection(str(index))) as connection:
        return connection.execute(sql, bound).fetchall()
