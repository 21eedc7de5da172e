"""Names of mailboxes, UIDs and other users' mail (docs/security.md), attacked over real sockets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import BOB, House
from tests.system.raw import alive, append, clear, imap, parse

_LETTER = b"Subject: one\r\nFrom: a@b.test\r\n\r\nfirst\r\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(autouse=True)
def _others_go_on(house: House) -> Iterator[None]:
    """Alice has two letters; each attack stands between two commands of Bob."""
    clear(house)
    with imap(house) as raw:
        append(raw, _LETTER)
        append(raw, b"Subject: two\r\n\r\n")
    with imap(house, BOB, mailbox="INBOX") as other:
        yield
        assert other.answer(b"NOOP")[0].startswith(b"OK")
    alive(house)


def _names(house: House) -> list[bytes]:
    with imap(house) as raw:
        return sorted(_name(line) for line in raw.answer(b'LIST "" *')[1])


def _name(listed: bytes) -> bytes:
    name = parse(listed)[-1]
    assert isinstance(name, bytes)
    return name


def _places(house: House) -> list[Path]:
    """All files, but those that the indexer makes behind delivery, which are called by accounts' numbers."""
    search = house.data / "search"
    return sorted(
        path
        for path in house.folder.rglob("*")
        if path.parent != search or not path.name.partition(".")[0].isdigit()
    )


@pytest.mark.parametrize(
    "name",
    [
        b"..",
        b"~",
        b"~root",
        b"a.b.c",
        b"../../etc/passwd",
        b"C:\\x",
        b"$(id)",
        b"'; DROP TABLE mailboxes; --",
        b"-rf",
        b"NIL",
        b"&-",
        b"&AOQ-",
        b"con",
        b"{5}",
        b'a"b',
        b"%s%n",
    ],
    ids=repr,
)
def test_a_strange_name_is_only_a_name(house: House, name: bytes) -> None:
    before = _places(house)
    listed_before = _names(house)
    with imap(house) as raw:
        quoted = b'"%b"' % re.sub(rb'(["\\])', rb"\\\1", name)
        assert raw.answer(b"CREATE " + quoted)[0].startswith(b"OK")
        append(raw, _LETTER, quoted)
        _, listed = raw.answer(b'LIST "" *')
        assert name in [_name(line) for line in listed]
        assert raw.answer(b"STATUS %b (MESSAGES)" % quoted)[1][0].endswith(b"(MESSAGES 1)")
        assert raw.answer(b"RENAME %b Renamed" % quoted)[0].startswith(b"OK")
        assert raw.answer(b"DELETE Renamed")[0].startswith(b"OK")
        for parent in (b"../../etc", b"../..", b".."):
            if name.startswith(parent + b"/"):
                assert raw.answer(b"DELETE " + parent)[0].startswith(b"OK")
    assert _names(house) == listed_before
    assert _places(house) == before


@pytest.mark.parametrize(
    "name",
    [
        b"a\r\nt OK injected",
        b"a\nb",
        b"a\rb",
        b"a\x00b",
        b"a\x1bb",
        b"a\x7fb",
        b"\xc3\xa4",
        b"\xff\xfe",
        b"&AAA-",
        b"&AC8-",
        b"&AA0ACg-",
        b"&2AA-",
        b"&3AA-",
        b"&AOQ",
        b"&",
        b"&AOQ-&AOQ-",
        b"&AGEAYg-",
        b"&AOR-",
        b"&%-",
        b"&IKg-"[:2] + b"-" * 3 + b"&",
        b"",
        b"/",
        b"/a",
        b"a//b",
        b"a" * 1001,
        b"/".join([b"a"] * 51),
        b"&" + b"AOQA5ADk" * 400 + b"-",
    ],
    ids=lambda each: repr(each[:30]),
)
@pytest.mark.parametrize("form", ["sync", "plus"])
def test_a_name_that_can_be_none_is_refused_and_not_repeated(house: House, name: bytes, form: str) -> None:
    before = _names(house)
    with imap(house) as raw:
        for command in (b"CREATE", b"SELECT", b"DELETE", b"SUBSCRIBE", b"RENAME Drafts", b"STATUS"):
            raw.say(b"t %b {%d%b}\r\n" % (command, len(name), b"+" if form == "plus" else b""))
            if form == "sync":
                assert raw.line().startswith(b"+ ")
            raw.say(name + (b" (MESSAGES)" if command == b"STATUS" else b"") + b"\r\n")
            answer, untagged = raw.tagged()
            assert answer.startswith((b"BAD ", b"NO [CANNOT] ")), command
            assert untagged == []
            assert not name or len(name) < 3 or name not in answer
    assert _names(house) == before


