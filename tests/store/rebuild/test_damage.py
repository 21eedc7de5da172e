"""An index is made anew from damaged files, and put in the place of the old one whatever happens meanwhile."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from postroom.store.check.findings import problem
from postroom.store.index import NewerSchema
from postroom.store.rebuild import whole as rebuilding
from postroom.store.rebuild.whole import RebuildFailed, rebuild
from postroom.store.records import (
    FRAME_OCTETS,
    frame_of,
    write_frame,
)
from tests.scale import scaled
from tests.store.anew import HOST, NOW, anew, everything, lose_index, problems
from tests.store.damage import a_busy_day, alter, damage, flip, letters, record, segment
from tests.store.site import (
    ALICE,
    LETTER,
    Site,
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = Site(tmp_path_factory.mktemp("sound") / "data")
    site.run(a_busy_day)
    return site.root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A store in which things have happened."""
    return Path(shutil.copytree(sound, tmp_path / "data"))


# --- damage


def test_a_damaged_letter_keeps_its_place_and_is_told(root: Path) -> None:
    offset, _ = record(root, 2)
    before = everything(root)
    flip(segment(root), offset + 3)
    told = anew(root)
    assert everything(root) == before
    assert any("1 letters are damaged" in each for each in told), told
    (only, *_) = problems(root)
    assert only.startswith(f"{ALICE}, INBOX, UID 2: its octets are not those that came in")


def test_a_torn_tail_and_a_damaged_header_lose_nothing(root: Path) -> None:
    before = everything(root)
    flip(segment(root), 3)
    with segment(root).open("ab") as out:
        out.write(write_frame(frame_of(LETTER, b"", b"x" * 16)) + LETTER[:-1])
    anew(root)
    assert everything(root) == before
    assert problems(root) == ["segment file 0000000001.seg has a damaged header: wrong checksum"]


@pytest.mark.parametrize("what", ["page", "octets"])
def test_random_damage_to_the_index_loses_no_letter(root: Path, tmp_path: Path, what: str) -> None:
    whole = set(letters(root))
    connection = apsw.Connection(str(root / "index.db"))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    draw = random.Random(what)
    for number in range(scaled(6, 200)):
        copy = Path(shutil.copytree(root, tmp_path / f"copy-{number}"))
        octets = bytearray((copy / "index.db").read_bytes())
        for _ in range(draw.randrange(1, 6)):
            length = 4096 if what == "page" else draw.randrange(1, 60)
            at = draw.randrange(0, len(octets) // 4096) * 4096 if what == "page" else draw.randrange(len(octets))
            octets[at : at + length] = draw.randbytes(len(octets[at : at + length]))
        (copy / "index.db").write_bytes(octets)
        anew(copy)
        assert {each[1] for each in whole} <= {each[1] for each in letters(copy)}, number
        assert problems(copy) == [], number
        shutil.rmtree(copy)


# --- the exchange


def test_the_old_index_is_put_aside_with_its_log_and_search_indexes_go(root: Path) -> None:
    (root / "search").mkdir(exist_ok=True)
    (root / "search" / "1.db").write_bytes(b"whatever")
    before = everything(root)
    told = anew(root)
    (folder,) = (root / "snapshots").iterdir()
    assert any(str(folder) in each for each in told)
    shutil.copytree(folder, root.parent / "aside")
    assert everything(root.parent / "aside") == before
    assert not list((root / "search").iterdir())
    assert not [path.name for path in root.iterdir() if path.name.startswith("index.db.")]
    assert os.stat(root / "index.db").st_mode & 0o777 == 0o600


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["collect", "check_rows", "replace_index"])
def test_a_run_that_is_stopped_leaves_the_old_index(
    root: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before = everything(root)
    monkeypatch.setattr(rebuilding, where, _stopped)
    with pytest.raises(KeyboardInterrupt):
        anew(root)
    assert everything(root) == before
    assert problems(root) == []


@pytest.mark.parametrize("call", ["rename", "link", "fsync"])
def test_a_disk_that_fails_at_the_exchange_leaves_one_of_them_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before, done = everything(root), 0

    def fail_at(count: int) -> Callable[..., None]:
        seen = 0
        real = getattr(os, call)

        def instead(*args: Any, **kwargs: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == count:
                raise OSError(5, "Input/output error")
            real(*args, **kwargs)

        return instead

    for count in range(1, 10):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail_at(count))
            try:
                anew(root)
                done += 1
            except OSError:
                pass
        assert everything(root) == before
    assert done


def test_a_new_index_that_is_wrong_is_not_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (root / "index.db").read_bytes()
    monkeypatch.setattr(rebuilding, "check_rows", lambda connection: [problem("something is wrong")])
    with pytest.raises(RebuildFailed, match="something is wrong"):
        anew(root)
    assert (root / "index.db").read_bytes() == before


def test_an_index_of_a_newer_program_is_refused(root: Path) -> None:
    damage(root, "PRAGMA user_version = 99")
    with pytest.raises(NewerSchema):
        anew(root)


def test_progress_ends_where_all_is_done(root: Path) -> None:
    told: list[tuple[int, int]] = []
    rebuild(root, NOW, HOST, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_record_in_the_middle_of_damage_comes_back(root: Path) -> None:
    whole = letters(root)
    at = record(root, 3)[0] - FRAME_OCTETS
    alter(segment(root), lambda octets: octets.__setitem__(slice(at - 30, at - 1), b"\0" * 29))
    lose_index(root)
    anew(root)
    assert {each[1] for each in whole} <= {each[1] for each in letters(root)}
