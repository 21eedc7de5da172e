"""Log lines: one line an event, whoever wrote the values."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net.log import event, printable, sentence, setup, value


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        ("plain", "plain"),
        ("a@x.test", "a@x.test"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("line\r\nlogin ok", '"line\\r\\nlogin ok"'),
        ("\x1b[31m\u202e", '"\\x1b[31m\\u202e"'),
        ("\udcff", '"\\udcff"'),
        (b"\xffcaf\xc3\xa9", '"\\\\xffcafé"'),
        (42, "42"),
        (True, "True"),
    ],
)
def test_a_value_is_one_word_or_quoted(one: object, text: str) -> None:
    assert value(one) == text


@given(st.text(max_size=40), st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_whatever_a_peer_sends_stays_on_one_printable_line(text: str, octets: bytes) -> None:
    line = sentence("event", {"text": text, "octets": octets})
    assert line.isprintable() and re.fullmatch(r'event text=(\S+|".*") octets=(\S+|".*")', line)
    assert printable(octets).isprintable()


def test_a_field_that_is_none_is_left_out() -> None:
    assert sentence("login", {"peer": "192.0.2.1", "session": None}) == "login peer=192.0.2.1"


def test_lines_have_time_level_and_logger(root: logging.Logger) -> None:
    stream = io.StringIO()
    setup(stream, "INFO")
    setup(stream, logging.INFO)
    logger = logging.getLogger("postroom.test")
    event(logger, logging.DEBUG, "unseen")
    event(logger, logging.INFO, "seen", peer="192.0.2.1")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError as fault:
        event(logger, logging.ERROR, "broke", trace=fault)
    lines = stream.getvalue().splitlines()
    assert re.fullmatch(r"[-0-9]{10}T[:0-9]{8}\.[0-9]{3}Z INFO postroom\.test seen peer=192\.0\.2\.1", lines[0])
    assert "broke" in lines[1] and lines[2].startswith("Traceback") and lines[-1] == "ZeroDivisionError"
