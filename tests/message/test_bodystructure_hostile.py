"""Hostile letters: every limit and one more, bounded work, answers that are well-formed all the same."""

from __future__ import annotations

import pytest

from postroom.message import bodystructure as module
from postroom.message.bodystructure import walk
from postroom.message.headers import header_end
from postroom.message.octets import Octets, count_lines, find
from postroom.message.parts import read_parts
from postroom.net.limits import LETTER_SCANS, MIME_DEPTH, MIME_PARTS
from tests.message.mime import HOSTILE, consistent, kinds, mixed, nested, nested_letters

# --- hostile letters: every limit, and one more


def test_the_deepest_multipart_and_one_deeper() -> None:
    assert kinds(nested(MIME_DEPTH))[-1] == ((1,) * MIME_DEPTH, "text/plain")
    found = kinds(nested(MIME_DEPTH + 1))
    assert len(found) == MIME_DEPTH + 1
    assert found[-1] == ((1,) * MIME_DEPTH, "application/octet-stream")


def test_the_deepest_letter_in_a_letter_and_one_deeper() -> None:
    found = kinds(nested_letters(MIME_DEPTH))
    assert [kind for _, kind in found] == ["message/rfc822"] * MIME_DEPTH + ["text/plain"]
    found = kinds(nested_letters(MIME_DEPTH + 1))
    assert [kind for _, kind in found] == ["message/rfc822"] * MIME_DEPTH + ["application/octet-stream"]


def test_nothing_of_what_lies_too_deep_is_lost() -> None:
    letter = nested(MIME_DEPTH + 5)
    last = read_parts(walk(letter).parts)[-1]
    assert b"deep" in letter[last.body : last.end]


def test_a_thousand_levels_are_no_recursion() -> None:
    consistent(nested_letters(3000))
    consistent(b"".join(b"Content-Type: multipart/a; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(3000)))


@pytest.mark.parametrize("more", [-1, 0, 1, 100])
def test_as_many_parts_as_may_be_and_one_more(more: int) -> None:
    # The letter itself is one.
    count = MIME_PARTS - 1 + more
    letter = mixed(*[b"\r\n%d" % number for number in range(count)])
    parts = consistent(letter)[2]
    assert len(parts) == min(count, MIME_PARTS - 1) + 1
    if more > 0:
        assert letter[parts[-1].body : parts[-1].end].endswith(b"%d\r\n--x--\r\n" % (count - 1))


def test_parts_of_parts_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIME_PARTS", 10)
    inner = mixed(*[b"\r\nx"] * 5, boundary=b"in")
    letter = mixed(*[inner] * 5, boundary=b"out")
    _, described, parts = consistent(letter)
    assert len(parts) <= 10
    assert any(each.kind == "application/octet-stream" for each in described)
    letter = mixed(*[b"Content-Type: message/rfc822\r\n\r\n\r\n"] * 8, boundary=b"out")
    consistent(letter)


def test_a_flood_of_lookalikes_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BOUNDARY_LINES", 10)

    def letter(lookalikes: int) -> bytes:
        return mixed(b"\r\n" + b"\n--xy" * lookalikes, b"\r\nseen")

    assert len(consistent(letter(9))[2]) == 3
    assert len(consistent(letter(10))[2]) == 2


def test_headers_of_all_parts_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    part = b"Content-Type: message/rfc822\r\nX: " + b"x" * 1000 + b"\r\n\r\nSubject: y\r\n\r\n"
    letter = mixed(*[part] * 10)
    assert sum(kind == "message/rfc822" for _, kind in kinds(letter)) == 10
    monkeypatch.setattr(module, "LETTER_HEADERS_OCTETS", 5000)
    found = [kind for _, kind in kinds(letter)]
    # What is beyond is not looked at, and so is what a part is that doesn't say.
    assert found.count("message/rfc822") in (4, 5)
    assert len(found) >= 11


def test_a_header_is_looked_at_as_far_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEADER_OCTETS", 100)
    field = b"Content-Type: a/b\r\n"
    for filling, kind in ((100 - len(field), "a/b"), (101, "text/plain")):
        letter = b"X: " + b"x" * (filling - 5) + b"\r\n" + field + b"\r\nbody"
        assert kinds(letter) == [((1,), kind)]
        assert walk(letter).header_size == filling + len(field) + 2


class Counted:
    """How many octets of a letter the walk searched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.octets = 0

        def counting_find(data: Octets, needle: bytes, start: int, stop: int) -> int:
            at = find(data, needle, start, stop)
            self.octets += (stop if at < 0 else at) - start
            return at

        def counting_lines(data: Octets, start: int, stop: int) -> int:
            self.octets += stop - start
            return count_lines(data, start, stop)

        def counting_end(data: Octets, start: int, stop: int) -> int:
            at = header_end(data, start, stop)
            self.octets += at - start
            return at

        monkeypatch.setattr(module, "find", counting_find)
        monkeypatch.setattr(module, "count_lines", counting_lines)
        monkeypatch.setattr(module, "header_end", counting_end)


@pytest.mark.parametrize("name", HOSTILE)
def test_twice_as_long_a_letter_is_twice_the_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LETTER_SCAN_OCTETS", 0)
    make, work = HOSTILE[name], []
    for size in (2000, 4000):
        letter = make(size)
        with monkeypatch.context() as patch:
            counted = Counted(patch)
            answer = walk(letter).bodystructure
        # Whatever the letter: a few looks at each octet, and an answer that is not much longer than the letter.
        assert counted.octets <= 2 * (LETTER_SCANS + 2) * len(letter)
        assert len(answer) <= 40 * len(letter)
        work.append(counted.octets / len(letter))
    assert work[1] <= 1.5 * work[0] + 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_letter_has_a_wellformed_structure(name: str) -> None:
    for size in (1, 2, 700):
        consistent(HOSTILE[name](size))


def test_where_the_octets_to_search_are_spent_parts_are_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LETTER_SCAN_OCTETS", 0)
    letter = nested(49, b"\r\n" + b"x\r\n" * 5000)
    found = kinds(letter)
    assert found[-1][1] == "application/octet-stream"
    assert LETTER_SCANS / 2 < len(found) <= LETTER_SCANS + 2
