"""LIST and LSUB: arguments read, responses written (RFC 3501 6.3.8, 6.3.9; RFC 5258)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.listing import List, Return, Selection, read_list, read_lsub, write_list
from postroom.imap.grammar.names import read_mailbox
from postroom.net.limits import IMAP_LIST_PATTERNS
from tests.imap.grammar.hostile import every_cut, octets, refuses_or_reads


def options(*of: Selection) -> frozenset[Selection]:
    return frozenset(of)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (b' "" ""', List(b"", (b"",))),
        (b' "" *', List(b"", (b"*",))),
        (b" ~/Mail/ %", List(b"~/Mail/", (b"%",))),
        (b' "" "a b/%"', List(b"", (b"a b/%",))),
        (b" {2}\r\na/ {2}\r\n*x", List(b"a/", (b"*x",))),
        (b' () "" *', List(b"", (b"*",), extended=True)),
        (b' (subscribed) "" *', List(b"", (b"*",), options(Selection.SUBSCRIBED), extended=True)),
        (
            b' (REMOTE RECURSIVEMATCH SUBSCRIBED) "" *',
            List(
                b"",
                (b"*",),
                options(Selection.REMOTE, Selection.RECURSIVEMATCH, Selection.SUBSCRIBED),
                extended=True,
            ),
        ),
        (b' "" (INBOX Drafts "Sent/%")', List(b"", (b"INBOX", b"Drafts", b"Sent/%"), extended=True)),
        (b' "" ("")', List(b"", (b"",), extended=True)),
        (
            b' "" % RETURN (children SPECIAL-USE)',
            List(b"", (b"%",), returns=frozenset((Return.CHILDREN, Return.SPECIAL_USE)), extended=True),
        ),
        (b' "" % return ()', List(b"", (b"%",), extended=True)),
        (
            b' (SPECIAL-USE) "" (*) RETURN (SUBSCRIBED)',
            List(b"", (b"*",), options(Selection.SPECIAL_USE), frozenset((Return.SUBSCRIBED,)), extended=True),
        ),
    ],
)
def test_list_is_read(arguments: bytes, value: List) -> None:
    assert read_list(b"a1 LIST" + arguments + b"\r\n", 7) == value
    every_cut(read_list, arguments + b"\r\n")


@pytest.mark.parametrize(
    "arguments",
    [
        b"",
        b' ""',
        b' "" ()',
        b' "" (a',
        b' "" (a )',
        b' "" ( a)',
        b' "" * x',
        b' "" * RETURN',
        b' "" * RETURN (X)',
        b' "" * RETURN CHILDREN',
        b' "" * RETURN (CHILDREN) x',
        b' "" * RETURNS (CHILDREN)',
        b' (X) "" *',
        b' (SUBSCRIBED "" *',
        b' ( ) "" *',
        b' (RECURSIVEMATCH) "" *',
        b' (RECURSIVEMATCH REMOTE) "" *',
        b' (CHILDREN) "" *',
        b' (SUBSCRIBED)"" *',
        b' "" "a\0"',
        b' "" \xc3\xa4',
    ],
)
def test_what_is_no_list_is_refused(arguments: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_list(arguments + b"\r\n", 0)


def test_a_list_has_a_most_of_patterns() -> None:
    most = b" ".join([b"*"] * IMAP_LIST_PATTERNS)
    assert len(read_list(b' "" (%b)\r\n' % most, 0).patterns) == IMAP_LIST_PATTERNS
    with pytest.raises(SyntaxFault):
        read_list(b' "" (%b %%)\r\n' % most, 0)


def test_lsub_has_no_extended_form() -> None:
    assert read_lsub(b' "#news." "comp.mail.*"\r\n', 0) == List(b"#news.", (b"comp.mail.*",))
    for wrong in (b' () "" *', b' "" (*)', b' "" * RETURN (CHILDREN)', b' ""', b""):
        with pytest.raises(SyntaxFault):
            read_lsub(wrong + b"\r\n", 0)


def test_responses_are_written() -> None:
    assert write_list(b"LIST", [b"\\HasNoChildren"], "INBOX") == b'* LIST (\\HasNoChildren) "/" INBOX\r\n'
    assert write_list(b"LIST", [b"\\Noselect"], "") == b'* LIST (\\Noselect) "/" ""\r\n'
    assert write_list(b"LSUB", [], "a b/ä") == b'* LSUB () "/" "a b/&AOQ-"\r\n'
    assert (
        write_list(b"LIST", [b"\\NonExistent", b"\\HasChildren"], "Foo", child_info=b'("CHILDINFO" ("SUBSCRIBED"))')
        == b'* LIST (\\NonExistent \\HasChildren) "/" Foo ("CHILDINFO" ("SUBSCRIBED"))\r\n'
    )


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_no_name_breaks_out_of_its_line(name: str) -> None:
    """A name that could not be made over IMAP is still written as one astring."""
    line = write_list(b"LIST", [], name)
    assert line.startswith(b'* LIST () "/" ')
    assert line.endswith(b"\r\n")
    if not line[14:].startswith(b"{"):
        assert line.count(b"\n") == 1
    read = refuses_or_reads(read_mailbox, line, 14)
    if read is not None:
        assert isinstance(read, tuple)
        assert read[1] == len(line) - 2
        assert read[0] == name or read[0].startswith("INBOX")


@settings(deadline=None, max_examples=400)
@given(octets([b' (SUBSCRIBED RECURSIVEMATCH) "" (a "b c") RETURN (CHILDREN)\r\n', b' "" *\r\n']))
def test_readers_refuse_or_read_whatever_comes(buffer: bytes) -> None:
    refuses_or_reads(read_list, buffer)
    refuses_or_reads(read_lsub, buffer)
