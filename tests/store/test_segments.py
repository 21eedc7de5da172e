"""Segments as they are written and read, and letters on their way in."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from postroom.net.limits import (
    BLOB_IN_MEMORY,
    OPEN_SEGMENTS,
    SEGMENT_AHEAD_BATCH,
    SEGMENT_AHEAD_OCTETS,
    SEGMENT_OCTETS,
)
from postroom.store.blobs import LargeBody, StoredBlob
from postroom.store.interface import StorageFull, StoreFault, Unreadable
from postroom.store.reading import Piece, SegmentReader
from postroom.store.records import (
    FRAME_OCTETS,
    SEGMENT_HEADER_OCTETS,
    email_id_text,
    frame_of,
    read_frame,
    read_segment_header,
    write_frame,
)
from postroom.store.segments import Segment, Segments, being_written, segment_name
from postroom.store.values import Place

_ID = bytes(range(16))


def _segments(folder: Path, newest: int = 0) -> Segments:
    return Segments(folder, lambda: newest)


def _octets(folder: Path, number: int) -> bytes:
    return (folder / segment_name(number)).read_bytes()


def _file(segment: Segment, payload: bytes) -> Place:
    """Append a record without much ado."""
    place = Place(segment.number, segment.size + FRAME_OCTETS, len(payload))
    segment.append([write_frame(frame_of(payload, b"{}", _ID)), payload, b"{}"])
    segment.keep()
    return place


# --- birth


def test_a_segment_is_born_with_its_header_for_its_owner_alone(tmp_path: Path) -> None:
    segment = _segments(tmp_path).birth()
    assert segment.number == 1
    assert stat.S_IMODE((tmp_path / segment_name(1)).stat().st_mode) == 0o600
    assert read_segment_header(_octets(tmp_path, 1)) == 1
    segment.close()


def test_others_know_a_segment_that_may_still_grow(tmp_path: Path) -> None:
    segments = _segments(tmp_path)
    path = tmp_path / segment_name(1)
    assert not being_written(path), "there is none"
    segment = segments.open()
    assert being_written(path)
    _file(segment, b"a letter")
    segments.close()
    assert not being_written(path)


def test_a_segment_whose_writer_is_killed_grows_no_more(tmp_path: Path) -> None:
    story = "import sys\nfrom pathlib import Path\nfrom postroom.store.segments import Segments\n" + (
        "Segments(Path(sys.argv[1]), lambda: 0).birth()\nprint('born', flush=True)\nsys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", story, str(tmp_path)], stdin=pipe, stdout=pipe) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"born\n"
        assert being_written(tmp_path / segment_name(1))
        writer.kill()
    assert not being_written(tmp_path / segment_name(1))


def test_a_birth_syncs_the_file_and_its_folder_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fdatasync", note)
    monkeypatch.setattr(os, "fsync", note)
    segment = _segments(tmp_path).birth()
    assert synced == [str(tmp_path / segment_name(1)), str(tmp_path)]
    segment.close()


def test_a_birth_takes_the_first_free_number_above_what_the_index_knows(tmp_path: Path) -> None:
    (tmp_path / segment_name(8)).write_bytes(b"somebody's")
    ours = _segments(tmp_path, newest=7)
    first, second = ours.birth(), ours.birth()
    assert (first.number, second.number) == (9, 10)
    assert _octets(tmp_path, 8) == b"somebody's"
    first.close()
    second.close()


def test_small_letters_share_a_segment_until_it_is_full(tmp_path: Path) -> None:
    ours = _segments(tmp_path)
    first = ours.open()
    assert ours.open() is first
    os.ftruncate(first.descriptor, SEGMENT_OCTETS - 1)
    first.size = SEGMENT_OCTETS - 1
    assert ours.open() is first
    first.append([b"x"])
    second = ours.open()
    assert second.number == first.number + 1
    assert first.closed
    ours.close()
    assert second.closed


# --- appending


def test_more_pieces_than_one_call_takes_are_written_in_order(tmp_path: Path) -> None:
    pieces = [b"%d," % number for number in range(2500)]
    segment = _segments(tmp_path).birth()
    segment.append(pieces)
    assert _octets(tmp_path, 1)[SEGMENT_HEADER_OCTETS:] == b"".join(pieces)
    assert segment.size == SEGMENT_HEADER_OCTETS + sum(map(len, pieces))
    segment.close()


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = _segments(tmp_path).birth()
    pwrite = os.pwrite

    def short(descriptor: int, buffers: Sequence[bytes], offset: int) -> int:
        return pwrite(descriptor, b"".join(buffers)[:3], offset)

    monkeypatch.setattr(os, "pwritev", short)
    monkeypatch.setattr(os, "pwrite", lambda d, b, o: pwrite(d, bytes(b[:3]), o))
    pieces: list[bytes] = [b"", b"a", b"bcdefgh", b"", b"ij"]
    segment.append(pieces)
    segment.put(b"ABCDEFGH", SEGMENT_HEADER_OCTETS)
    assert _octets(tmp_path, 1)[SEGMENT_HEADER_OCTETS:] == b"ABCDEFGHij"
    segment.close()


# --- failing


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EFBIG, StorageFull),
        (errno.EIO, StoreFault),
    ],
)
@pytest.mark.parametrize("call", ["pwritev", "fdatasync"])
def test_after_a_failed_call_a_segment_is_never_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fault: type[StoreFault], call: str
) -> None:
    ours = _segments(tmp_path)
    segment = ours.open()
    _file(segment, b"kept")
    whole = _octets(tmp_path, 1)

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail)
        with pytest.raises(StoreFault) as raised:
            segment.append([b"lost"])
            segment.sync()
        assert type(raised.value) is fault
    assert segment.closed
    # What had been promised is there, what had not is cut off, and the next one is another file.
    assert _octets(tmp_path, 1) == whole
    assert ours.open().number == 2
    ours.close()


def test_a_segment_that_never_held_a_letter_leaves_no_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = _segments(tmp_path).open()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(StorageFull):
        segment.append([b"x"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["open", "pwrite", "fdatasync", "fsync"])
def test_a_birth_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, full)
        with pytest.raises(StorageFull):
            _segments(tmp_path).open()
    assert list(tmp_path.iterdir()) == []


def test_giving_up_twice_does_not_take_a_successors_file(tmp_path: Path) -> None:
    first = _segments(tmp_path).birth()
    first.give_up()
    successor = _segments(tmp_path).birth()
    assert successor.number == first.number
    first.give_up()
    first.close()
    assert (tmp_path / segment_name(successor.number)).exists()
    successor.close()


# --- reading


def test_a_letter_is_read_whole_and_in_parts(tmp_path: Path) -> None:
    segment = _segments(tmp_path).birth()
    _file(segment, b"before")
    place = _file(segment, b"payload")
    reader = SegmentReader(tmp_path)
    assert reader.whole(place, email_id_text(_ID)) == b"payload"
    for start in range(9):
        for length in range(9):
            assert reader.part(place, start, length) == b"payload"[start : start + length]
    reader.close()
    segment.close()


def test_any_flipped_bit_of_a_letter_is_noticed_when_it_is_read_whole(tmp_path: Path) -> None:
    segment = _segments(tmp_path).birth()
    place = _file(segment, b"payload")
    reader = SegmentReader(tmp_path)
    for bit in range(8 * place.size):
        position = place.offset + bit // 8
        right = os.pread(segment.descriptor, 1, position)
        os.pwrite(segment.descriptor, bytes([right[0] ^ 1 << bit % 8]), position)
        with pytest.raises(Unreadable):
            reader.whole(place, email_id_text(_ID))
        os.pwrite(segment.descriptor, right, position)
    assert reader.whole(place, email_id_text(_ID)) == b"payload"
    reader.close()
    segment.close()


def test_a_place_that_is_not_the_letters_is_unreadable(tmp_path: Path) -> None:
    segment = _segments(tmp_path).birth()
    place = _file(segment, b"payload")
    reader = SegmentReader(tmp_path)
    for wrong in (place._replace(size=3), place._replace(offset=place.offset + 1), place._replace(size=7000)):
        with pytest.raises(Unreadable):
            reader.whole(wrong, email_id_text(_ID))
    with pytest.raises(Unreadable):
        reader.whole(place, email_id_text(bytes(16)))
    with pytest.raises(Unreadable):
        reader.whole(place._replace(segment=99), email_id_text(_ID))
    with pytest.raises(Unreadable):
        reader.part(place._replace(size=7000), 0, 7000)
    reader.close()
    segment.close()


def test_letters_that_lie_close_together_are_read_with_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    pread = os.pread

    def counted(descriptor: int, length: int, position: int) -> bytes:
        calls.append(length)
        return pread(descriptor, length, position)

    segment = _segments(tmp_path).birth()
    payloads = [bytes([at]) * 1000 for at in range(9)]
    places = [_file(segment, payload) for payload in payloads]
    far = _file(segment, bytes(100_000))
    last = _file(segment, b"last")
    reader = SegmentReader(tmp_path)
    name = email_id_text(_ID)
    monkeypatch.setattr(os, "pread", counted)
    whole: list[Piece] = [(*place, name) for place in places]
    assert reader.each(whole) == payloads
    assert len(calls) == 1
    parts: list[Piece] = [(place.segment, place.offset + 10, 20, None) for place in places]
    assert reader.each(parts) == [payload[10:30] for payload in payloads]
    assert len(calls) == 2
    # The order is the caller's, and what is asked for twice is given twice.
    assert reader.each([*whole[::-1], whole[4], whole[4]]) == [*payloads[::-1], payloads[4], payloads[4]]
    calls.clear()
    apart: list[Piece] = [(*places[8], None), (far.segment, far.offset, 10, None), (*last, name)]
    assert reader.each(apart) == [payloads[8], bytes(10), b"last"]
    assert len(calls) == 2
    assert max(calls) < 2000
    monkeypatch.undo()
    reader.close()
    segment.close()


def test_of_several_letters_only_those_are_none_that_are_not_right(tmp_path: Path) -> None:
    segment = _segments(tmp_path).birth()
    places = [_file(segment, b"payload %d" % at) for at in range(4)]
    reader = SegmentReader(tmp_path)
    name = email_id_text(_ID)
    pieces: list[Piece] = [(*place, name) for place in places]
    os.pwrite(segment.descriptor, b"P", places[1].offset)
    assert reader.each(pieces) == [b"payload 0", None, b"payload 2", b"payload 3"]
    pieces[2] = (99, 100, 5, None)
    assert reader.each(pieces) == [b"payload 0", None, None, b"payload 3"]
    pieces[2] = (1, places[2].offset, 10**6, None)
    assert reader.each(pieces)[2] is None
    pieces[2] = (1, places[2].offset, 9, email_id_text(bytes(16)))
    assert reader.each(pieces)[2] is None
    assert reader.each([(1, 5, 9, name)]) == [None]
    reader.close()
    segment.close()


def test_as_many_segments_stay_open_as_may_and_no_more(tmp_path: Path) -> None:
    ours = _segments(tmp_path)
    places = []
    for _ in range(OPEN_SEGMENTS + 2):
        segment = ours.birth()
        places.append(_file(segment, b"payload"))
        segment.close()
    before = len(os.listdir("/proc/self/fd"))
    reader = SegmentReader(tmp_path)
    for count, place in enumerate(places, 1):
        assert reader.whole(place, email_id_text(_ID)) == b"payload"
        assert len(os.listdir("/proc/self/fd")) - before == min(count, OPEN_SEGMENTS)
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_out_of_descriptors_the_oldest_segment_is_closed_and_only_then_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = _segments(tmp_path)
    places = []
    for _ in range(2):
        segment = ours.birth()
        places.append(_file(segment, b"payload"))
        segment.close()
    reader = SegmentReader(tmp_path)
    reader.whole(places[0], email_id_text(_ID))
    os_open = os.open
    free = 0

    def scarce(path: str, flags: int) -> int:
        if len(reader._descriptors) > free - 1:
            raise OSError(errno.EMFILE, "too many")
        return os_open(path, flags)

    monkeypatch.setattr(os, "open", scarce)
    free = 1
    assert reader.whole(places[1], email_id_text(_ID)) == b"payload"
    free = 0
    with pytest.raises(StoreFault):
        reader.whole(places[0], email_id_text(_ID))
    reader.close()


# --- letters on their way in


def test_a_letter_goes_to_a_segment_of_its_own_from_one_octet_over_the_limit_on(tmp_path: Path) -> None:
    blob = StoredBlob(_segments(tmp_path).birth)
    blob.write(bytes(BLOB_IN_MEMORY))
    assert list(tmp_path.iterdir()) == []
    blob.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == [segment_name(1)]
    contents = blob.contents()
    assert isinstance(contents, mmap.mmap)
    assert contents[:] == bytes(BLOB_IN_MEMORY) + b"x"
    blob.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_large_letter_is_no_record_before_it_is_delivered(tmp_path: Path) -> None:
    blob = StoredBlob(_segments(tmp_path).birth)
    blob.write(bytes(BLOB_IN_MEMORY + 1))
    filler = read_frame(_octets(tmp_path, 1)[SEGMENT_HEADER_OCTETS:])
    position = SEGMENT_HEADER_OCTETS + filler.record_size
    assert _octets(tmp_path, 1)[position : position + FRAME_OCTETS] == bytes(FRAME_OCTETS)
    body = blob.take()
    assert isinstance(body, LargeBody)
    offset = body.finish(b"{}", _ID)
    octets = _octets(tmp_path, 1)
    assert offset == position + FRAME_OCTETS
    assert read_frame(octets[position:]) == frame_of(bytes(BLOB_IN_MEMORY + 1), b"{}", _ID)
    assert octets.endswith(b"\0{}")
    body.segment.close()


def test_chunks_that_change_after_the_write_do_not_change_the_letter(tmp_path: Path) -> None:
    blob = StoredBlob(_segments(tmp_path).birth)
    chunk = bytearray(b"abc")
    blob.write(chunk)
    blob.write(memoryview(chunk)[1:])
    chunk[:] = b"xyz"
    assert blob.contents() == b"abcbc"
    assert blob.size == 5


def test_a_letter_that_could_not_be_written_stays_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = StoredBlob(_segments(tmp_path).birth)
    blob.write(bytes(BLOB_IN_MEMORY + 1))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwritev", full)
        with pytest.raises(StorageFull):
            blob.write(b"x")
    for use in (lambda: blob.write(b"x"), blob.contents, blob.take):
        with pytest.raises(StorageFull):
            use()
    blob.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_letter_is_handed_over_once(tmp_path: Path) -> None:
    blob = StoredBlob(_segments(tmp_path).birth)
    blob.write(b"x")
    assert blob.take() == b"x"
    for use in (lambda: blob.write(b"x"), blob.contents, blob.take):
        with pytest.raises(StoreFault):
            use()


def test_small_batches_are_followed_by_zeros_that_the_end_takes_away(tmp_path: Path) -> None:
    segments = Segments(tmp_path, lambda: 0)
    segment = segments.open()
    path = tmp_path / segment_name(segment.number)
    segment.append_batch([b"first"])
    assert path.stat().st_size == segment.size + SEGMENT_AHEAD_OCTETS
    size = path.stat().st_size
    segment.append_batch([b"second"])
    assert path.stat().st_size == size
    assert path.read_bytes()[SEGMENT_HEADER_OCTETS:].rstrip(b"\0") == b"firstsecond"
    segments.close()
    assert path.read_bytes()[SEGMENT_HEADER_OCTETS:] == b"firstsecond"


def test_a_large_batch_writes_none_ahead(tmp_path: Path) -> None:
    segment = Segments(tmp_path, lambda: 0).open()
    segment.append_batch([bytes(SEGMENT_AHEAD_BATCH + 1)])
    assert (tmp_path / segment_name(segment.number)).stat().st_size == segment.size
    segment.close()


def test_where_zeros_can_not_be_written_the_batch_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = Segments(tmp_path, lambda: 0).open()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    segment.append_batch([b"kept"])
    monkeypatch.undo()
    assert not segment.closed
    segment.sync()
    assert (tmp_path / segment_name(segment.number)).read_bytes().endswith(b"kept")
    segment.close()