def test_the_longest_and_deepest_names_are_names(house: House) -> None:
    for name in (b"a" * 1000, b"/".join([b"b"] * 50)):
        with imap(house) as raw:
            assert raw.answer(b"CREATE " + name)[0].startswith(b"OK")
            listed = _names(house)
            assert name in listed
            for made in sorted((each for each in listed if each[:1] in b"ab"), reverse=True):
                assert raw.answer(b"DELETE " + made)[0].startswith(b"OK")


@pytest.mark.parametrize(
    "pattern",
    [b"%*" * 500, b"*%" * 500, b"*a" * 490 + b"*b", b"%a" * 490, b"*/" * 499, b"*" * 1000],
    ids=lambda it: repr(it[:8]),
)
def test_wildcards_cost_linear_work(house: House, pattern: bytes) -> None:
    """CVE-2026-33607. The work is counted in the worker's own time: a matcher that backtracks never ends."""
    with imap(house) as raw:
        assert raw.answer(b"CREATE " + b"a" * 999)[0].startswith(b"OK")
        for command in (b'LIST "" ', b'LSUB "" ', b'LIST "" (' + b'"*" ' * 50):
            end = b")" if command.endswith(b'"*" ') else b""
            answer, listed = raw.answer(command + b'"' + pattern + b'"' + end)
            assert answer.startswith(b"OK")
            for line in listed:
                parse(line)
        assert raw.answer(b"DELETE " + b"a" * 999)[0].startswith(b"OK")


def test_recreating_a_mailbox_gives_a_new_uidvalidity(house: House) -> None:
    seen = set()
    with imap(house) as raw:
        for _ in range(5):
            assert raw.answer(b"CREATE Again")[0].startswith(b"OK")
            uid = append(raw, _LETTER, b"Again")
            _, untagged = raw.answer(b"STATUS Again (UIDVALIDITY UIDNEXT)")
            found = re.search(rb"UIDVALIDITY ([0-9]+)", untagged[0])
            assert found
            seen.add((int(found[1]), uid))
            assert raw.answer(b"DELETE Again")[0].startswith(b"OK")
    assert len({validity for validity, _ in seen}) == 5


def test_a_uid_is_never_used_again(house: House) -> None:
    with imap(house, mailbox="INBOX") as raw:
        last = append(raw, _LETTER)
        for _ in range(3):
            raw.answer(b"STORE * +FLAGS (\\Deleted)")
            assert raw.answer(b"EXPUNGE")[0].startswith(b"OK")
            fresh = append(raw, _LETTER)
            assert fresh > last
            last = fresh
        status, _ = raw.answer(b"MOVE * Trash")
        assert status.startswith(b"OK")
        assert append(raw, _LETTER) > last


def test_another_users_mail_is_out_of_reach(house: House) -> None:
    with imap(house, BOB) as raw:
        assert raw.answer(b"CREATE Secret")[0].startswith(b"OK")
    with imap(house) as raw:
        for name in (
            b"Secret",
            b'"bob@example.test/Secret"',
            b'"user/bob@example.test"',
            b'"#user/bob"',
            b'"~bob/Secret"',
            b'"../bob@example.test/Secret"',
        ):
            assert raw.answer(b"SELECT " + name)[0].startswith(b"NO [NONEXISTENT]") or b".." in name
            assert b"Secret" not in b"".join(raw.answer(b'LIST "" ' + name)[1])
    with imap(house, BOB) as raw:
        assert raw.answer(b"DELETE Secret")[0].startswith(b"OK")
