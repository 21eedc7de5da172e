"""HTML as people read it, whatever stands there, in linear time."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message import html
from postroom.message.html import html_steps, html_text
from postroom.net.limits import HTML_CHARACTERS


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>Gr&uuml;&szlig;e<br>aus <b>K&ouml;ln</b>", "Grüße\naus Köln"),
        ("<b>bo</b>ld and <i>it</i>alic", "bold and italic"),
        ("a\r\n  b\t c", "a b c"),
        ("a <b> b</b>", "a b"),
        ("<td>one</td><td>two</td>", "one two"),
        ("<ul><li>one<li>two</ul>tail", "one\ntwo\ntail"),
        ("<pre>a\n   b</pre>c", "a\nb\nc"),
        ("</pre>a\n b", "a b"),
        ("<style>p { color: red }</style>seen", "seen"),
        ("<script>if (a < b) { '</b>' }</script>seen", "seen"),
        ("<script>never ended", ""),
        ("seen<!-- not seen --> too", "seen too"),
        ("seen<!-- never ended", "seen"),
        ("<![CDATA[x]]>y<![if !mso]>z<![endif]>", "yz"),
        ("<!DOCTYPE html><html><head><title>T</title></head><body>b</body></html>", "T\nb"),
        ('<img src=x alt="a cat"> and <a href="https://x.test/?q=1">a link</a>', "a cat and a link"),
        ("a &lt;b&gt; &amp;amp; &#65;&#x42; &nosuch; &", "a <b> &amp; AB &nosuch; &"),
        ("a&nbsp;b", "a\xa0b"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<a title='never ended>text", ""),
        ("nul\0here", "nul\ufffdhere"),
        ("-->]]>'\">", "-->]]>'\">"),
    ],
)
def test_what_people_read_stays(source: str, text: str) -> None:
    assert html_text(source) == text


def test_what_is_beyond_the_limit_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "HTML_CHARACTERS", 10)
    assert html_text("0123456789") == "0123456789"
    assert html_text("0123456789x") == "0123456789"
    assert HTML_CHARACTERS > 1_000_000


def test_a_long_page_is_read_with_pauses_and_comes_out_the_same() -> None:
    row = '<tr><td class="x">caf&eacute; <b>au</b> lait</td></tr>\r\n'
    source = f"<table>{row * 2000}</table>"
    assert len(list(html_steps(source))) > 5
    assert html_text(source) == "\n".join(["café au lait"] * 2000)


def test_an_element_longer_than_a_step_is_read_whole() -> None:
    image = "data:image/png;base64," + "A" * 300_000
    assert html_text(f'a<img src="{image}" alt="cat">b<!--{"x" * 100_000}-->c') == "acatbc"


PIECES = (
    *("<", "<a", "<a ", "</", "</a", "<!--", "<!-", "<!", "<?", "<![CDATA[", "<![if ", "<!DOCTYPE [", "<![", "]]>"),
    *("<a a='", "<a a=\"b='", "<a =", "<a/", "<a a=a", "<a a a=", "<a '", "<a\0", "<a =\t", "<$", "<a b=c>", "-->"),
    *("&", "&#", "&amp", "<script>", "</script", "<style><!--", "<title>", "<textarea><", "<pre>", "</pre>", "<p>"),
    *(" ", "\n", "x", "'", '"', ">", "=", "\0", "<plaintext>", "<iframe>", "<svg><![CDATA[", "ſ", "\ud800"),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=40).map("".join))
def test_any_characters_give_an_answer(source: str) -> None:
    assert isinstance(html_text(source), str)


def test_no_pattern_takes_longer_the_more_of_it_has_been_read() -> None:
    def seconds(source: str) -> float:
        start = time.process_time()
        html_text(source)
        return time.process_time() - start

    draw = random.Random(7)
    for pattern in [*PIECES, *("".join(draw.choices(PIECES, k=draw.randint(2, 4))) for _ in range(30))]:
        # Eight times as much takes 64 times as long where it is looked at again and again.
        short, long = (min(seconds(pattern * (size // len(pattern))) for _ in range(2)) for size in (4000, 32_000))
        assert long < 32 * max(short, 0.001), pattern
