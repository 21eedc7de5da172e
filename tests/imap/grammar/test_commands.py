"""Each command's arguments as a session reads them (RFC 3501 6)."""

from __future__ import annotations

import base64
from types import MappingProxyType

import pytest
from hypothesis import given, settings

from postroom.imap.grammar import commands
from postroom.imap.grammar.commands import (
    Append,
    Authenticate,
    Copy,
    Create,
    Delete,
    Enable,
    ExpungeUids,
    Fetch,
    Head,
    Id,
    Login,
    Nothing,
    Rename,
    Search,
    Select,
    Status,
    StatusItem,
    Store,
    Subscribe,
    append_names_by_literal,
    read_head,
)
from postroom.imap.grammar.dates import Moment
from postroom.imap.grammar.faults import SyntaxFault
from postroom.imap.grammar.fetch import Item
from postroom.imap.grammar.flags import FlagList
from postroom.imap.grammar.search import All
from postroom.imap.grammar.sets import SequenceSet
from postroom.imap.grammar.tokens import LiteralHead
from postroom.net.limits import (
    IMAP_BASE64_OCTETS,
    IMAP_ELEMENTS,
    IMAP_ID_FIELD_OCTETS,
    IMAP_ID_FIELDS,
    IMAP_ID_VALUE_OCTETS,
    IMAP_TAG_OCTETS,
    LOGIN_OCTETS,
    PASSWORD_OCTETS,
)
from postroom.store.changes import How
from postroom.store.values import Flag, SpecialUse
from tests.imap.grammar.hostile import Reader, every_cut, octets, refuses_or_reads

READERS = MappingProxyType({name: getattr(commands, name) for name in commands.__all__ if name.startswith("read_")})
ONE_TO_LAST = SequenceSet(((1, 0),))

READ: list[tuple[str, bytes, object]] = [
    ("read_nothing", b"", Nothing()),
    ("read_login", b' bob "pass \\"word\\""', Login("bob", b'pass "word"')),
    ("read_login", b" {5}\r\nb\xc3\xb6b. {4}\r\n\xff\r\n.", Login("böb.", b"\xff\r\n.")),
    ("read_login", b' "" ""', Login("", b"")),
    ("read_authenticate", b" plain", Authenticate(b"PLAIN", None)),
    ("read_authenticate", b" PLAIN =", Authenticate(b"PLAIN", b"")),
    ("read_authenticate", b" PLAIN AGJvYgBwdw==", Authenticate(b"PLAIN", b"\0bob\0pw")),
    ("read_enable", b" condstore X-Y", Enable((b"CONDSTORE", b"X-Y"))),
    ("read_id", b" NIL", Id(())),
    ("read_id", b" ()", Id(())),
    ("read_id", b' ("name" "x" "os" nil)', Id(((b"name", b"x"), (b"os", None)))),
    ("read_select", b" inbox", Select("INBOX")),
    ("read_select", b' "a b"', Select("a b")),
    ("read_select", b" {6}\r\n&AOQ-x", Select("äx")),
    ("read_delete", b" x/y", Delete("x/y")),
    ("read_subscribe", b" &AOQ-", Subscribe("ä")),
    ("read_create", b" owatagusiam/", Create("owatagusiam")),
    ("read_create", b" x (use (\\sent \\TRASH))", Create("x", (SpecialUse.SENT, SpecialUse.TRASH))),
    ("read_create", b" x (USE ())", Create("x")),
    ("read_create", b" x (USE (\\Sent \\All))", Create("x", (SpecialUse.SENT,), foreign_use=True)),
    ("read_rename", b" blurdybloop sarasoop/", Rename("blurdybloop", "sarasoop")),
    (
        "read_status",
        b" blurdybloop (UIDNEXT messages UIDNEXT)",
        Status("blurdybloop", (StatusItem.UIDNEXT, StatusItem.MESSAGES)),
    ),
    ("read_expunge_uids", b" 3000:3002,*", ExpungeUids(SequenceSet(((3000, 3002), (0, 0))))),
    ("read_fetch", b" 1:* (FLAGS UID)", Fetch(ONE_TO_LAST, (Item.FLAGS, Item.UID))),
    (
        "read_store",
        b" 2:4 +FLAGS (\\Deleted)",
        Store(SequenceSet(((2, 4),)), How.ADD, False, FlagList(Flag.DELETED)),
    ),
    ("read_store", b" 1:* flags.silent $a \\Seen", Store(ONE_TO_LAST, How.SET, True, FlagList(Flag.SEEN, ("$a",)))),
    ("read_store", b" 1:* -Flags.Silent ()", Store(ONE_TO_LAST, How.REMOVE, True, FlagList())),
    ("read_copy", b" 1:* MEETING", Copy(ONE_TO_LAST, "MEETING")),
    ("read_search", b" CHARSET UTF-8 ALL", Search(All())),
]
REFUSED: list[tuple[str, bytes]] = [
    ("read_nothing", b" "),
    ("read_nothing", b" x"),
    ("read_login", b""),
    ("read_login", b" bob"),
    ("read_login", b"  bob pw"),
    ("read_login", b" bob pw x"),
    ("read_login", b' bob "p\0"'),
    ("read_login", b" {1}\r\n\xff pw"),
    ("read_authenticate", b""),
    ("read_authenticate", b" PLAIN "),
    ("read_authenticate", b" PLAIN AGJ"),
    ("read_authenticate", b" PLAIN =="),
    ("read_authenticate", b" PLAIN AGJvYgBwdw== x"),
    ("read_enable", b""),
    ("read_enable", b" x  y"),
    ("read_id", b""),
    ("read_id", b' "x"'),
    ("read_id", b' ("name")'),
    ("read_id", b' ("name" "x"'),
    ("read_id", b' (NIL "x")'),
    ("read_id", b' ( "name" "x")'),
    ("read_select", b""),
    ("read_select", b" a b"),
    ("read_select", b' ""'),
    ("read_create", b" /"),
    ("read_create", b" x//"),
    ("read_create", b" x (USE (Sent))"),
    ("read_create", b" x (USE \\Sent)"),
    ("read_create", b" x (PARTITION a)"),
    ("read_create", b" x (USE (\\Sent)) y"),
    ("read_create", b" x (USE (\\Sent) USE (\\Trash))"),
    ("read_rename", b" x"),
    ("read_rename", b" x &AC8-"),
    ("read_status", b" x"),
    ("read_status", b" x ()"),
    ("read_status", b" x MESSAGES"),
    ("read_status", b" x (MESSAGES HIGHESTMODSEQ2)"),
    ("read_expunge_uids", b" 0"),
    ("read_expunge_uids", b" 1 x"),
    ("read_fetch", b" 1"),
    ("read_fetch", b" 1 FLAGS UID"),
    ("read_fetch", b" x FLAGS"),
    ("read_store", b" 1 FLAGS"),
    ("read_store", b" 1 +FLAG (\\Seen)"),
    ("read_store", b" 1 FLAGS.LOUD (\\Seen)"),
    ("read_store", b" 1 +FLAGS (\\Seen) x"),
    ("read_store", b" 1 +FLAGS (\\Recent)"),
    ("read_copy", b" 1"),
    ("read_copy", b" 1 a b"),
    ("read_search", b""),
    ("read_search", b" ALL "),
    ("read_search", b" ALL)"),
]


