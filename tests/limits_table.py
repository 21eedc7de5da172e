"""docs/limits.md, made from the table of limits (postroom.net.limits) and the tests that name its rows.

python -m tests.limits_table > docs/limits.md
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postroom.net import limits

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "limits.md"
_SECTION: Final = re.compile(r"# --- (.*)")
_NAME: Final = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\bADDRESSES\b|\bREFERENCES\b")
_UNITS: Final = (
    ("SECONDS", "seconds"),
    ("OCTETS", "octets"),
    ("KIB", "KiB"),
    ("PERCENT", "percent"),
    ("SHARE", "share"),
    ("RATE", "octets a second"),
    ("CHARACTERS", "characters"),
    ("WATER", "octets"),
    ("MEMORY", "octets"),
    ("BATCH", "octets"),
)
"""By a word of the name; what has none of them is a count."""
_OWN_TEST: Final = "test_limits_table.py"
_HEAD: Final = """\
# Limits

Every length, count, depth and time that a peer, or a letter, could push at. They stand in
`src/postroom/net/limits.py`, each is enforced by its name there, and this page is made from it by
`python -m tests.limits_table`. What an operator may set stands in postroom.toml, in `[limits]` and `[smtp]`.
The last column is the test that names the limit.
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """One row. `section` is the heading that it stands under, `reason` its docstring, empty where it has none."""

    section: str
    name: str
    value: float
    reason: str

    @property
    def unit(self) -> str:
        """What the number counts."""
        words = self.name.split("_")
        return next((unit for word, unit in _UNITS if word in words), "count")


def table() -> list[Limit]:
    """All rows, in the order of the module."""
    source = Path(limits.__file__).read_text()
    headings = {}
    for number, line in enumerate(source.splitlines(), 1):
        if found := _SECTION.fullmatch(line):
            headings[number] = found[1]
    body = ast.parse(source).body
    rows = []
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        value = getattr(limits, statement.target.id)
        if not isinstance(value, int | float):
            continue
        above = [heading for line, heading in headings.items() if line < statement.lineno]
        rows.append(Limit(above[-1] if above else "", statement.target.id, value, _docstring(following)))
    return rows


def _docstring(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).split())
    return ""


def tests() -> Mapping[str, str]:
    """By a limit's name: the first test file that has it, from the root."""
    names = {row.name for row in table()}
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path.name != _OWN_TEST:
            for name in names.intersection(_NAME.findall(path.read_text())):
                found.setdefault(name, str(path.relative_to(ROOT)))
    return found


def page() -> Iterator[str]:
    """The lines of docs/limits.md."""
    yield from _HEAD.splitlines()
    shown = tests()
    section = None
    for row in table():
        if row.section != section:
            section = row.section
            yield from ("", f"## {section[:1].upper()}{section[1:]}", "")
            yield "| Limit | Default | Unit | Meaning and reason | Test |"
            yield "|---|---|---|---|---|"
        test = f"`{shown[row.name]}`" if row.name in shown else ""
        reason = row.reason.replace("|", "\\|")
        yield f"| `{row.name}` | {_number(row)} | {row.unit} | {reason} | {test} |"


def _number(row: Limit) -> str:
    """A number for people: octets also in KiB or MiB."""
    text = f"{row.value:,}".removesuffix(".0").replace(",", " ")
    if row.unit == "octets":
        for size, unit in ((1024 * 1024, "MiB"), (1024, "KiB")):
            if row.value >= size and row.value % size == 0:
                return f"{text} ({int(row.value // size)} {unit})"
    return text


if __name__ == "__main__":
    print("\n".join(page()))
