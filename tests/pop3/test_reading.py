from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroom.message.octets import crlf_size
from postroom.net.turns import Pace
from postroom.pop3.grammar import Lines
from postroom.pop3.reading import CHUNK, AsStored, Edited, Plan, plan
from postroom.store.interface import Unreadable
from tests.pop3.binaries import ALL_OCTETS, leaves, multipart, part
from tests.pop3.post import PREFIX, Post


def sent(post: Post, letter: bytes, *, prefix: bytes = PREFIX) -> tuple[bytes, Plan]:
    """What a client would store, and the plan by which it came."""

    async def run() -> tuple[bytes, Plan]:
        filed = post.shelf.put(letter, prefix=prefix)
        made = await plan(post.service.store, filed, Pace(None))
        reading = Edited(post.service.store, filed, made)
        lines, octets = Lines(), b""
        while chunk := await reading.chunk():
            assert len(chunk) <= 2 * CHUNK
            octets += lines.feed(chunk)
        octets += lines.finish()
        assert octets.endswith(b"\r\n") or not octets
        assert b"\r\n.\r\n" not in b"\r\n" + octets
        octets = (b"\r\n" + octets).replace(b"\r\n..", b"\r\n.")[2:]
        assert len(octets) == made.size
        assert octets.startswith(prefix)
        return octets[len(prefix) :], made

    return asyncio.run(run())


def test_a_binary_letter_of_one_part_comes_as_base64(post: Post) -> None:
    letter = b"Subject: one\r\n" + part(ALL_OCTETS)
    octets, made = sent(post, letter)
    head, _, body = octets.partition(b"\r\n\r\n")
    assert head == b"Subject: one\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64"
    assert max(map(len, body.split(b"\r\n"))) == 76
    assert leaves(octets) == [ALL_OCTETS]
    assert len(made.edits) == 2


def test_of_many_parts_those_that_need_it_are_encoded_and_nothing_else_is_touched(post: Post) -> None:
    text = part(b"plain text\r\n.\r\n..dots\r\n", b"8bit", b"text/plain")
    fine = part(b"called binary, and lines\r\n", kind=b"text/plain")
    already = part(b"AAEC\r\n", b"base64")
    binary, inner = part(ALL_OCTETS), part(b"Subject: in\r\n" + part(b"in\nside\0"), kind=b"message/rfc822")
    octets, made = sent(post, multipart(text, fine, binary, already, inner, binary))
    wanted = [b"plain text\r\n.\r\n..dots\r\n", b"called binary, and lines\r\n", ALL_OCTETS, b"\0\1\2"]
    assert leaves(octets) == [*wanted, b"in\nside\0", ALL_OCTETS]
    assert len(made.edits) == 6
    for same in (text, fine, already):
        assert same in octets
    # The letter within the letter is still called binary: base64 is not for it.
    assert octets.count(b"Encoding: binary") == 2
    assert octets.count(b"Encoding: base64") == 4


def test_a_letter_that_lines_can_carry_comes_octet_for_octet(post: Post) -> None:
    letter = multipart(part(b"text\r\n", b"binary"), part(b"y" * 5000 + b"\r\n", b"8bit"), part(b""))
    octets, made = sent(post, letter)
    assert (octets, made.edits) == (letter, ())


def test_what_does_not_call_itself_binary_is_lines_whatever_is_in_it(post: Post) -> None:
    octets, made = sent(post, b"Subject: x\r\n\r\na\0b\rc\nd", prefix=b"")
    assert (octets, made.edits) == (b"Subject: x\r\n\r\na\0b\r\nc\r\nd\r\n", ())


@pytest.mark.parametrize("size", [1, 56, 57, 58, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_a_binary_part_of_any_size_is_one_run_of_base64(post: Post, size: int) -> None:
    body = (ALL_OCTETS * (size // len(ALL_OCTETS) + 1))[:size]
    for letter in (part(body), multipart(part(body), end=b"")):
        octets, made = sent(post, letter)
        assert leaves(octets) == [body]
        assert made.edits


def test_a_part_without_an_end_and_one_that_ends_the_letter(post: Post) -> None:
    for end in (b"a\0b", b"a\0b\r\n", b"a\0b\n", b"a\0b\r", b"no line end"):
        octets, _ = sent(post, multipart(part(b"x\0"), part(end)).removesuffix(b"\r\n--=_mark--\r\n"))
        assert leaves(octets) == [b"x\0", end]


LEAF = st.one_of(
    st.binary(min_size=1, max_size=300),
    st.text("a\r\n\0.", min_size=1, max_size=60).map(str.encode),
    st.just(b"line\r\n" * 3),
).filter(lambda body: b"--=_mark" not in body)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LEAF, min_size=1, max_size=4), st.booleans())
def test_any_binary_parts_arrive_as_they_were_and_their_size_is_told(
    post: Post, bodies: list[bytes], ended: bool
) -> None:
    octets, made = sent(post, multipart(*map(part, bodies), end=b"\r\n" * ended))
    assert leaves(octets) == bodies
    if not made.edits:
        assert made.size == len(PREFIX) + crlf_size(multipart(*map(part, bodies), end=b"\r\n" * ended))


def test_a_big_letter_is_never_in_memory(post: Post) -> None:
    body = b"\0" * (40 * CHUNK)
    octets, _ = sent(post, part(body))
    assert leaves(octets) == [body]
    # Looked through once and sent once, a chunk at a time.
    assert 80 <= post.shelf.reads <= 90


def test_a_header_of_a_megabyte_is_looked_at_and_no_more(post: Post) -> None:
    long = b"X: " + b"y" * 1_100_000 + b"\r\n"
    octets, made = sent(post, long + part(b"a\0"))
    assert made.edits == ()
    assert octets == long + part(b"a\0") + b"\r\n"


def test_a_letter_that_has_lost_octets_is_said_to_be_unreadable(post: Post) -> None:
    filed = post.shelf.put(part(ALL_OCTETS * 100))
    key = next(iter(post.shelf.octets))
    post.shelf.octets[key] = post.shelf.octets[key][:-50_000]
    with pytest.raises(Unreadable):
        asyncio.run(plan(post.service.store, filed, Pace(None)))


def test_who_wants_the_beginning_reads_no_more_of_it_at_first(post: Post) -> None:
    async def run() -> None:
        filed = post.shelf.put(b"x" * (2 * CHUNK))
        for first, wanted in ((1, 1), (0, 1), (10**20, CHUNK)):
            reading = AsStored(post.service.store, filed, first)
            assert len(await reading.chunk()) == wanted
            assert len(await reading.chunk()) == CHUNK

    asyncio.run(run())
