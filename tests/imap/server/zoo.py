"""Letters of many kinds, most of them made by Python's email package, and a plain way to cut them into sections: by
splitting at boundaries, which knows nothing of offsets."""

from __future__ import annotations

import email
import email.policy
import zlib
from email.message import EmailMessage, Message

_POLICY = email.policy.SMTP.clone(max_line_length=100)


def _octets(message: Message) -> bytes:
    return message.as_bytes(policy=_POLICY)


def _letter(subject: str, text: str | None = "Hello.\r\nBye.\r\n", **more: str) -> EmailMessage:
    message = EmailMessage(policy=_POLICY)
    message["From"] = "Alice Example <alice@example.test>"
    message["To"] = "Bob <bob@example.test>, carol@example.test"
    message["Subject"] = subject
    message["Date"] = "Tue, 01 Jul 2003 10:52:37 +0200"
    message["Message-ID"] = f"<{zlib.crc32(subject.encode())}@example.test>"
    for name, value in more.items():
        message[name.replace("_", "-")] = value
    if text is not None:
        message.set_content(text)
    return message


def _attached() -> EmailMessage:
    message = _letter("Attachments")
    message.add_attachment(bytes(range(256)) * 20, maintype="image", subtype="gif", filename="gründe.gif")
    message.add_attachment("a,b\r\n1,2\r\n", subtype="csv", filename="table.csv")
    return message


def _alternative() -> EmailMessage:
    message = _letter("Two ways", "Grüße aus Köln\r\n")
    message.add_alternative("<p>Grüße aus <b>Köln</b></p>\r\n", subtype="html")
    return message


def _forwarded() -> EmailMessage:
    message = _letter("Fwd: all of it")
    message.add_attachment(_attached())
    message.add_attachment(_letter("Plain within"))
    return message


def _rfc3501() -> EmailMessage:
    """The example of RFC 3501 6.4.5."""
    message = _letter("The RFC's own")
    message.add_attachment(b"\0\1\2" * 30, maintype="application", subtype="octet-stream")
    inner = _letter("3")
    inner.add_attachment(b"3.2" * 30, maintype="application", subtype="octet-stream")
    message.add_attachment(inner)
    mixed = EmailMessage(policy=_POLICY)
    mixed.add_attachment(b"4.1" * 30, maintype="image", subtype="gif")
    wrapped = _letter("4.2")
    wrapped.make_mixed()
    inmost = EmailMessage(policy=_POLICY)
    inmost.set_content("4.2.2.1\r\n")
    inmost.add_alternative("<p>4.2.2.2</p>\r\n", subtype="html")
    wrapped.attach(inmost)
    mixed.add_attachment(wrapped)
    message.attach(mixed)
    return message


def _large() -> EmailMessage:
    message = _letter("Large")
    message.add_attachment(bytes(range(256)) * 2400, maintype="application", subtype="octet-stream")
    return message


HAND_MADE: dict[str, bytes] = {
    "no body": b"From: a@example.test\r\nSubject: nothing below\r\n\r\n",
    "no empty line": b"From: a@example.test\r\nSubject: header only\r\n",
    "no line end": b"Subject: torn",
    "no header": b"\r\nText alone\r\n",
    "empty": b"",
    "bare LF": b"From: a@example.test\nSubject: folded\n over\n\ttwo lines\nTo: b@example.test\n\nText\n",
    "eight bit": b"Subject: Gr\xc3\xbc\xc3\x9fe \xff\r\nX-Odd : space\r\n\r\n\xe4\xf6\xfc\0\r\n",
    "preamble and epilogue": (
        b'Content-Type: multipart/mixed; boundary="b"\r\nSubject: around\r\n\r\nPreamble\r\n--b\r\n\r\n'
        b"First, no header\r\n--b\r\nContent-Type: text/plain\r\n\r\n\r\n--b--\r\nEpilogue\r\n"
    ),
    "a letter as a letter": (
        b"Content-Type: message/rfc822\r\nSubject: outer\r\n\r\n"
        b"Subject: inner\r\nTo: b@example.test\r\n\r\nInner text\r\n"
    ),
    "digest": (
        b"Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: one\r\n\r\n1\r\n"
        b"--d\r\n\r\nSubject: two\r\n\r\n2\r\n--d--\r\n"
    ),
    "percent": b"Subject: 100% %d %b {5}\r\n\r\n%s)\r\n* 1 EXPUNGE\r\n",
}

MADE: dict[str, bytes] = {
    "plain": _octets(_letter("Plain")),
    "empty text": _octets(_letter("Empty", "")),
    "folded": _octets(_letter("long words " * 30, References=" ".join(f"<{n}@example.test>" for n in range(40)))),
    "alternative": _octets(_alternative()),
    "attached": _octets(_attached()),
    "forwarded": _octets(_forwarded()),
    "RFC 3501": _octets(_rfc3501()),
}
LARGE = _octets(_large())
ZOO = HAND_MADE | MADE


def naive(source: bytes) -> dict[bytes, bytes]:
    """All sections of a letter with CRLF line ends, by the name that stands in FETCH's brackets."""
    sections = {b"": source}
    _cut_letter(source, b"", sections)
    return sections


def _halves(octets: bytes) -> tuple[bytes, bytes]:
    """Header, its empty line included, and body."""
    if octets.startswith(b"\r\n"):
        return b"\r\n", octets[2:]
    header, empty_line, body = octets.partition(b"\r\n\r\n")
    return header + empty_line, body


def _cut_letter(octets: bytes, path: bytes, sections: dict[bytes, bytes]) -> None:
    header, text = _halves(octets)
    sections[b"%bHEADER" % path] = header
    sections[b"%bTEXT" % path] = text
    _cut_entity(octets, path, sections, in_multipart=False, default="text/plain")


def _cut_entity(
    octets: bytes, path: bytes, sections: dict[bytes, bytes], *, in_multipart: bool, default: str
) -> None:
    header, body = _halves(octets)
    message = email.message_from_bytes(header)
    kind = message.get_content_type() if "content-type" in message else default
    boundary = message.get_boundary()
    if not kind.startswith("multipart/") or boundary is None:
        number = path if in_multipart else path + b"1."
        sections[number[:-1]] = body
        sections[number + b"MIME"] = header
        if kind == "message/rfc822":
            _cut_letter(body, number, sections)
        return
    if in_multipart:
        sections[path[:-1]] = body
        sections[path + b"MIME"] = header
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    inner = "message/rfc822" if kind == "multipart/digest" else "text/plain"
    for count, piece in enumerate(pieces[1:], 1):
        if piece.startswith(b"--"):
            break
        part = piece.partition(b"\r\n")[2]
        _cut_entity(part, b"%b%d." % (path, count), sections, in_multipart=True, default=inner)