@pytest.mark.parametrize(("reader", "arguments", "value"), READ)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_arguments_are_read(reader: str, arguments: bytes, value: object, end: bytes) -> None:
    read: Reader = READERS[reader]
    assert read(b"a1 VERB" + arguments + end, 7) == value
    every_cut(lambda buffer, _: read(buffer, 0), arguments + end)


@pytest.mark.parametrize(("reader", "arguments"), REFUSED)
def test_what_are_no_arguments_is_refused(reader: str, arguments: bytes) -> None:
    with pytest.raises(SyntaxFault):
        READERS[reader](b"a1 VERB" + arguments + b"\r\n", 7)


@pytest.mark.parametrize(
    ("line", "head"),
    [
        (b"a1 NOOP\r\n", Head(b"a1", b"NOOP", 7)),
        (b"a1 noop\n", Head(b"a1", b"NOOP", 7)),
        (b"a1 uid fetch 1:* FLAGS\r\n", Head(b"a1", b"UID FETCH", 12)),
        (b"a1 UID\r\n", Head(b"a1", b"UID", 6)),
        (b"a1 uid  fetch\r\n", Head(b"a1", b"UID", 6)),
        (b"a1\r\n", Head(b"a1", b"", 2)),
        (b"a1 \r\n", Head(b"a1", b"", 2)),
        (b"a1  NOOP\r\n", Head(b"a1", b"", 2)),
        (b"a1 N\0OP\r\n", Head(b"a1", b"", 2)),
        (b"a1 " + b"X" * 65 + b"\r\n", Head(b"a1", b"", 2)),
        (b"+ NOOP\r\n", Head(b"*", b"", 0)),
        (b"a+b NOOP\r\n", Head(b"*", b"", 0)),
        (b"a\\b NOOP\r\n", Head(b"*", b"", 0)),
        (b"* NOOP\r\n", Head(b"*", b"", 0)),
        (b" NOOP\r\n", Head(b"*", b"", 0)),
        (b"\r\n", Head(b"*", b"", 0)),
        (b"", Head(b"*", b"", 0)),
        (b"t" * (IMAP_TAG_OCTETS + 1) + b" NOOP\r\n", Head(b"*", b"", 0)),
        (b"t" * IMAP_TAG_OCTETS + b" NOOP\r\n", Head(b"t" * IMAP_TAG_OCTETS, b"NOOP", IMAP_TAG_OCTETS + 5)),
        (b"GET / HTTP/1.1\r\n", Head(b"GET", b"", 3)),
    ],
)
def test_tag_and_verb_are_found_or_not(line: bytes, head: Head) -> None:
    assert read_head(line) == head


