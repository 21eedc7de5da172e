"""Varied letters for real clients: the same number always gives the same octets.

Each is a complete message of RFC 5322 with CRLF line ends, no NUL, no bare CR or LF, lines under 998 octets, and a
Message-ID of its own and a Date, no Bcc; so every client, and submission, may carry it unchanged, and hashes tell
whether they did.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

_TEXT = "letter post room parcel stamp address sealed envelope Grüße café naïve почта 郵便 手紙 ✉ string wax"
_WORDS = tuple(_TEXT.split())


def letters(count: int = 500) -> list[bytes]:
    """The first `count` letters."""
    return [letter(number) for number in range(count)]


def letter(number: int) -> bytes:
    """One letter."""
    made = _KINDS[number % len(_KINDS)](number, random.Random(number))
    assert made.count(b"\r") == made.count(b"\n") == made.count(b"\r\n")
    return made


def _head(number: int, subject: str = "", more: str = "") -> bytes:
    lines = [
        "From: Alice Example <alice@example.test>",
        'To: "Bob, the other" <bob@example.test>',
        f"Subject: {subject or f'Letter number {number}'}",
        f"Date: {1 + number % 28} Nov 2026 {number % 24:02}:{number % 60:02}:{number % 60:02} +0100",
        f"Message-ID: <letter-{number}@letters.example.test>",
    ]
    return ("\r\n".join(lines) + "\r\n" + more).encode()


def _text(random_: random.Random, lines: int) -> str:
    return "\r\n".join(
        " ".join(random_.choice(_WORDS) for _ in range(random_.randrange(0, 12))) for _ in range(lines)
    )


def _plain(number: int, random_: random.Random) -> bytes:
    body = _text(random_, 20).encode("ascii", "replace")
    return _head(number) + b"\r\n" + body + b"\r\n"


def _eight_bit(number: int, random_: random.Random) -> bytes:
    more = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    return _head(number, more=more) + b"\r\n" + _text(random_, 30).encode() + b"\r\n"


def _latin(number: int, random_: random.Random) -> bytes:
    more = (
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n"
    )
    return _head(number, "=?iso-8859-1?Q?Gr=FC=DFe?=", more) + b"\r\n\xfc\xdf\xe9 \xa0\xff\r\n" * 3


def _dots(number: int, random_: random.Random) -> bytes:
    lines = [b".", b"..", b"...", b".x", b"", b"From here on", b">From there", b"From ", b" .", b"."]
    random_.shuffle(lines)
    return _head(number) + b"\r\n" + b"\r\n".join(lines) + b"\r\n"


def _spaces(number: int, random_: random.Random) -> bytes:
    return _head(number) + b"\r\ntrailing spaces   \r\ntabs\t\t\r\n   \r\n\t\r\n\r\n\r\n\r\n"


def _empty(number: int, random_: random.Random) -> bytes:
    return _head(number) + b"\r\n"


def _long_lines(number: int, random_: random.Random) -> bytes:
    return _head(number) + b"\r\n" + b"".join(b"%c" % (97 + n % 26) * 990 + b"\r\n" for n in range(12))


def _many_lines(number: int, random_: random.Random) -> bytes:
    return _head(number) + b"\r\n" + b"x\r\n\r\n" * 2500


def _folded(number: int, random_: random.Random) -> bytes:
    references = "\r\n ".join(f"<reference-{n}@letters.example.test>" for n in range(60))
    to = ",\r\n\t".join(f"Person {n} <person{n}@example.test>" for n in range(80))
    return _head(number, more=f"References: {references}\r\nCc: {to}\r\n") + b"\r\nfolded\r\n"


def _subject(number: int, random_: random.Random) -> bytes:
    encoded = base64.b64encode("これは長い件名です".encode()).decode()
    subjects = (
        "=?utf-8?B?" + encoded + "?=\r\n =?utf-8?B?" + encoded + "?=",
        "Re: [list] Fwd: re: the subject (fwd)",
        '"quotes" \\backslash\\ {3} %s (comment',
        "=?koi8-r?B?8NLJ18XU?= and =?utf-8?Q?=F0=9F=93=AE?=",
    )
    return _head(number, subjects[number // len(_KINDS) % len(subjects)]) + b"\r\nsubject\r\n"


def _addresses(number: int, random_: random.Random) -> bytes:
    more = (
        'Reply-To: "quoted \\"name\\"" (a (nested) comment) <"odd local"@example.test>\r\n'
        "Sender: undisclosed-recipients:;\r\nCc: friends: a@example.test, B <b@example.test>;, c@example.test\r\n"
    )
    return _head(number, more=more) + b"\r\naddresses\r\n"


def _bare(number: int, random_: random.Random) -> bytes:
    date = b"Mon, 23 Nov 2026 09:00:00 +0000"
    return b"Date: %b\r\nMessage-ID: <letter-%d@letters.example.test>\r\n\r\nno other field\r\n" % (date, number)


def _mime(number: int, random_: random.Random, build: Callable[[EmailMessage, random.Random], None]) -> bytes:
    message = EmailMessage(policy=SMTPUTF8)
    build(message, random_)
    message["From"] = "Alice Example <alice@example.test>"
    message["To"] = "Bob Example <bob@example.test>"
    message["Subject"] = f"Letter number {number} ✉"
    message["Date"] = "Mon, 23 Nov 2026 09:00:00 +0000"
    message["Message-ID"] = f"<letter-{number}@letters.example.test>"
    for part in message.walk():
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            part.set_boundary(f"=_{number}_{random_.randrange(10**9)}")
    return message.as_bytes(policy=SMTP)


def _alternative(number: int, random_: random.Random) -> bytes:
    def build(message: EmailMessage, random_: random.Random) -> None:
        message.set_content(_text(random_, 9).replace("\r\n", "\n"), cte="quoted-printable")
        message.add_alternative(f"<p>{_text(random_, 5)}</p>".replace("\r\n", "\n"), subtype="html", cte="base64")

    return _mime(number, random_, build)


def _attached(number: int, random_: random.Random) -> bytes:
    def build(message: EmailMessage, random_: random.Random) -> None:
        message.set_content("see the attachments\n")
        message.add_attachment(
            random_.randbytes(7000), maintype="application", subtype="pdf", filename="Übersicht.pdf"
        )
        message.add_attachment(random_.randbytes(100), maintype="image", subtype="png", filename="a b;c.png")
        inner = EmailMessage()
        inner["Subject"] = "a letter within the letter"
        inner.set_content("inside\n")
        message.add_attachment(inner)

    return _mime(number, random_, build)


def _large(number: int, random_: random.Random) -> bytes:
    if number // len(_KINDS) % 4:
        return _attached(number, random_)

    def build(message: EmailMessage, random_: random.Random) -> None:
        message.set_content("a large one\n")
        message.add_attachment(random_.randbytes(300_000), maintype="application", subtype="zip", filename="l.zip")

    return _mime(number, random_, build)


_KINDS: tuple[Callable[[int, random.Random], bytes], ...] = (
    _plain,
    _eight_bit,
    _alternative,
    _dots,
    _attached,
    _latin,
    _spaces,
    _empty,
    _long_lines,
    _many_lines,
    _folded,
    _subject,
    _addresses,
    _bare,
    _large,
)
