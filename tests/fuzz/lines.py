"""Which lines of a server were run: `sys.settrace`, with each function followed only as long as a line of it is
missing, so that watching costs little once the common ways have been gone.

Lines of functions count; what a module does when it is imported doesn't.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, Final

import postroom

SOURCE: Final = Path(postroom.__file__).parent
_PROTOCOLS: Final = {"submission": "smtp", "lmtp": "smtp"}


class Lines:
    """A context that watches the modules below `folders` of postroom."""

    def __init__(self, *folders: str) -> None:
        self._wanted: dict[str, set[int]] = {}
        self._all: dict[str, set[int]] = {}
        self._missing: dict[int, set[int]] = {}
        self._codes: list[CodeType] = []
        for folder in folders:
            place = SOURCE / folder
            for path in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
                lines = _lines(path)
                if lines:
                    self._all[str(path)] = lines
                    self._wanted[str(path)] = set(lines)

    def __enter__(self) -> Lines:
        sys.settrace(self._call)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        wanted = self._wanted.get(code.co_filename)
        if not wanted:
            return None
        missing = self._missing.get(id(code))
        if missing is None:
            # Kept, so that no other code gets its number.
            self._codes.append(code)
            missing = self._missing[id(code)] = {line for _, _, line in code.co_lines() if line in wanted}
        return self._line if missing else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            line = frame.f_lineno
            self._missing[id(frame.f_code)].discard(line)
            self._wanted[frame.f_code.co_filename].discard(line)
        return self._line

    # --- what was seen

    def missing(self) -> dict[str, list[int]]:
        """By module: the lines that were never run."""
        return {name: sorted(self._wanted[name]) for name in self._all}

    def share(self) -> float:
        """Of all lines, those that were run: 0 to 1."""
        lines = sum(map(len, self._all.values()))
        return 1 - sum(map(len, self._wanted.values())) / lines

    def table(self) -> Iterator[str]:
        """A row for each module: its share, its lines, and those that were not run."""
        for name, lines in self._all.items():
            missing = self._wanted[name]
            module = str(Path(name).relative_to(SOURCE))
            share = 100 * (1 - len(missing) / len(lines))
            yield f"{module:32} {share:5.1f} %  of {len(lines):4} lines; not run: {_ranges(sorted(missing)) or '-'}"
        yield f"{'in all':32} {100 * self.share():5.1f} %  of {sum(map(len, self._all.values())):4} lines"


def of_door(door: str) -> Lines:
    """The grammar and the server of a door's protocol."""
    return Lines(_PROTOCOLS.get(door, door))


def _lines(path: Path) -> set[int]:
    """The lines of a module's functions."""
    found: set[int] = set()
    waiting = [(compile(path.read_bytes(), str(path), "exec"), False)]
    while waiting:
        code, inside = waiting.pop()
        if inside:
            first = code.co_firstlineno
            found |= {line for _, _, line in code.co_lines() if line is not None and line != first}
        for each in code.co_consts:
            if isinstance(each, CodeType):
                # A class's body runs at the import, its methods don't.
                waiting.append((each, bool(each.co_flags & 0x2)))
    return found


def _ranges(lines: list[int]) -> str:
    words: list[str] = []
    start = before = 0
    for line in [*lines, 0]:
        if start and line != before + 1:
            words.append(str(start) if start == before else f"{start}-{before}")
            start = 0
        start = start or line
        before = line
    return " ".join(words)
