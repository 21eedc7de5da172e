"""Searching bytes and maps gives the same, over every border of a window."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroom.message import octets
from postroom.message.octets import count_lines, crlf_size, find, only_crlf


@contextmanager
def mapped(data: bytes, path: Path) -> Iterator[mmap.mmap]:
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as map:
        yield map


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(octets, "WINDOW", 4)


@pytest.mark.parametrize("start", range(13))
@pytest.mark.parametrize("end", range(13))
@pytest.mark.parametrize("needle", [b"a", b"ab", b"abcab", b"cabcabcabca", b"x"])
def test_a_map_is_searched_as_bytes_are(
    small_windows: None, tmp_path: Path, needle: bytes, start: int, end: int
) -> None:
    data = b"abcabcabcabc"
    with mapped(data, tmp_path / "m") as map:
        assert find(map, needle, start, end) == find(data, needle, start, end) == data.find(needle, start, end)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.text("ab\n", min_size=1, max_size=40), needle=st.text("ab\n", min_size=1, max_size=6))
def test_lines_and_needles_are_found_in_any_map(
    small_windows: None, tmp_path: Path, data: str, needle: str
) -> None:
    raw = data.encode()
    with mapped(raw, tmp_path / "m") as map:
        assert find(map, needle.encode(), 0, len(raw)) == raw.find(needle.encode())
        for start in range(len(raw)):
            assert count_lines(map, start, len(raw)) == raw.count(b"\n", start)
            assert count_lines(raw, start, len(raw)) == raw.count(b"\n", start)


def test_a_whole_window_is_looked_at_once(tmp_path: Path) -> None:
    data = b"\n" * (octets.WINDOW + 3) + b"x"
    with mapped(data, tmp_path / "m") as map:
        assert count_lines(map, 0, len(data)) == octets.WINDOW + 3
        assert find(map, b"\nx", 0, len(data)) == octets.WINDOW + 2


# --- line ends as POP3 sends them


def as_sent(letter: bytes) -> bytes:
    """RFC 1939 3: every line ends in CRLF; a lone CR or LF is taken for a line's end."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", letter)
    return lines if not lines or lines.endswith(b"\r\n") else lines + b"\r\n"


@pytest.mark.parametrize(
    ("letter", "size"),
    [
        (b"", 0),
        (b"a", 3),
        (b"a\r\n", 3),
        (b"a\n", 3),
        (b"a\r", 3),
        (b"\r", 2),
        (b"\n", 2),
        (b"\r\n", 2),
        (b"\n\r", 4),
        (b"\r\r\n", 4),
        (b"\r\n\n", 4),
        (b"a\nb\r\rc", 11),
        (b"a\r\nb\r\n", 6),
        (b"a\r\nb", 6),
        (b"\xff\xfe\x85\x0b\x0c\x1c\0\xe2\x80\xa8", 12),
    ],
)
def test_a_letter_is_as_large_as_what_pop3_sends(letter: bytes, size: int) -> None:
    assert crlf_size(letter) == size == len(as_sent(letter))


ENDS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\n", b"a", b"\xe2\x80\xa8"]), min_size=1, max_size=24)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=ENDS)
def test_line_ends_are_counted_over_every_border_of_a_window(
    small_windows: None, tmp_path: Path, pieces: list[bytes]
) -> None:
    letter = b"".join(pieces)
    bare = re.search(rb"\r(?!\n)|(?<!\r)\n", letter)
    with mapped(letter, tmp_path / "m") as map:
        for octets_ in (letter, map):
            assert only_crlf(octets_) == (bare is None)
            assert crlf_size(octets_) == len(as_sent(letter))


@pytest.mark.parametrize("before", range(octets.WINDOW - 3, octets.WINDOW + 2))
@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\r\n\n", b"\r\r\n"])
def test_a_line_end_on_the_border_of_a_window_is_one(tmp_path: Path, before: int, end: bytes) -> None:
    letter = b"x" * before + end + b"y" * 10
    with mapped(letter, tmp_path / "m") as map:
        assert crlf_size(map) == crlf_size(letter) == len(as_sent(letter))


class _Counting(mmap.mmap):
    """A map that counts what is copied out of it."""

    copied = 0

    def __getitem__(self, key: int | slice) -> bytes:  # type: ignore[override]
        found = super().__getitem__(key)
        assert isinstance(found, bytes)
        self.copied += len(found)
        return found


def test_a_flood_of_near_needles_costs_no_window_each(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"\n--b" * 250_000)
    with (tmp_path / "m").open("rb") as file, _Counting(file.fileno(), 0, access=mmap.ACCESS_READ) as map:
        at = -1
        for _ in range(100):
            at = find(map, b"\n--b", at + 1, len(map))
        assert at == 99 * 4
        assert map.copied < 100 * octets.WINDOW // 100
