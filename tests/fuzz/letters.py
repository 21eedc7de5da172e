"""The mail that lies in the fuzzer's house: each letter has something that a server may stumble over."""

from __future__ import annotations

from typing import Final

_PLAIN: Final = b"""From: Bob <bob@example.test>
To: "Alice (\\"A\\")" <alice@example.test>, undisclosed:;
Subject: =?utf-8?q?H=C3=A4llo?= "quoted" \\ back
Date: Tue, 14 Nov 2023 22:13:20 +0000
Message-ID: <one@example.test>

.leading dot
..two
.
From the end
"""
_PARTS: Final = b"""From: carol@example.test
To: alice@example.test
Subject: parts
References: <one@example.test>
Message-ID: <two@example.test>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"; x*0="par"; x*1=t

preamble
--b
Content-Type: text/plain; charset=utf-8; format=flowed
Content-Transfer-Encoding: quoted-printable
Content-Language: de, en
Content-Disposition: inline; filename="a b.txt"

Gr=C3=BC=C3=9Fe=20
--b
Content-Type: message/rfc822

From: x@y.test
Subject: inner
Content-Type: multipart/alternative; boundary=c

--c

plain
--c
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: base64

PGI+SGk8L2I+
--c--

--b
Content-Type: application/octet-stream; name=x
Content-Transfer-Encoding: base64
Content-MD5: AAAA

AAECAwQ=
--b--
epilogue
"""


def _crlf(text: bytes) -> bytes:
    return text.replace(b"\n", b"\r\n")


LETTERS: Final = (
    _crlf(_PLAIN),
    _crlf(_PARTS),
    b"",
    b"\r\n",
    b"no header at all, and no end",
    b"Subject: bare line ends\n\n.one\n..two\rthree\r\n",
    b"Subject: octets\r\nContent-Type: text/plain; charset=x-unknown\r\n\r\n" + bytes(range(256)) + b"\r\n",
    b"From: <>\r\nTo: @,,;:<<a@b>\r\nDate: never\r\nSubject: \xff\xfe\x00\r\n folded\r\n\r\nbody\r\n",
    b"Subject: long\r\n\r\n" + b"x" * 3000 + b"\r\n" + b"0123456789\r\n" * 2000,
    b'Content-Type: multipart/mixed; boundary="\r\n\r\n--\r\n',
    b"Subject: binary\r\nContent-Transfer-Encoding: binary\r\n\r\n\0a\nb\r",
)
"""As they lie in the store; some with line ends that no SMTP carries."""


_BINARY: Final = LETTERS[-1]


def as_pop3_shows(letter: bytes) -> bytes:
    """A letter with CRLF behind each line, whatever stood there; the one that no lines can carry as base64."""
    if letter == _BINARY:
        return b"Subject: binary\r\nContent-Transfer-Encoding: base64\r\n\r\nAGEKYg0=\r\n"
    lines = letter.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if lines and not lines.endswith(b"\n"):
        lines += b"\n"
    return lines.replace(b"\n", b"\r\n")
