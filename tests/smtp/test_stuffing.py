from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.smtp.stuffing import ChunkReader, DataReader, stuff, unstuff

MANY = 1_000_000

LETTERS = [
    (b"", b".\r\n"),
    (b"\r\n", b"\r\n.\r\n"),
    (b"Hello\r\n", b"Hello\r\n.\r\n"),
    (b".\r\n", b"..\r\n.\r\n"),
    (b"..\r\n", b"...\r\n.\r\n"),
    (b".a\r\nb.\r\n.c\r\n", b"..a\r\nb.\r\n..c\r\n.\r\n"),
    (b"\r\n.\r\n\r\n.\r\n", b"\r\n..\r\n\r\n..\r\n.\r\n"),
    (b"a\0b\xff\xfe\r\n", b"a\0b\xff\xfe\r\n.\r\n"),
]


@pytest.mark.parametrize(("letter", "data"), LETTERS)
def test_dots_are_stuffed_and_taken_out_again(letter: bytes, data: bytes) -> None:
    assert stuff(letter) == data
    assert unstuff(data) == letter


@pytest.mark.parametrize(("letter", "data"), LETTERS)
def test_data_may_be_cut_anywhere(letter: bytes, data: bytes) -> None:
    behind = data + b"QUIT\r\n"
    for first, second in itertools.combinations_with_replacement(range(len(behind) + 1), 2):
        reader = DataReader(MANY)
        said, rest = b"", b""
        for chunk in (behind[:first], behind[first:second], behind[second:]):
            if reader.finished:
                rest += chunk
            elif chunk:
                said += reader.feed(chunk)
        assert reader.finished
        assert said == letter
        assert reader.rest + rest == b"QUIT\r\n"
        assert reader.size == len(letter)
        assert not reader.bare and not reader.overlong


def test_a_last_line_without_its_end_gets_one() -> None:
    assert stuff(b"a") == b"a\r\n.\r\n"


@pytest.mark.parametrize("letter", [b"a\nb\r\n", b"a\rb\r\n", b"\r", b"\n", b"a\r\n.\n", b"\r\r\n"])
def test_a_bare_cr_or_lf_is_never_sent(letter: bytes) -> None:
    with pytest.raises(ValueError, match="bare"):
        stuff(letter)


@pytest.mark.parametrize("data", [b"", b"a\r\n", b".", b".\r", b"a\r\n.\r\nb", b"a\n.\n", b"..\r\n"])
def test_data_that_do_not_end_are_no_letter(data: bytes) -> None:
    with pytest.raises(ValueError, match="end"):
        unstuff(data)


ENDS = [b"\r\n", b"\n", b"\r", b"\r\r", b"\n\n", b"\r\r\n", b"\0\r\n", b"\r\0\n", b"\r\n\0", b"\n\r", b""]
"""What stands in the place of each CRLF around the dot: CVE-2023-51764, -51765, -51766 and their kin."""


@pytest.mark.parametrize("before", ENDS)
@pytest.mark.parametrize("after", ENDS)
def test_only_crlf_dot_crlf_ends_the_data(before: bytes, after: bytes) -> None:
    data = b"Subject: x\r\n\r\nbody" + before + b"." + after + b"MAIL FROM:<evil@other.test>\r\n"
    truly = before.endswith(b"\r\n") and after.startswith(b"\r\n")
    for cut in range(len(data) + 1):
        reader = DataReader(MANY)
        reader.feed(data[:cut])
        if not reader.finished:
            reader.feed(data[cut:])
        assert reader.finished == truly
        if not reader.finished:
            reader.feed(b"\r\n.\r\n")
        # What stands behind the true end is no longer looked at.
        lone = (before + b"." + (b"" if truly else after)).replace(b"\r\n", b"")
        assert reader.bare == (b"\r" in lone or b"\n" in lone)


@pytest.mark.parametrize("limit", [10, 100])
def test_a_line_is_overlong_from_one_octet_more_on(limit: int) -> None:
    for pad in (b"", b"ab\r\n"):
        for tail in (b"", b"cd\r\n"):
            for octets, overlong in ((limit - 2, False), (limit - 1, True)):
                data = pad + b"x" * octets + b"\r\n" + tail + b".\r\n"
                for step in (1, 3, 7, len(data)):
                    reader = DataReader(limit)
                    for at in range(0, len(data), step):
                        reader.feed(data[at : at + step])
                    assert reader.finished
                    assert reader.overlong == overlong


def test_a_line_without_end_is_overlong_before_it_ends() -> None:
    reader = DataReader(10)
    reader.feed(b"x" * 11)
    assert reader.overlong


BODIES = st.lists(st.sampled_from([b"\r\n", b".", b"..", b"a", b"\xff", b"\0", b" "]), max_size=30).map(b"".join)


@settings(max_examples=100, deadline=None)
@given(BODIES, st.data())
def test_any_letter_comes_out_as_it_went_in_whatever_the_chunks(body: bytes, data: st.DataObject) -> None:
    letter = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    wire = stuff(body) + b"NOOP\r\n"
    assert unstuff(stuff(letter)) == letter
    reader = DataReader(MANY)
    said, at = b"", 0
    while not reader.finished:
        step = data.draw(st.integers(1, 8))
        said += reader.feed(wire[at : at + step])
        at += step
    assert said == letter
    assert reader.rest + wire[at:] == b"NOOP\r\n"
    assert not reader.bare


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"x"]), max_size=14).map(b"".join))
def test_the_reader_and_a_plain_model_agree_on_any_line_ends(data: bytes) -> None:
    whole = b"\r\n" + data
    end = whole.find(b"\r\n.\r\n")
    for step in (1, 2, 3, len(data) + 1):
        reader = DataReader(MANY)
        at = 0
        while at < len(data) and not reader.finished:
            reader.feed(data[at : at + step])
            at += step
        assert reader.finished == (end >= 0)
        if reader.finished:
            assert reader.rest + data[at:] == whole[end + 5 :]
            lone = whole[: end + 2].replace(b"\r\n", b"")
            assert reader.bare == (b"\r" in lone or b"\n" in lone)


# --- chunks of BDAT


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b".", b"\0", b"bc\r\n"]), max_size=30), st.data())
def test_chunks_are_judged_as_the_whole_letter_is_wherever_they_are_cut(
    words: list[bytes], data: st.DataObject
) -> None:
    letter = b"".join(words) + b"\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(letter)), max_size=5)))
    reader, kept = ChunkReader(line_limit=5), b""
    for start, end in itertools.pairwise([0, *cuts, len(letter)]):
        kept += reader.feed(letter[start:end])
    kept += reader.finish()
    assert kept == letter
    assert reader.size == len(letter)
    rest = letter.replace(b"\r\n", b"")
    assert reader.bare == (b"\r" in rest or b"\n" in rest)
    assert reader.nul == (b"\0" in letter)
    if not reader.bare:
        assert reader.overlong == any(len(line) > 5 for line in letter.splitlines(keepends=True))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=5))
def test_chunks_without_lines_are_let_be(chunks: list[bytes]) -> None:
    reader = ChunkReader(line_limit=0)
    assert [reader.feed(each) for each in chunks] == chunks
    assert reader.finish() == b""
    assert reader.size == sum(map(len, chunks))
    assert not (reader.bare or reader.nul or reader.overlong)
