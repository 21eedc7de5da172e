"""Mailbox names: modified UTF-7, INBOX, limits, and LIST's patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.names import decode_name, encode_name, pattern, read_mailbox, write_mailbox
from postroom.net.limits import IMAP_MAILBOX_LEVELS, IMAP_MAILBOX_NAME_OCTETS
from tests.imap.grammar.hostile import octets, refuses_or_reads

LEVELS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\u2028\u2029\ufffe\uffff"),
    min_size=1,
    max_size=12,
)
NAMES = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(lambda name: name.upper()[:5] != "INBOX")


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        (b"&Jjo-!", "☺!"),
        (b"A&-B", "A&B"),
        (b"&-", "&"),
        (b"&2D3eCw-", "\U0001f60b"),
        (b"../../etc", "../../etc"),
        (b'a b\\c"d', 'a b\\c"d'),
        (b"inbox", "INBOX"),
        (b"iNbOx/x", "INBOX/x"),
        (b"inboxes", "inboxes"),
        (b"x/inbox", "x/inbox"),
        (b"&ATE-nbox", "ınbox"),
    ],
)
def test_names_are_read(octets: bytes, name: str) -> None:
    assert decode_name(octets) == name


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"/", id="separator"),
        pytest.param(b"/a", id="empty first level"),
        pytest.param(b"a/", id="empty last level"),
        pytest.param(b"a//b", id="empty level"),
        pytest.param(b"a\0", id="NUL"),
        pytest.param(b"a\r\nb", id="line end"),
        pytest.param(b"a\x7f", id="DEL"),
        pytest.param(b"\xc3\xa4", id="UTF-8"),
        pytest.param(b"&AC8-", id="encoded separator"),
        pytest.param(b"a&AC8-b", id="encoded separator within"),
        pytest.param(b"&AGE-", id="encoded ASCII"),
        pytest.param(b"&ACY-", id="encoded ampersand"),
        pytest.param(b"&AAA-", id="encoded NUL"),
        pytest.param(b"&AA0ACg-", id="encoded line end"),
        pytest.param(b"&AIU-", id="encoded next line"),
        pytest.param(b"&ICg-", id="line separator"),
        pytest.param(b"&,,8-", id="no character"),
        pytest.param(b"&2AA-", id="lone high surrogate"),
        pytest.param(b"&3AA-", id="lone low surrogate"),
        pytest.param(b"&2D0-&3gs-", id="surrogates apart"),
        pytest.param(b"&3gvYPQ-", id="surrogates swapped"),
        pytest.param(b"&AOQ", id="open run"),
        pytest.param(b"&AOQ/x", id="run that meets the separator"),
        pytest.param(b"a&b", id="bare ampersand"),
        pytest.param(b"&A-", id="too few bits"),
        pytest.param(b"&AO-", id="half a character"),
        pytest.param(b"&AOR-", id="bits left over"),
        pytest.param(b"&AOQA-", id="octet left over"),
        pytest.param(b"&AOQ=-", id="padding"),
        pytest.param(b"&AOQ-&APY-", id="runs that touch"),
        pytest.param(b"&AOQ-&-&", id="ampersand at the end"),
        pytest.param(b"&U/BTFw-", id="slash of ordinary base64"),
    ],
)
def test_only_the_one_spelling_of_a_name_is_taken(wrong: bytes) -> None:
    with pytest.raises(SyntaxFault):
        decode_name(wrong)


def test_a_name_has_a_longest_size() -> None:
    assert decode_name(b"x" * IMAP_MAILBOX_NAME_OCTETS)
    with pytest.raises(SyntaxFault):
        decode_name(b"x" * (IMAP_MAILBOX_NAME_OCTETS + 1))
    assert decode_name(encode_name("ä" * (IMAP_MAILBOX_NAME_OCTETS // 2)))
    with pytest.raises(SyntaxFault):
        decode_name(encode_name("ä" * (IMAP_MAILBOX_NAME_OCTETS // 2) + "x"))


def test_a_name_has_a_most_of_levels() -> None:
    assert decode_name(b"/".join([b"x"] * IMAP_MAILBOX_LEVELS))
    with pytest.raises(SyntaxFault):
        decode_name(b"/".join([b"x"] * (IMAP_MAILBOX_LEVELS + 1)))


@settings(deadline=None, max_examples=300)
@given(NAMES)
def test_names_are_read_as_they_were_written(name: str) -> None:
    written = write_mailbox(name)
    assert read_mailbox(written + b" ", 0) == (name, len(written))
    assert encode_name(name).isascii()


@settings(deadline=None, max_examples=300)
@given(octets([b"&U,BTFw-/&ZeVnLIqe-", b"INBOX", b'"a b"', b"{5}\r\ninbox", b"&2D3eCw-"]))
def test_two_spellings_never_name_one_mailbox(buffer: bytes) -> None:
    refuses_or_reads(read_mailbox, buffer)
    name = refuses_or_reads(lambda octets, _: decode_name(octets), buffer)
    if isinstance(name, str):
        assert encode_name(name) == buffer or name.startswith("INBOX")
        assert decode_name(encode_name(name)) == name


@pytest.mark.parametrize(
    ("reference", "mailbox", "yes", "no"),
    [
        (b"", b"*", ["INBOX", "a", "a/b/c"], []),
        (b"", b"%", ["INBOX", "a"], ["a/b"]),
        (b"", b"a/%", ["a/b"], ["a", "a/b/c", "b/b"]),
        (b"a/", b"%/c", ["a/b/c"], ["a/c", "a/b/b/c"]),
        (b"", b"%/%", ["a/b"], ["a", "a/b/c"]),
        (b"", b"*b", ["b", "ab", "a/b"], ["ba"]),
        (b"", b"a*", ["a", "ab", "a/b"], ["ba"]),
        (b"", b"a%b", ["ab", "axb"], ["a/b"]),
        (b"", b"*%", ["a/b"], []),
        (b"", b"inbox", ["INBOX"], ["inboxes"]),
        (b"", b"INB%", ["INBOX"], ["xINBOX"]),
        (b"", b"inb%", ["inbound", "INBOX"], ["INBOUND"]),
        (b"", b"%bo%/INB*", ["INBOX/INBOX"], ["INBOX/inbox"]),
        (b"", b"iNbOx/x", ["INBOX/x"], ["INBOX/X"]),
        (b"in", b"box/*", ["INBOX/a"], ["INBOX"]),
        (b"", b"I%X", ["INBOX"], ["INBOX/X"]),
        (b"", b"", [], ["a", "INBOX"]),
        (b"", b"&AOQ-*", ["ä", "äb"], ["a"]),
        (b"", b"a.b", ["a.b"], ["axb"]),
        (b"", b"[a-z]+", ["[a-z]+"], ["abc"]),
    ],
)
def test_patterns_choose_names(reference: bytes, mailbox: bytes, yes: list[str], no: list[str]) -> None:
    asked = pattern(reference, mailbox)
    assert [name for name in yes if not asked.matches(name)] == []
    assert [name for name in no if asked.matches(name)] == []


@settings(deadline=None, max_examples=300)
@given(st.text("ab/*%", max_size=8), st.text("ab/", max_size=8))
def test_patterns_mean_what_the_rfc_says(wanted: str, name: str) -> None:
    regex = "".join({"*": ".*", "%": "[^/]*"}.get(letter, re.escape(letter)) for letter in wanted)
    assert pattern(b"", wanted.encode()).matches(name) == bool(re.fullmatch(regex, name))


def test_wildcards_without_end_cost_no_more_than_one() -> None:
    """Places are counted, not seconds: each octet of a name is one step, whatever the pattern (CWE-1333)."""
    name = "a" * 500 + "b"
    many = pattern(b"", b"%*" * 450 + b"c")
    assert many.end == 1 << 2
    assert not many.matches(name)
    assert not pattern(b"", b"%a" * 450 + b"c").matches(name)
    assert not pattern(b"", b"*a" * 450 + b"c").matches(name)


def test_a_pattern_has_a_longest_size() -> None:
    half = b"x" * (IMAP_MAILBOX_NAME_OCTETS // 2)
    assert pattern(half, half).matches("x" * IMAP_MAILBOX_NAME_OCTETS)
    with pytest.raises(SyntaxFault):
        pattern(half, half + b"*")
