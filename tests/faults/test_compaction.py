"""Compaction beside readers, and killed at any instant: no letter is ever missing, or another one."""

from __future__ import annotations

import random
import subprocess
import sys
from functools import partial
from pathlib import Path

from postroom.store.changes import Target
from postroom.store.records import SEGMENT_HEADER_OCTETS
from postroom.store.sqlite import SqliteStore
from tests.scale import scaled
from tests.store.compactions import (
    add_dead_record,
    body,
    compact,
    expunge,
    files,
    fill,
    inbox_of_alice,
    letters,
    problems,
    rows,
    sweep,
    tell,
)
from tests.store.site import deliver

KILLS = scaled(30, 100)
CYCLES = scaled(15, 300)


def _seed(root: Path) -> dict[int, bytes]:
    """Fifty letters, in two segments, of which 20 wait for the sweep; gives the others."""
    fill(root, 30, gone=lambda _: False)

    async def more(store: SqliteStore) -> None:
        inbox = await inbox_of_alice(store)
        for number in range(31, 51):
            await deliver(store, body(number), Target(inbox.id))
        await expunge(store, inbox, [number for number in range(1, 51) if number % 5 in (0, 3)])

    tell(root, more)
    return tell(root, letters)


def _compacting(seed: Path, folder: Path, *instants: int) -> str:
    words = [sys.executable, "-m", "tests.faults.compacting", str(seed), str(folder), *map(str, instants)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_a_compaction_is_killed_at_any_instant(tmp_path: Path) -> None:
    live = _seed(tmp_path / "seed")
    instants = int(_compacting(tmp_path / "seed", tmp_path, 0))
    assert instants > 60
    assert list(files(tmp_path / "0")) == [3]
    least = files(tmp_path / "0")[3] - SEGMENT_HEADER_OCTETS
    chosen = random.Random(4).sample(range(1, instants + 1), min(KILLS, instants))
    _compacting(tmp_path / "seed", tmp_path, *chosen)
    unfinished = 0
    for instant in chosen:
        root = tmp_path / str(instant)
        assert problems(root) == [], instant
        assert tell(root, letters) == live, instant
        unfinished += list(files(root)) != [3]
        # The next one finishes, also with what the dead one left, when its time has come.
        tell(root, partial(sweep, root))
        tell(root, partial(compact, root, days=15))
        assert tell(root, letters) == live, instant
        assert sum([size - SEGMENT_HEADER_OCTETS for size in files(root).values()]) == least, instant
        assert rows(root, "SELECT sum(live) FROM segments") == [(sum(map(len, live.values())),)], instant
    assert unfinished > len(chosen) / 2


def test_who_reads_meanwhile_never_misses_a_letter(tmp_path: Path) -> None:
    fill(tmp_path, 100, gone=lambda _: False)
    words = [sys.executable, "-m", "tests.faults.reading", str(tmp_path)]
    reader = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None and reader.stdout is not None
    assert reader.stdout.readline() == "reading\n"

    async def win(store: SqliteStore) -> int:
        return (await compact(tmp_path, store)).letters

    for _ in range(CYCLES):
        ((number,),) = rows(tmp_path, "SELECT DISTINCT segment FROM messages")
        add_dead_record(tmp_path, number, 1000)
        assert tell(tmp_path, win) == 100
    told, faults = reader.communicate("\n", timeout=60)
    assert reader.returncode == 0, faults
    assert int(told) > 1
    assert len(files(tmp_path)) == 1
