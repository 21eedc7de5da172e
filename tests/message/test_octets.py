"""Searching bytes and maps gives the same, over every border of a window."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroom.message import octets
from postroom.message.octets import count_lines, find


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
