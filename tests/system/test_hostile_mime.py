"""Letters made to break what reads them (docs/security.md, "hostile MIME"): the answers are well-formed by a reader
that isn't ours, the octets untouched, and others are served meanwhile."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.system.raw import Node, Raw, alive, append, clear, imap, letters, parse, pop3, smtp


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


def _multipart(boundary: bytes, parts: list[bytes], subtype: bytes = b"mixed") -> bytes:
    head = b'Content-Type: multipart/%b; boundary="%b"\r\n\r\n' % (subtype, boundary)
    return head + b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + b"--%b--\r\n" % boundary


def _deep(depth: int) -> bytes:
    heads = [b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (at, at) for at in range(depth)]
    return b"".join(heads) + b"\r\nbottom\r\n" + b"".join(b"--b%d--\r\n" % at for at in reversed(range(depth)))


_INJECTION = b'x" NIL) BODY[] {5}\r\n * 1 EXPUNGE\r\nt OK done "'
_HEADERS = {
    "quotes": b'Subject: a"b\\c) NIL NIL "\r\nFrom: "a\\"b" <x"y@b.test>\r\n',
    "injection": b"Subject: " + _INJECTION.replace(b"\r\n", b"\r") + b"\r\n",
    "bare-cr": b"Subject: a\rt OK b\rFrom: c\r\nTo: x\r<y@z>\r\n",
    "bare-lf": b"Subject: a\nFrom: b@c.test\nTo: d@e.test\n",
    "8bit": b"Subject: \xff\xfe\x80\x81\r\nFrom: \xc3\xa4 <\xff@\xfe>\r\nMessage-ID: <\xff>\r\n",
    "controls": b"Subject: \x01\x02\x1b[2J\x7f\x85\x0b\x0c\x1c\r\nFrom: \x08\x07 <a\x01@b>\r\n",
    "literal": b"Subject: {999999}\r\nFrom: {5}\r\n hello <{3}@b>\r\nIn-Reply-To: {7+}\r\n",
    "nil": b"Subject: NIL\r\nFrom: NIL\r\nTo: NIL <NIL@NIL>\r\nMessage-ID: NIL\r\nSender: nil\r\n",
    "parentheses": b"From: " + b"(" * 50_000 + b"a@b\r\n",
    "comments": b"From: " + b"(a)" * 30_000 + b" x@y\r\nSender: " + b"(" * 1000 + b")" * 999 + b"\r\n",
    "angles": b"From: " + b"<" * 50_000 + b"\r\nTo: " + b">" * 1000 + b"@,;:" * 1000 + b"\r\n",
    "quoted-open": b'From: "' + b"\\" * 50_001 + b"\r\nTo: " + b'"' * 9999 + b"\r\n",
    "groups": b"To: " + b"g:" * 5000 + b";" * 5000 + b"\r\nCc: undisclosed-recipients:;\r\nBcc: :;,:;\r\n",
    "many-addresses": b"To: " + b",".join(b"u%d@x.test" % at for at in range(15_000)) + b"\r\n",
    "empty-addresses": b"To: " + b"," * 100_000 + b"\r\nFrom: <>\r\nCc: @\r\nSender: <@>\r\n",
    "encoded-words": b"Subject: " + b"=?utf-8?b?" * 5000 + b"=?zlib?b?eJwDAAAAAAE=?= =?idna?q?x?= =?hex?q?41?=\r\n",
    "many-fields": b"".join(b"X-%d: y\r\n" % at for at in range(30_000)),
    "same-field": b"Subject: a\r\n" * 20_000 + b"From: a@b\r\n" * 1000,
    "long-line": b"Subject: " + b"s" * 2_000_000 + b"\r\n",
    "folds": b"Subject: a\r\n" + b" \r\n\t\r\n" * 50_000 + b" end\r\n",
    "no-colon": b"no colon at all\r\n: empty name\r\n :fold first\r\n\xff: x\r\n",
    "references": b"References: " + b"<a@b>" * 50_000 + b"\r\nIn-Reply-To: " + b"<" * 50_000 + b"\r\n",
    "dates": b"Date: 99 Foo 99999999999999999999 99:99:99 +99999999\r\n",
    "date-comment": b"Date: " + b"(" * 10_000 + b"Mon, 1 Jan 2026 00:00:00 +0000\r\n",
}
_TYPES = {
    "type": b'Content-Type: "; x" / ) NIL\r\n',
    "no-subtype": b"Content-Type: text\r\nContent-Transfer-Encoding: \r\n",
    "slashes": b"Content-Type: " + b"/" * 10_000 + b"\r\n",
    "many-parameters": b"Content-Type: text/plain" + b"; a=b" * 20_000 + b"\r\n",
    "2231": b"Content-Type: text/plain" + b"".join(b"; n*%d*=%%41" % at for at in range(5000)) + b"\r\n",
    "2231-huge": b"Content-Type: text/plain; name*99999999999999999999*=utf-8''%ff; name*-1=x; name*1_0=y\r\n",
    "parameter-quotes": b'Content-Type: text/plain; name="a\\"b\\\\)\xff\x01; charset=\r\n',
    "charset": b"Content-Type: text/plain; charset=zlib_codec\r\n",
    "charset-idna": b"Content-Type: text/plain; charset=idna\r\n",
    "encoding": b"Content-Transfer-Encoding: x-) NIL\r\nContent-ID: {3}\r\nContent-Description: a\rb\r\n",
    "disposition": b'Content-Disposition: attachment; filename="..\\..\\x)\r\n',
    "language": b"Content-Language: " + b"en," * 20_000 + b"\r\nContent-Location: \xff\r\nContent-MD5: \x01\r\n",
    "multipart-bare": b"Content-Type: multipart/mixed\r\n",
    "boundary-empty": b'Content-Type: multipart/mixed; boundary=""\r\n',
    "boundary-long": b"Content-Type: multipart/mixed; boundary=" + b"b" * 5000 + b"\r\n",
    "boundary-controls": b'Content-Type: multipart/mixed; boundary="a\x01 \xff "\r\n',
    "boundary-spaces": b'Content-Type: multipart/mixed; boundary="   "\r\n',
    "message": b"Content-Type: message/rfc822\r\n",
    "message-base64": b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n",
    "partial": b"Content-Type: message/partial; number=1; total=99999999999; id=x\r\n",
}
_BODIES = {
    "parts-10001": _multipart(b"b", [b"\r\nx"] * 10_001),
    "parts-empty": _multipart(b"b", [b""] * 30_000),
    "depth-50": _deep(50),
    "depth-200": _deep(200),
    "depth-5000": _deep(5000),
    "messages-deep": b"Content-Type: message/rfc822\r\n\r\n" * 3000 + b"\r\nbottom\r\n",
    "mixed-deep": b"Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/x; boundary=b\r\n\r\n--b\r\n" * 300,
    "unclosed": _multipart(b"b", [b"\r\nx"] * 3).replace(b"--b--", b""),
    "prefix-boundaries": _multipart(b"b", [_multipart(b"bb", [_multipart(b"bbb", [b"\r\nx"])])]),
    "same-boundary": _multipart(b"b", [_multipart(b"b", [_multipart(b"b", [b"\r\nx"])])]),
    "boundary-flood": _multipart(b"b", [b"\r\n" + b"--b" * 3 + b"x\r\n" + b"--c\r\n" * 200_000]),
    "boundary-lf": _multipart(b"b", [b"\r\nx"] * 3).replace(b"\r\n", b"\n"),
    "boundary-cr": _multipart(b"b", [b"\r\nx"] * 3).replace(b"\r\n", b"\r"),
    "digest": _multipart(b"b", [b"\r\nSubject: in\r\n\r\nx", b"", b"\r\n"], b"digest"),
    "many-messages": _multipart(
        b"b", [b"Content-Type: message/rfc822\r\n\r\nFrom: a@b\r\nSubject: )\r\n\r\nx"] * 3000
    ),
    "no-header": b"\r\nbody alone\r\n",
    "no-end": b"Subject: header alone",
    "lines": b"\r\n" + b"\n" * 500_000,
    "crs": b"\r" * 300_000,
    "dots": b"\r\n" + b".\r\n" * 1000,
    "one-octet": b"\xff",
}
_LETTERS = (
    {f"header-{name}": head + b"\r\nbody\r\n" for name, head in _HEADERS.items()}
    | {
        f"type-{name}": b"Subject: t\r\n" + head + b"\r\nbody\r\n--\r\n--b\r\n\r\nx\r\n"
        for name, head in _TYPES.items()
    }
    | {f"body-{name}": letter for name, letter in _BODIES.items()}
    | {
        f"inner-{name}": _multipart(
            b"b", [head + b"\r\nx", b"Content-Type: message/rfc822\r\n\r\n" + head + b"\r\ny"]
        )
        for name, head in (_HEADERS | _TYPES).items()
    }
)
_SEARCHES = (
    b"TEXT nowhere",
    b"BODY x",
    b"SUBJECT a",
    b"FROM b OR TO x CC y",
    b"SENTSINCE 1-Jan-2020",
    b"HEADER Content-Type multipart",
    b"LARGER 1 SMALLER 9223372036854775807",
)


@pytest.mark.parametrize("letter", _LETTERS.values(), ids=_LETTERS)
def test_a_hostile_letter_is_answered_well_formed_and_untouched(house: House, letter: bytes) -> None:
    clear(house)
    with imap(house, BOB, mailbox="INBOX") as other, imap(house, mailbox="INBOX") as raw:
        append(raw, letter)
        assert other.answer(b"NOOP")[0].startswith(b"OK")
        assert _item(raw, b"BODY.PEEK[]") == letter
        assert _item(raw, b"RFC822.SIZE") == b"%d" % len(letter)
        _check_envelope(_item(raw, b"ENVELOPE"))
        _check_body(_item(raw, b"BODY"))
        shape = _item(raw, b"BODYSTRUCTURE")
        _check_body(shape)
        header, text = _item(raw, b"BODY.PEEK[HEADER]"), _item(raw, b"BODY.PEEK[TEXT]")
        assert isinstance(header, bytes)
        assert isinstance(text, bytes)
        assert letter == header + text
        for part in (b"1", b"2", b"1.1", b"1.MIME", b"2.HEADER", b"2.TEXT", b"2.1.MIME", b"1" + b".1" * 49):
            found = _item(raw, b"BODY.PEEK[%b]" % part)
            assert found is None or (isinstance(found, bytes) and found in letter + b"\r\n\r\n")
        fields = _item(raw, b"BODY.PEEK[HEADER.FIELDS (Subject From)]")
        assert isinstance(fields, bytes)
        for search in _SEARCHES:
            answer, untagged = raw.answer(b"SEARCH " + search)
            assert answer.startswith(b"OK")
            assert untagged in ([b"* SEARCH"], [b"* SEARCH 1"])
        assert other.answer(b"NOOP")[0].startswith(b"OK")
    with pop3(house) as drop:
        drop.say(b"RETR 1\r\n")
        size = int(drop.line().split()[1])
        lines = drop.listing()
        assert sum(len(line) + 2 for line in lines) == size
        whole = letter.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert b"\n".join(lines) == whole.removesuffix(b"\n")
    assert "Traceback" not in house.log(), house.log()


@pytest.mark.parametrize(
    "name", ["header-quotes", "header-8bit", "body-parts-10001", "body-depth-200", "inner-type"]
)
def test_pythons_own_client_reads_the_answers(house: House, name: str) -> None:
    clear(house)
    with imap(house) as raw:
        append(raw, _LETTERS[name])
    client = imaplib.IMAP4("127.0.0.1", house.port("imap"))
    client.login(ALICE, PASSWORDS[ALICE])
    client.select()
    assert client.fetch("1", "(ENVELOPE BODYSTRUCTURE BODY.PEEK[] FLAGS)")[0] == "OK"
    assert client.noop()[0] == "OK"
    client.logout()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, letter in _LETTERS.items()
        if b"\n" not in letter.replace(b"\r\n", b"") and b"\r" not in letter.replace(b"\r\n", b"")
    ],
)
def test_a_hostile_letter_by_smtp_comes_back_as_it_was(house: House, name: str) -> None:
    letter = _LETTERS[name]
    ended = letter if letter.endswith(b"\r\n") else letter + b"\r\n"
    clear(house)
    with smtp(house) as raw:
        assert raw.ask(b"MAIL FROM:<a@b.test>", b"RCPT TO:<alice@example.test>", b"DATA").startswith(b"354")
        stuffed = (b"\r\n" + ended).replace(b"\r\n.", b"\r\n..")[2:]
        raw.say(stuffed + b".\r\n")
        reply = raw.reply()
        if name.endswith("-long-line"):
            assert reply.startswith(b"554 5.6.0 ")
            return
        assert reply.startswith(b"250 ")
    (kept,) = letters(house)
    assert kept.endswith(ended)
    with imap(house, mailbox="INBOX") as raw:
        _check_envelope(_item(raw, b"ENVELOPE"))
        _check_body(_item(raw, b"BODYSTRUCTURE"))
    alive(house)


def _item(raw: Raw, item: bytes) -> Node:
    answer, untagged = raw.answer(b"FETCH 1 " + item)
    assert answer.startswith(b"OK"), answer
    (response,) = untagged
    number, word, values = parse(response)
    assert (number, word) == (b"1", b"FETCH")
    assert isinstance(values, list)
    name, value = values
    assert name == item.replace(b".PEEK", b"")
    return value


def _check_envelope(envelope: Node) -> None:
    """RFC 3501 7.4.2."""
    assert isinstance(envelope, list)
    assert len(envelope) == 10
    for at in (0, 1, 8, 9):
        assert envelope[at] is None or isinstance(envelope[at], bytes)
    for at in range(2, 8):
        addresses = envelope[at]
        if addresses is None:
            continue
        assert isinstance(addresses, list)
        assert addresses
        for address in addresses:
            assert isinstance(address, list)
            assert len(address) == 4
            assert not any(isinstance(each, list) for each in address)


def _check_body(body: Node) -> None:
    """RFC 3501 7.4.2, without recursion: what is too deep for us must not be too deep for the test."""
    waiting = [body]
    while waiting:
        part = waiting.pop()
        assert isinstance(part, list)
        children = 0
        while isinstance(part[children], list):
            waiting.append(part[children])
            children += 1
        if children:
            assert isinstance(part[children], bytes)
            if len(part) > children + 1:
                _check_parameters(part[children + 1])
            continue
        kind, subtype, parameters, id_, description, encoding, size = part[:7]
        assert isinstance(kind, bytes)
        assert isinstance(subtype, bytes)
        _check_parameters(parameters)
        assert all(each is None or isinstance(each, bytes) for each in (id_, description))
        assert isinstance(encoding, bytes)
        assert isinstance(size, bytes)
        assert size.isdigit()
        if kind.upper() == b"TEXT":
            assert isinstance(part[7], bytes)
            assert part[7].isdigit()
        elif (kind.upper(), subtype.upper()) == (b"MESSAGE", b"RFC822"):
            _check_envelope(part[7])
            waiting.append(part[8])
            assert isinstance(part[9], bytes)
            assert part[9].isdigit()


def _check_parameters(parameters: Node) -> None:
    if parameters is not None:
        assert isinstance(parameters, list)
        assert parameters
        assert len(parameters) % 2 == 0
        assert all(isinstance(each, bytes) for each in parameters)
