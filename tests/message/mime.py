"""Letters of many parts, ordinary and hostile, and a structure held against itself."""

from __future__ import annotations

from collections.abc import Callable

from postroom.message.bodystructure import Structure, walk
from postroom.message.octets import Octets
from postroom.message.parts import Kind, Part, read_parts
from tests.message import imapsyntax
from tests.message.imapsyntax import Described


def consistent(letter: Octets) -> tuple[Structure, list[Described], tuple[Part, ...]]:
    """A letter's structure, held against itself: it is well-formed and says the same as the map."""
    found = walk(letter)
    described = imapsyntax.bodystructure(found.bodystructure)
    whole, *parts = read_parts(found.parts)
    assert whole == Part((), Kind.MESSAGE, whole.encoding, 0, 0, found.header_size, len(letter))
    # The letter's own multipart, and a letter's within it, have no number of their own.
    numbered = [
        each for each in described if not (each.kind.startswith("multipart/") and _is_content(each, described))
    ]
    assert [part.path for part in parts] == [each.path for each in numbered]
    for part, each in zip(parts, numbered, strict=True):
        assert 0 <= part.header <= part.body <= part.text <= part.end <= len(letter)
        if each.kind.startswith("multipart/"):
            assert part.kind is Kind.MULTIPART
            continue
        assert part.kind is (Kind.MESSAGE if each.envelope is not None else Kind.LEAF)
        assert each.size == part.end - part.body
        if each.lines is not None:
            assert each.lines == letter[part.body : part.end].count(b"\n")
    return found, described, (whole, *parts)


def _is_content(each: Described, described: list[Described]) -> bool:
    """Whether this multipart is what a letter consists of."""
    return not each.path or any(one.path == each.path and one.envelope is not None for one in described)


def text_of(letter: bytes, path: tuple[int, ...]) -> bytes:
    part = next(part for part in read_parts(walk(letter).parts) if part.path == path)
    return letter[part.body : part.end]


def mixed(*parts: bytes, boundary: bytes = b"x", kind: bytes = b"multipart/mixed") -> bytes:
    inside = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return (
        b"Content-Type: " + kind + b"; boundary=" + boundary + b"\r\n\r\n" + inside + b"--" + boundary + b"--\r\n"
    )


def kinds(letter: bytes) -> list[tuple[tuple[int, ...], str]]:
    _, described, _ = consistent(letter)
    return [(each.path, each.kind) for each in described]


def nested(depth: int, innermost: bytes = b"\r\ndeep\r\n") -> bytes:
    letter = innermost
    for level in range(depth):
        letter = mixed(letter, boundary=b"b%d" % level)
    return letter


def nested_letters(depth: int) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"\r\ndeep\r\n"


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "deep multiparts": lambda n: nested(50, b"\r\n" + b"x\r\n" * n),
    "deep letters": lambda n: nested_letters(50) + b"x\r\n" * n,
    "many parts": lambda n: mixed(*[b"\r\nx"] * n),
    "many letters": lambda n: mixed(*[b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n"] * n),
    "many boundaries": lambda n: b"".join(
        b"Content-Type: multipart/a; boundary=%d\r\n\r\n--%d\r\n" % (k, k) for k in range(n)
    ),
    "lookalikes": lambda n: mixed(b"\r\n" + b"\n--xy" * n),
    "lookalikes within each other": lambda n: nested(
        40, b"\r\n" + b"".join(b"\n--b%d-" % (k % 40) for k in range(n))
    ),
    "no end of header": lambda n: b"X: y\r\n" * n,
    "empty parts": lambda n: mixed(*[b""] * n),
    "one long line": lambda n: mixed(b"\r\n" + b"-" * 10 * n),
    "letters of multiparts": lambda n: (b"Content-Type: message/rfc822\r\n\r\n" + mixed(b"")[:45] + b"--x\r\n") * n,
}
