"""What SEARCH looks at: fields, headers and the text of parts, as people read them."""

from __future__ import annotations

import base64
import mmap
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message import text
from postroom.message.octets import Octets
from postroom.message.structure import parse
from postroom.message.text import body_text, folded, header_text
from postroom.net.limits import HEADER_FIELDS, HEADER_OCTETS


def body(letter: Octets) -> str:
    return body_text(letter, parse(letter).parts)


def letter(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


def mixed(*parts: bytes) -> bytes:
    inside = b"".join(b"--x\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + inside + b"--x--\r\n"


# --- whole headers


def test_what_of_a_header_is_beyond_the_limits_is_not_looked_at() -> None:
    many = b"a: 1\r\n" * (HEADER_FIELDS - 1)
    assert header_text(many + b"b: 2\r\n").endswith("a: 1\nb: 2")
    assert "b: 2" not in header_text(many + b"a: 1\r\nb: 2\r\n")
    assert "b: 2" not in header_text(b"a: ".ljust(HEADER_OCTETS, b"x") + b"\r\nb: 2\r\n")


def test_a_header_is_its_names_and_decoded_values() -> None:
    header = b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nX-Long: a\r\n  b\r\n\r\n"
    assert header_text(header) == "From: Jürgen <j@example.org>\nX-Long: a  b\n\n"
    assert header_text(b"Subject: plain\r\n") == "Subject: plain\n"


# --- text of parts


def test_the_body_of_a_plain_letter_is_its_text_without_its_header() -> None:
    assert body(letter("Subject: secret", "", "Hello", " there")) == "Hello\r\n there"
    assert body(b"Subject: x\r\n") == ""
    assert body(b"") == ""


@pytest.mark.parametrize(
    ("head", "octets", "wanted"),
    [
        ("text/plain; charset=iso-8859-1", b"Gr\xfc\xdfe", "Grüße"),
        ("text/plain; charset=utf-8", "Grüße".encode(), "Grüße"),
        ("text/plain; charset=UTF-16BE", "Grüße".encode("utf-16-be"), "Grüße"),
        ("text/plain; charset=iso-2022-jp", "手紙".encode("iso-2022-jp"), "手紙"),
        ("text/plain; charset=hex", b"4142", "4142"),
        ("text/plain; charset=", "ü".encode(), "ü"),
        ("text/html", b"<p>Hello</p>", "Hello"),
        ("Text/HTML; charset=iso-8859-1", b"<p>Gr\xfc&szlig;e", "Grüße"),
        ("text/x-html", b"<p>Hello</p>", "<p>Hello</p>"),
        ("nonsense", b"Hello", "Hello"),
        ("multipart/mixed", b"no boundary", "no boundary"),
    ],
)
def test_charsets_are_undone(head: str, octets: bytes, wanted: str) -> None:
    assert body(b"Content-Type: " + head.encode() + b"\r\n\r\n" + octets) == wanted


@pytest.mark.parametrize(
    ("encoding", "octets"),
    [
        (b"base64", base64.encodebytes("Grüße aus Köln".encode())),
        (b"BASE64", base64.encodebytes("Grüße aus Köln".encode()).replace(b"\n", b"\r\n")),
        (b"quoted-printable", b"Gr=C3=BC=C3=\r\n=9Fe aus K=C3=B6ln"),
        (b"8bit", "Grüße aus Köln".encode()),
        (b"x-unknown", "Grüße aus Köln".encode()),
    ],
)
def test_transfer_encodings_are_undone(encoding: bytes, octets: bytes) -> None:
    assert body(b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + octets).rstrip() == "Grüße aus Köln"


def test_every_text_of_a_multipart_is_read_and_files_by_their_names() -> None:
    found = body(
        mixed(
            b"\r\nfirst",
            b"Content-Type: text/html\r\n\r\n<b>second</b>",
            b"Content-Type: application/pdf; name=old.pdf\r\n\r\nhidden",
            b"Content-Type: image/png\r\n"
            b"Content-Disposition: attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe.png\r\n\r\nhidden",
            b"Content-Type: image/png\r\n"
            b'Content-Disposition: inline; filename="=?utf-8?q?K=C3=B6ln?="\r\n\r\nhidden',
            b"Content-Type: audio/x\r\n\r\nhidden",
        )
    )
    assert found == "first\nsecond\nold.pdf\nGrüße.png\nKöln"


def test_texts_and_letters_that_are_files_have_their_names_read_too() -> None:
    found = body(
        mixed(
            b"Content-Type: text/csv; name=table.csv\r\n\r\n1,2",
            b"Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=x.eml\r\n\r\nTo: a\r\n\r\n",
        )
    )
    assert found == "table.csv\n1,2\nx.eml\nTo: a\n\n"


def test_a_letter_within_the_letter_has_its_header_and_its_text_read() -> None:
    inner = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\ninner text"
    found = body(mixed(b"Content-Type: message/rfc822\r\n\r\n" + inner))
    assert found == "Subject: Grüße\n\n\ninner text"


def test_parts_of_a_digest_are_letters() -> None:
    digest = b"Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: inner\r\n\r\ntext\r\n--x--\r\n"
    assert body(digest) == "Subject: inner\n\n\ntext"


def test_a_letter_mapped_from_its_file_reads_the_same(tmp_path: Path) -> None:
    octets = mixed(b"\r\nfirst", b"Content-Transfer-Encoding: base64\r\n\r\nc2Vjb25k")
    path = tmp_path / "letter"
    path.write_bytes(octets)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert body(mapped) == body(octets) == "first\nsecond"


def test_only_octets_that_matter_are_asked_for_and_a_page_is_read_with_pauses() -> None:
    octets = mixed(
        b"Content-Type: image/png\r\n\r\n" + b"x" * 10_000,
        b"Content-Type: text/html\r\n\r\n" + b"<p>a" * 5000,
        b"\r\nlast",
    )
    steps = text.body_steps(parse(octets).parts)
    asked = pauses = 0
    wanted = next(steps)
    with pytest.raises(StopIteration) as done:
        while True:
            if wanted is None:
                pauses += 1
                wanted = steps.send(b"")
            else:
                asked += wanted[1] - wanted[0]
                wanted = steps.send(octets[slice(*wanted)])
    assert done.value.value == body(octets) == "\n".join([*["a"] * 5000, "last"])
    assert pauses > 1
    assert 20_000 < asked < 21_000


def test_only_so_many_characters_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "SEARCH_TEXT_CHARACTERS", 10)
    assert body(b"\r\n" + b"0123456789") == "0123456789"
    assert body(b"\r\n" + b"0123456789x") == "0123456789"
    assert body(mixed(b"\r\n0123456", b"\r\nab", b"\r\nlost")) == "0123456\nab"
    assert body(mixed(b"\r\n0123456", b"\r\nabc")) == "0123456\nab"
    assert body(b"\r\n" + "ü".encode() * 11) == "ü" * 10


def test_text_is_compared_without_its_case() -> None:
    assert folded("GRÜSSE") == folded("grüsse")
    assert folded("a  b") != folded("a b")


def test_a_field_folded_with_a_tab_is_found_with_a_space() -> None:
    text = header_text(b"Subject: a long\r\n\tSubject\r\n")
    assert folded("LONG subject") in folded(text)


# --- hostile letters


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=x\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/plain; charset=utf-16\r\n",
        b"Content-Type: image/png; name*0*=x''%ff; name*1=a\r\n",
        b'Content-Disposition: attachment; filename="=?b?b?="\r\n',
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Subject: =?utf-7?q?+2D?= =?hz?b?fns=?=\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"--x\r\n",
        b"--x--\r\n",
        b"=?utf-8?q?",
        b"=",
        b"\x00\xff\x80",
        b": ",
        b"text",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES | st.binary(max_size=6), max_size=40).map(b"".join))
def test_any_octets_give_an_answer(octets: bytes) -> None:
    assert isinstance(body(octets), str)
    assert isinstance(header_text(octets), str)


@pytest.mark.parametrize(
    "charset", ["utf-7", "hz", "iso-2022-jp", "iso-2022-kr", "utf-32", "gb18030", "cp932", "big5"]
)
def test_any_octets_of_any_charset_give_an_answer(charset: str) -> None:
    noise = random.Random(charset).randbytes(5000)
    assert isinstance(body(f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + noise), str)
