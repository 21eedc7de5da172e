"""BODY made of BODYSTRUCTURE: without its extension data, at every level, and nothing else changed."""

from __future__ import annotations

import pytest

from postroom.imap.server.shortbody import in_first_revision, without_extensions
from postroom.message import structure
from tests.imap.server.zoo import LARGE, ZOO

TEXT = b'("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 5 1'
TEXT_EXTENSION = b' NIL ("ATTACHMENT" ("FILENAME" "a b")) ("en" "de") "http://example.test/"'
IMAGE = b'("IMAGE" "GIF" NIL "<id@example.test>" "A picture" "BASE64" 300'
MULTIPART_EXTENSION = b' ("BOUNDARY" "b") ("INLINE" NIL) NIL NIL'
ENVELOPE = b'("Tue" "Subject (" ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL NIL NIL)'


@pytest.mark.parametrize(
    ("whole", "short"),
    [
        (TEXT + TEXT_EXTENSION + b")", TEXT + b")"),
        (TEXT + b")", TEXT + b")"),
        (IMAGE + b' "md5" NIL NIL NIL)', IMAGE + b")"),
        (IMAGE + b' "md5" ("ATTACHMENT" NIL) NIL NIL)', IMAGE + b")"),
        (
            b"(" + TEXT + TEXT_EXTENSION + b")" + IMAGE + b' NIL NIL NIL NIL) "MIXED"' + MULTIPART_EXTENSION + b")",
            b"(" + TEXT + b")" + IMAGE + b') "MIXED")',
        ),
        (
            b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 99 ' + ENVELOPE + b" (" + TEXT + b" NIL NIL NIL NIL)"
            b' "MIXED"' + MULTIPART_EXTENSION + b") 7 NIL NIL NIL NIL)",
            b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 99 ' + ENVELOPE + b" (" + TEXT + b') "MIXED") 7)',
        ),
        (
            b'("TEXT" "PLAIN" NIL {7}\r\n)" ( \\\r "a \\" \\\\ )" "7BIT" 5 1 NIL NIL NIL NIL)',
            b'("TEXT" "PLAIN" NIL {7}\r\n)" ( \\\r "a \\" \\\\ )" "7BIT" 5 1)',
        ),
    ],
)
def test_extension_data_is_cut_off(whole: bytes, short: bytes) -> None:
    assert without_extensions(whole) == short


@pytest.mark.parametrize(
    "text", [b"", b"NIL", b"(", b"(()", b"())", b"() ()", b'("TEXT', b"({9}\r\nabc)", b"({x}\r\n)"]
)
def test_what_is_no_body_structure_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no body structure"):
        without_extensions(text)


GLOBAL = b'("MESSAGE" "global" ("A" "b") NIL NIL "8BIT" 99'
WITHIN = b" " + ENVELOPE + b" " + TEXT + b" NIL NIL NIL NIL) 7"


def test_the_first_revision_knows_no_letter_but_rfc822() -> None:
    rfc822 = b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 99 ' + ENVELOPE + b" %b 7 NIL NIL NIL NIL)"
    whole, plain = GLOBAL + WITHIN + b" NIL NIL NIL NIL)", GLOBAL + b" NIL NIL NIL NIL)"
    mixed = b"(" + TEXT + b" NIL NIL NIL NIL)%b%b" + b' "MIXED"' + MULTIPART_EXTENSION + b")"
    for structure_of in (lambda each: each, lambda each: rfc822 % each, lambda each: mixed % (each, rfc822 % each)):
        assert in_first_revision(structure_of(whole)) == structure_of(plain)
    assert without_extensions(in_first_revision(mixed % (whole, whole))).count(GLOBAL + b")") == 2


def test_what_has_no_such_letter_stays_as_it_is() -> None:
    named = b'("TEXT" "PLAIN" ("NAME" "global") NIL NIL "7BIT" 5 1 NIL ("INLINE" ("A" "b")) NIL NIL)'
    for same in (
        named,
        b"(" + named + b' "MIXED"' + MULTIPART_EXTENSION + b")",
        structure.parse(LARGE).bodystructure,
    ):
        assert in_first_revision(same) == same


def test_a_letter_of_utf8_is_a_part_like_any_other_however_its_type_is_spelled() -> None:
    letter = b"Content-Type: Message/Global\r\n\r\nSubject: Gr\xc3\xbc\xc3\x9fe\r\n\r\ntext\r\n"
    assert in_first_revision(structure.parse(letter).bodystructure) == (
        b'("Message" "global" NIL NIL NIL "7bit" 26 NIL NIL NIL NIL)'
    )


def test_depth_costs_no_stack() -> None:
    depth = 5000
    whole = b"(" * depth + TEXT + b" NIL NIL NIL NIL)" + b' "MIXED" NIL NIL NIL NIL)' * depth
    assert without_extensions(whole) == b"(" * depth + TEXT + b")" + b' "MIXED")' * depth


def fields_of(body: bytes) -> list[object]:
    """The structure as nested lists, read octet by octet."""
    stack: list[list[object]] = [[]]
    at = 0
    while at < len(body):
        octet = body[at : at + 1]
        if octet == b"(":
            stack.append([])
        elif octet == b")":
            closed = stack.pop()
            stack[-1].append(closed)
        elif octet == b'"':
            end = at + 1
            while body[end : end + 1] != b'"':
                end += 1 + (body[end : end + 1] == b"\\")
            stack[-1].append(body[at : end + 1])
            at = end
        elif octet == b"{":
            head = body.index(b"\r\n", at)
            end = head + 2 + int(body[at + 1 : head - 1])
            stack[-1].append(body[at:end])
            at = end - 1
        elif octet != b" ":
            end = at
            while body[end : end + 1] not in (b" ", b"(", b")", b""):
                end += 1
            stack[-1].append(body[at:end])
            at = end - 1
        at += 1
    assert len(stack) == 1
    return stack[0]


def shortened(fields: list[object]) -> list[object]:
    """RFC 3501 9: body-type-mpart, body-type-msg, body-type-text and body-type-basic, without their body-ext."""
    if isinstance(fields[0], list):
        kept: list[object] = []
        for each in fields:
            if not isinstance(each, list):
                return [*kept, each]
            kept.append(shortened(each))
    if fields[0] == b'"message"' or fields[0] == b'"MESSAGE"':
        inner = fields[8]
        if isinstance(fields[7], list) and isinstance(inner, list):
            return [*fields[:8], shortened(inner), fields[9]]
    return fields[:8] if str(fields[0]).lower() == "b'\"text\"'" else fields[:7]


@pytest.mark.parametrize("name", [*ZOO, "large"])
def test_real_letters_keep_all_that_is_no_extension(name: str) -> None:
    whole = structure.parse((ZOO | {"large": LARGE})[name]).bodystructure
    (fields,) = fields_of(whole)
    assert isinstance(fields, list)
    assert fields_of(without_extensions(whole)) == [shortened(fields)]
