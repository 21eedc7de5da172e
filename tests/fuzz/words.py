"""The fuzzer's dictionary: words of each protocol out of the servers' own tables, and octets that harm readers."""

from __future__ import annotations

import functools
from typing import Final

from postroom.imap.server.table import TABLE as IMAP_TABLE
from postroom.pop3.server import TABLE as POP3_TABLE
from postroom.smtp.table import TABLE as SMTP_TABLE

_ADDRESSES: Final = (
    b"<alice@example.test>",
    b"<bob+tag@example.test>",
    b"<team@example.test>",
    b"<postmaster>",
    b"<>",
    b"<nobody@example.test>",
    b"<carol@example.test>",
    b"<alice@[127.0.0.1]>",
    b"<a@[IPv6:::1]>",
    b"<@a,@b:c@d>",
    b'<"a\\"b"@example.test>',
    b"<a@b@c>",
    b"<" + b"a" * 65 + b"@example.test>",
    b"<a@" + b"b." * 126 + b"c>",
    b"<\xc3\xa4@example.test>",
)
_SMTP: Final = (
    *_ADDRESSES,
    *(b"FROM:", b"TO:", b"SIZE=", b"SIZE=1", b"BODY=7BIT", b"BODY=8BITMIME", b"BODY=BINARYMIME", b"SMTPUTF8"),
    *(b"AUTH=<>", b"RET=FULL", b"NOTIFY=NEVER", b"LAST", b"PLAIN", b"LOGIN", b"XTEXT+2B", b"client.test", b"354"),
    *(
        b".",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\r.\r",
        b"\r\n.\n",
        b"\n.\r\n",
        b"..",
        b"BDAT 5 LAST",
        b"DATA\r\n",
        b"QUIT\r\n",
    ),
    *(b"ADDR=192.0.2.9", b"NAME=[UNAVAILABLE]", b"HELO=x", b"PORT=25", b"LOGIN=alice@example.test"),
)
_POP3: Final = (
    *(b"1", b"2", b"9", b"11", b"PLAIN", b"LOGIN", b"alice@example.test", b"Secret-pw-1", b"*", b"de", b"-1"),
    *(b".", b"+OK", b"-ERR"),
)
_IMAP: Final = (
    *b"ALL ANSWERED BCC BEFORE BODY CC DELETED DRAFT FLAGGED FROM HEADER KEYWORD LARGER NEW NOT OLD ON OR".split(),
    *b"RECENT SEEN SENTBEFORE SENTON SENTSINCE SINCE SMALLER SUBJECT TEXT TO UID UNANSWERED UNKEYWORD".split(),
    *b"MODSEQ OLDER YOUNGER FUZZY CHARSET UTF-8 US-ASCII X-NOSUCH RETURN (MIN) (MAX) (COUNT) (ALL) (SAVE)".split(),
    *b"FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY BODY[1] BODY[] BODY.PEEK[] BODY[HEADER]".split(),
    *b"BODY[TEXT] BODY[2.1.MIME] BODY[HEADER.FIELDS BINARY[] EMAILID THREADID PREVIEW SAVEDATE FAST FULL".split(),
    *b"+FLAGS -FLAGS.SILENT \\Seen \\Deleted \\* $Junk UNCHANGEDSINCE CHANGEDSINCE VANISHED QRESYNC".split(),
    *b"INBOX inbox Box/Inner Box/% * % nosuch NIL SUBSCRIBED CHILDREN SPECIAL-USE REMOTE RECURSIVEMATCH".split(),
    *b"MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ DONE PLAIN 1:* *:* 1,2,3 4294967295".split(),
    *(
        b'"quoted"',
        b'""',
        b'"\\""',
        b'"',
        b"(",
        b")",
        b"[",
        b"]",
        b"<0.10>",
        b"<99999999999.1>",
        b"&AAA-",
        b"&ZeVnLIqe-",
    ),
    *(
        b"{3}\r\nabc",
        b"{3+}\r\nabc",
        b"{0}\r\n",
        b"{0+}\r\n",
        b"{5+}\r\na\r\nb\n",
        b"~{3+}\r\na\0b",
        b'"1-Feb-2020"',
    ),
    *(b"{7+}\r\na\r\nb OK", b'" 1-Jan-1970 00:00:00 +0000"', b"1:*,", b"0", b"1:0", b"*:1", b"$"),
)
_OWN: Final = {"smtp": _SMTP, "submission": _SMTP, "lmtp": _SMTP, "pop3": _POP3, "imap": _IMAP}

HARM: Final = (
    *(bytes([octet]) for octet in (0, 1, 7, 8, 9, 10, 11, 13, 26, 27, 127, 128, 0xA0, 0xC3, 0xE2, 0xFF)),
    *(
        b"\r\n",
        b"\r\r\n",
        b"\n\r",
        b"\r\n\r\n",
        b" ",
        b"  ",
        b"\t",
        b"=",
        b"%",
        b"{",
        b"}",
        b"\\",
        b'"',
        b"<",
        b">",
        b"(",
        b")",
    ),
    *(
        b"\xc3\xa4",
        b"\xe2\x82\xac",
        b"\xf0\x9f\x93\xac",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
    ),
    *(b"\xd9\xa1", b"\xc2\xb2", b"\xef\xbc\x91", b"\xcc\x81" * 50, b"\xe2\x80\xae"),
    *(
        b"%s%n%x",
        b"${x}",
        b"../../etc/passwd",
        b"'; DROP TABLE",
        b"<script>",
        b"||id",
        b"\x1b[2J",
        b"GET / HTTP/1.1\r\n",
    ),
)
"""Octets that come where nobody expects them."""
NUMBERS: Final = (
    *(
        b"0",
        b"00",
        b"1",
        b"-1",
        b"+1",
        b"1_0",
        b"0x1",
        b"1e9",
        b"1.0",
        b" 1",
        b"\xd9\xa1",
        b"\xef\xbc\x91",
        b"\xc2\xb2",
        b"",
    ),
    *(b"255", b"256", b"998", b"65535", b"2147483648", b"4294967295", b"4294967296", b"9223372036854775807"),
    *(b"18446744073709551616", b"9" * 20, b"9" * 21, b"9" * 100, b"1" * 5000),
)
"""What stands in a number's place."""
LENGTHS: Final = (63, 64, 65, 255, 256, 257, 512, 1000, 2047, 2048, 2049, 5000, 12_289, 70_000, 400_000)
"""Of long words; the longest is more than a server may hold."""


@functools.cache
def verbs(door: str) -> tuple[bytes, ...]:
    """The commands that a door's server knows."""
    tables = {"pop3": POP3_TABLE, "imap": IMAP_TABLE}
    return tuple(tables.get(door, SMTP_TABLE))


@functools.cache
def words(door: str) -> tuple[bytes, ...]:
    """What may stand behind them, and what must not."""
    return _OWN[door]
