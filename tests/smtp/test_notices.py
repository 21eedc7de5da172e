"""What is shown of a letter on a terminal: bounded, decoded, for any octets."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.net.limits import TERMINAL_CHARACTERS, TERMINAL_FIELD_CHARACTERS, TERMINAL_PARTS
from postroom.smtp.notices import Notice, notice


def read(letter: bytes) -> Notice:
    return notice("a.1", "jo@other.test", letter)


def made(text: str = "Hallo\n\nzwei\n", charset: str = "utf-8") -> EmailMessage:
    letter = EmailMessage()
    letter["From"] = "Jörg <joerg@other.test>"
    letter["Subject"] = "Grüße"
    letter.set_content(text, charset=charset)
    return letter


def test_fields_and_text_are_decoded() -> None:
    found = read(made("Schöne Grüße\nzwei\n").as_bytes(policy=SMTP))
    assert (found.from_, found.subject) == ("Jörg <joerg@other.test>", "Grüße")
    assert found.text == "Schöne Grüße\nzwei\n"
    assert found.first_line == "Schöne Grüße"
    assert found.whole


def test_other_charsets_are_read() -> None:
    assert read(made("Ünter\n", "iso-8859-1").as_bytes(policy=SMTP)).text == "Ünter\n"


def test_a_letter_of_several_parts_shows_its_plain_text_and_is_not_whole() -> None:
    letter = made("plain\n")
    letter.add_alternative("<p>html</p>", subtype="html")
    letter.add_attachment(b"123", maintype="image", subtype="png", filename="x.png")
    found = read(letter.as_bytes(policy=SMTP))
    assert (found.text, found.whole) == ("plain\n", False)


def test_html_is_shown_as_text_and_is_not_whole() -> None:
    letter = EmailMessage()
    letter.set_content("<p>Hello <a href='x'>there</a></p>", subtype="html")
    assert (read(letter.as_bytes(policy=SMTP)).text, read(letter.as_bytes(policy=SMTP)).whole) == (
        "Hello there",
        False,
    )


def test_a_picture_alone_has_no_text_and_is_not_whole() -> None:
    letter = EmailMessage()
    letter["Subject"] = "Look"
    letter.set_content(b"123", maintype="image", subtype="png")
    found = read(letter.as_bytes(policy=SMTP))
    assert (found.text, found.first_line, found.whole) == ("", "Look", False)


@pytest.mark.parametrize(
    "letter", [b"Lunch is ready.\r\n", b"Lunch: now\r\n", b"\r\nLunch\r\n", b"no\r\n\r\nLunch\r\n"]
)
def test_a_line_without_a_header_is_the_text(letter: bytes) -> None:
    found = read(letter)
    assert found.text.endswith(letter.decode().replace("\r\n", "\n").lstrip("\n"))
    assert found.first_line == letter.decode().split()[0] or found.first_line.startswith("Lunch")
    assert found.whole


def test_a_header_without_a_text_shows_the_subject() -> None:
    assert read(b"Subject: Lunch\r\n\r\n").first_line == "Lunch"
    assert read(b"Subject: Lunch\r\n").first_line == "Lunch"
    assert read(b"").first_line == ""


@pytest.mark.parametrize("over", [0, 1, TERMINAL_CHARACTERS * 99])
def test_the_text_is_bounded(over: int) -> None:
    found = read(b"Subject: x\r\n\r\n" + b"y" * (TERMINAL_CHARACTERS + over))
    assert len(found.text) == TERMINAL_CHARACTERS
    assert found.whole == (over == 0)
    assert len(found.first_line) == TERMINAL_FIELD_CHARACTERS


@pytest.mark.parametrize("over", [0, 1, TERMINAL_FIELD_CHARACTERS * 99])
def test_fields_are_bounded(over: int) -> None:
    value = b"s" * (TERMINAL_FIELD_CHARACTERS + over)
    assert len(read(b"Subject: " + value + b"\r\n\r\n").subject) == TERMINAL_FIELD_CHARACTERS
    # A fold in each place, and encoded words, change nothing.
    words = b"\r\n ".join([b"=?utf-8?q?" + b"=C3=BC" * 10 + b"?="] * ((TERMINAL_FIELD_CHARACTERS + over) // 10 + 1))
    assert read(b"Subject: " + words + b"\r\n\r\n").subject.startswith("ü" * 100)
    assert len(read(b"Subject: " + words + b"\r\n\r\n").subject) <= TERMINAL_FIELD_CHARACTERS


@pytest.mark.parametrize(
    ("before", "text"), [(TERMINAL_PARTS - 1, "here"), (TERMINAL_PARTS, ""), (TERMINAL_PARTS * 80, "")]
)
def test_the_text_is_looked_for_among_so_many_parts(before: int, text: str) -> None:
    other = b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n" * before
    letter = (
        b"Content-Type: multipart/mixed; boundary=b\r\nSubject: s\r\n\r\n" + other + b"--b\r\n\r\nhere\r\n--b--\r\n"
    )
    assert (read(letter).text, read(letter).whole) == (text, False)


@given(st.binary(max_size=300), st.sampled_from([b"", b"Subject: ", b"Content-Type: text/html\r\n\r\n"]))
def test_any_octets_give_a_notice_that_json_carries(octets: bytes, before: bytes) -> None:
    found = read(before + octets)
    assert Notice.from_json(found.to_json()) == found
    assert "\r" not in found.text


def test_what_is_no_notice_is_refused() -> None:
    with pytest.raises(ValueError, match="not a notice"):
        Notice.from_json({"id": 1})