def test_a_sasl_response_is_decoded_or_cancels() -> None:
    assert commands.read_sasl_response(b"AGJvYgBwdw==\r\n") == b"\0bob\0pw"
    assert commands.read_sasl_response(b"\r\n") == b""
    assert commands.read_sasl_response(b"*\r\n") is None
    for wrong in (b"**\r\n", b"AGJ\r\n", b"A GJ=\r\n", b"AGJ=x\r\n", b"\xff\r\n"):
        with pytest.raises(SyntaxFault):
            commands.read_sasl_response(wrong)


def test_a_sasl_response_has_a_longest_size() -> None:
    most = base64.b64encode(b"x" * (IMAP_BASE64_OCTETS // 4 * 3))
    assert commands.read_sasl_response(most + b"\r\n")
    with pytest.raises(SyntaxFault):
        commands.read_sasl_response(most + b"eHh4\r\n")


def test_a_login_has_a_longest_size() -> None:
    user, password = b"u" * LOGIN_OCTETS, b"p" * PASSWORD_OCTETS
    assert commands.read_login(b" %b %b\r\n" % (user, password), 0) == Login(user.decode(), password)
    for wrong in (b" %bu %b\r\n" % (user, password), b" %b %bp\r\n" % (user, password)):
        with pytest.raises(SyntaxFault):
            commands.read_login(wrong, 0)


def test_id_has_limits() -> None:
    def of(fields: int, field: int = 1, value: int = 1) -> bytes:
        return b" (%b)\r\n" % b" ".join([b'"%b" "%b"' % (b"f" * field, b"v" * value)] * fields)

    most = (IMAP_ID_FIELDS, IMAP_ID_FIELD_OCTETS, IMAP_ID_VALUE_OCTETS)
    assert len(commands.read_id(of(*most), 0).fields) == IMAP_ID_FIELDS
    for wrong in (of(most[0] + 1), of(1, most[1] + 1), of(1, 1, most[2] + 1)):
        with pytest.raises(SyntaxFault):
            commands.read_id(wrong, 0)


def test_enable_has_a_most_of_words() -> None:
    assert len(commands.read_enable(b" X" * IMAP_ELEMENTS + b"\r\n", 0).capabilities) == IMAP_ELEMENTS
    with pytest.raises(SyntaxFault):
        commands.read_enable(b" X" * (IMAP_ELEMENTS + 1) + b"\r\n", 0)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (b" saved-messages {310}\r\n", Append("saved-messages", FlagList(), None, LiteralHead(310, False, False))),
        (
            b" saved-messages (\\Seen x) {310+}\r\n",
            Append("saved-messages", FlagList(Flag.SEEN, ("x",)), None, LiteralHead(310, True, False)),
        ),
        (
            b' {5}\r\ninbox () "17-Jul-1996 02:44:25 -0700" ~{1}\r\n',
            Append("INBOX", FlagList(), Moment(837596665, -420), LiteralHead(1, False, True)),
        ),
        (
            b' x "17-Jul-1996 02:44:25 -0700" {99999999999999999999}\r\n',
            Append("x", FlagList(), Moment(837596665, -420), LiteralHead(2**63 - 1, False, False)),
        ),
    ],
)
def test_append_is_read_up_to_its_letter(arguments: bytes, value: Append) -> None:
    assert commands.read_append_head(b"a1 APPEND" + arguments, 9) == value
    every_cut(lambda buffer, _: commands.read_append_head(buffer, 0), arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        b" {310}\r\n",
        b" x\r\n",
        b" x (\\Seen)\r\n",
        b" x  {310}\r\n",
        b" x (\\Seen){310}\r\n",
        b' x "17-Jul-1996 02:44:25 -0700" (\\Seen) {310}\r\n',
        b" x (\\Recent) {310}\r\n",
        b" x y {310}\r\n",
        b" x {310}\r\nx",
        b" &AAA- {310}\r\n",
    ],
)
def test_what_is_no_append_is_refused(arguments: bytes) -> None:
    with pytest.raises(SyntaxFault):
        commands.read_append_head(arguments, 0)


def test_appends_mailbox_may_be_a_literal_itself() -> None:
    assert append_names_by_literal(b"a APPEND {5}\r\n", 8)
    assert append_names_by_literal(b"a APPEND {5+}\n", 8)
    for letters in (
        b" x {5}\r\n",
        b" {5}\r\ninbox {5}\r\n",
        b" {5}\r\nx {5}\r\n",
        b" (\\Seen) {5}\r\n",
        b" x\r\n",
        b"",
    ):
        assert not append_names_by_literal(b"a APPEND" + letters, 8)


@settings(deadline=None, max_examples=400)
@given(octets([arguments + b"\r\n" for _, arguments, _ in READ] + [b" x (\\Seen) {310+}\r\n", b" {5}\r\n", b" "]))
def test_readers_refuse_or_read_whatever_comes(buffer: bytes) -> None:
    for name, read in READERS.items():
        if name not in ("read_head", "read_sasl_response"):
            refuses_or_reads(read, buffer)
    refuses_or_reads(lambda line, _: commands.read_sasl_response(line), buffer)
    append_names_by_literal(buffer, 0)
    assert read_head(buffer).position <= len(buffer)
