"""HTML as people read it: the text between the tags, for SEARCH and the indexer.

The parser is the standard library's: it takes any characters, undoes character references by HTML's own table, and
is kept by people who follow the standard. What script and style hold is no text; comments neither. White space
counts as a browser shows it: any run of it is one space, and an element that stands on a line of its own begins a
line. Of attributes only `alt` is read by people.

    html_text("<p>Gr&uuml;&szlig;e<br>aus <b>K&ouml;ln</b>")  ->  "Grüße\\naus Köln"
"""

from __future__ import annotations

import re
from collections.abc import Generator
from html.parser import HTMLParser
from typing import Final

from postroom.net.limits import HTML_CHARACTERS

__all__ = ["html_steps", "html_text"]

_STEP: Final = 8192
"""Characters parsed between two pauses: about a millisecond."""
_END: Final = "\0"
_CLOSE: Final = f"{_END}-->{_END}]]>{_END}'\">"
"""Ends whatever a letter left open. Without it the parser of Python 3.11 looks to the end of the text again and
again, once for each "<" of an element that never ends (7 s for 30 KB of "<a/")."""

_OWN_LINE: Final = frozenset(
    """address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption
    figure footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li main menu nav ol optgroup
    option p pre search section summary table tbody tfoot thead title tr ul""".split()  # noqa: SIM905
)
_APART: Final = frozenset(("td", "th"))
_HIDDEN: Final = frozenset(("script", "style"))
_space = re.compile(r"[ \t\r\n\f]+")
_blank = re.compile(r"[ \t\r\f]+")
_lines = re.compile(r" ?\n[ \n]*")
_spaces = re.compile(r"  +")


def html_steps(source: str) -> Generator[None, None, str]:
    """The text of at most HTML_CHARACTERS of a page, with a pause at each `yield`: between two of them about a
    millisecond goes by, or the time that one look over a single very long tag takes."""
    source = source[:HTML_CHARACTERS].replace(_END, "\ufffd") + _CLOSE
    parser = _Text()
    at, step = 0, _STEP
    while at < len(source):
        parser.feed(source[at : at + step])
        at += step
        # What has not ended yet is looked at again with the next step: longer ones keep all of it linear.
        step = max(_STEP, 2 * len(parser.rawdata))
        yield
    parser.close()
    return parser.text()


def html_text(source: str) -> str:
    """The same without pauses."""
    steps = html_steps(source)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return str(done.value)


class _Text(HTMLParser):
    """Gathers text. `_END` ends it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._pre = 0
        self._ended = False

    def text(self) -> str:
        """What has been gathered."""
        return _spaces.sub(" ", _lines.sub("\n", "".join(self._pieces))).strip(" \n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self._separate(tag)
        if tag == "pre":
            self._pre += 1
        elif tag in ("img", "area"):
            self._pieces += [value for name, value in attrs if name == "alt" and value]

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        self._separate(tag)
        if tag == "pre" and self._pre:
            self._pre -= 1

    def _separate(self, tag: str) -> None:
        if tag in _OWN_LINE:
            self._pieces.append("\n")
        elif tag in _APART:
            self._pieces.append(" ")

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """As a browser reads "<![": up to the next ">". The standard library's own reading fails on some."""
        return self.parse_bogus_comment(i, False)

    def handle_data(self, data: str) -> None:
        """Text, references undone."""
        if self._ended:
            return
        data, end, _ = data.partition(_END)
        self._ended = bool(end)
        if self.cdata_elem not in _HIDDEN:
            self._pieces.append(_blank.sub(" ", data) if self._pre else _space.sub(" ", data))
