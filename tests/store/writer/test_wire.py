"""What a writer and the keeper say to each other comes over whole, and nothing else is understood."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.message.structure import Facts
from postroom.store.apply.letters import FileLetter
from postroom.store.blobs import LargeBody
from postroom.store.changes import (
    Answer,
    Change,
    Copy,
    CreateMailbox,
    Expunge,
    Filed,
    How,
    Reason,
    Refused,
    SetFlags,
    Subscribe,
    Target,
)
from postroom.store.interface import StorageFull, StoreBusy, StoreFault, Unreadable
from postroom.store.shipping import Parcel
from postroom.store.values import (
    Account,
    AccountId,
    Flag,
    Mailbox,
    MailboxId,
    ModSeq,
    Place,
    SpecialUse,
    Uid,
    UidValidity,
)
from postroom.store.writer.codec import codec_of
from postroom.store.writer.wire import (
    HEADER_OCTETS,
    Answers,
    Batch,
    Hello,
    Piece,
    Reply,
    Welcome,
    WireFault,
    read_header,
    read_kept,
    read_to_keeper,
    read_to_writer,
    write_answers,
    write_batch,
    write_hello,
    write_item,
    write_kept,
    write_reply,
    write_welcome,
)

MOST = 2**63 - 1
NUMBERS = st.integers(-(2**63), MOST)
WORDS = st.text(st.characters(), max_size=20)
FACTS = Facts(90, 4000, b"(NIL)", b'("TEXT")', b"\0\1", None, None, -5, (1, 2**63 - 1), "S", True, "a", "b", "")
TARGETS = (Target(MailboxId(7), b"X: y\r\n", Flag.SEEN | Flag.DRAFT, ("$a", "b")), Target(MailboxId(8)))


def split(frame: bytes) -> tuple[memoryview, memoryview]:
    """A frame's text and what is behind it."""
    text, octets = read_header(frame[:HEADER_OCTETS])
    view = memoryview(frame)[HEADER_OCTETS:]
    assert len(view) == text + octets
    return view[:text], view[text:]


def as_items(*items: Any) -> tuple[Any, ...]:
    """Items as the keeper gets them."""
    message = read_to_keeper(*split(write_batch(3, 2, [write_item(item) for item in items])))
    assert isinstance(message, Batch)
    assert (message.first, message.heard) == (3, 2)
    return message.items


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a class, with numbers and words of all kinds."""
    with_body = {"body": st.binary(max_size=50)} if kind is Parcel else {}
    return st.builds(kind, **with_body) if isinstance(kind, type) else st.from_type(kind)


@pytest.fixture(autouse=True, scope="module")
def _numbers() -> Iterator[None]:
    st.register_type_strategy(int, NUMBERS)
    st.register_type_strategy(str, WORDS)
    yield
    st.register_type_strategy(int, st.integers())
    st.register_type_strategy(str, st.text())


@pytest.mark.parametrize("kind", [Parcel, FileLetter, *get_args(Change)], ids=lambda kind: kind.__name__)
def test_every_change_comes_over_as_it_was(kind: type) -> None:
    @given(of(kind), of(kind))
    def both(one: Any, other: Any) -> None:
        assert as_items(one, other) == (one, other)

    both()


@pytest.mark.parametrize("kind", [*get_args(Answer)], ids=lambda kind: kind.__name__)
def test_every_answer_comes_over_and_out_of_the_index_as_it_was(kind: type) -> None:
    @given(of(kind), NUMBERS)
    def reply(value: Any, number: int) -> None:
        piece = write_reply(value)
        assert read_kept(write_kept(piece)) == value
        assert read_to_writer(*split(write_answers([MailboxId(4)], True, [(number, piece)]))) == Answers(
            (MailboxId(4),), True, ((number, value),)
        )

    reply()


def test_a_letter_comes_with_its_octets_and_all_that_is_known_of_it() -> None:
    small = Parcel(bytes(range(256)) * 40, FACTS, TARGETS, 1_700_000_000, -60, "alice", "a note")
    large = FileLetter("M0", Place(3, 4096, 300_000), 305_000, FACTS, TARGETS, 0, 0)
    again = as_items(small, large, small)
    assert again == (small, large, small)
    assert type(again[1].place) is Place
    assert isinstance(again[0].targets[0].flags, Flag)


def test_answers_of_all_kinds_come_together() -> None:
    filed = (Filed(UidValidity(1), (Uid(2),)), Refused(Reason.NO_SUCH_MAILBOX))
    mailbox = Mailbox(MailboxId(1), AccountId(2), "Ü/b", UidValidity(3), SpecialUse.JUNK, "F1")
    replies: list[tuple[int, Reply]] = [
        (1, filed),
        (2, mailbox),
        (5, Account(AccountId(1), "a@b.test", files=None)),
        (6, ()),
    ]
    message = read_to_writer(*split(write_answers([], False, [(n, write_reply(each)) for n, each in replies])))
    assert message == Answers((), False, tuple(replies))


@pytest.mark.parametrize("fault", [StoreFault("a"), StorageFull("b"), StoreBusy("c\udce9")])
def test_faults_come_over_by_their_kind(fault: StoreFault) -> None:
    again = read_kept(write_kept(write_reply(fault)))
    assert type(again) is type(fault)
    assert str(again).replace("?", "\udce9") == str(fault)


def test_a_fault_of_another_kind_is_a_fault() -> None:
    class Odd(StoreFault):
        """One that is not in the table."""

    assert type(read_kept(write_kept(write_reply(Odd("x"))))) is StoreFault


def test_greetings() -> None:
    assert read_to_keeper(*split(write_hello("worker-0-abc"))) == Hello("worker-0-abc")
    assert read_to_writer(*split(write_welcome("k"))) == Welcome("k")


@pytest.mark.parametrize(
    "item",
    [
        CreateMailbox(AccountId(2**63), "x"),
        SetFlags(MailboxId(1), (Uid(1), Uid(2**63)), How.ADD, Flag.SEEN),
        SetFlags(MailboxId(1), (), How.ADD, Flag.SEEN, (), ModSeq(2**64)),
        Parcel(bytearray(b"x"), FACTS, TARGETS, 0, 0),  # type: ignore[arg-type]
        Parcel(LargeBody.__new__(LargeBody), FACTS, TARGETS, 0, 0),
        Subscribe(AccountId(1), {}),  # type: ignore[arg-type]
        Unreadable("x"),
    ],
)
def test_what_can_t_be_told_is_refused_where_it_is_said(item: Any) -> None:
    with pytest.raises(WireFault):
        # A dictionary has a text, and the keeper refuses it.
        as_items(item)


def _text(change: Callable[[list[Any]], object]) -> bytes:
    """The text of a batch with one SetFlags, spoilt."""
    items = [write_item(SetFlags(MailboxId(1), (Uid(1),), How.ADD, Flag.SEEN, ("a",), ModSeq(5), "me"))]
    tree = json.loads(bytes(split(write_batch(1, 0, items))[0]))
    change(tree)
    return json.dumps(tree).encode()


def _set(fields: list[Any], at: int, value: object) -> None:
    fields[1][2][0][1][at] = value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'["Batch"]',
        b'["Batch",[]]',
        b'["Nothing",[]]',
        b'["Batch",[1,0,[["Account",[1,"a",false,false,false,null,0]]]]]',
        b'["Batch",[1,0,[["SetFlags",[]]]]]',
        b'["Batch",[1,0,["SetFlags"]]]',
        b'["Batch",[1,0,{}]]',
        b'["Batch",[1,0,[[[],[]]]]]',
        b'["Batch",[true,0,[]]]',
        b'["Batch",[1.0,0,[]]]',
        b'["Batch",[1e400,0,[]]]',
        b'["Batch",[NaN,0,[]]]',
        b'["Batch",[9223372036854775808,0,[]]]',
        b'["Batch",[' + b"9" * 5000 + b",0,[]]]",
        b'["Hello",[1]]',
        b'["Hello",["\xff"]]',
        b'["Answers",[[],false,[]]]',
        b'["Welcome",["me"]]',
        b"[" * 100_000,
        _text(lambda tree: _set(tree, 0, "1")),
        _text(lambda tree: _set(tree, 1, [1, None])),
        _text(lambda tree: _set(tree, 1, [1, True])),
        _text(lambda tree: _set(tree, 1, [2**63])),
        _text(lambda tree: _set(tree, 1, 7)),
        _text(lambda tree: _set(tree, 2, "FLAG")),
        _text(lambda tree: _set(tree, 2, ["FLAGS"])),
        _text(lambda tree: _set(tree, 3, 32)),
        _text(lambda tree: _set(tree, 3, -1)),
        _text(lambda tree: _set(tree, 3, None)),
        _text(lambda tree: _set(tree, 4, "a")),
        _text(lambda tree: _set(tree, 6, None)),
        _text(lambda tree: tree[1][2][0][1].append(0)),
        _text(lambda tree: tree[1][2][0].append(0)),
    ],
)
def test_what_is_no_message_is_refused(text: bytes) -> None:
    with pytest.raises(WireFault):
        read_to_keeper(memoryview(text), memoryview(b""))


@pytest.mark.parametrize("count", [-1, 5, True, 1.0, None, "4", 3])
def test_octets_must_be_there_and_all_be_somebody_s(count: object) -> None:
    text, octets = split(write_batch(1, 0, [write_item(Parcel(b"abcd", FACTS, (), 0, 0))]))
    tree = json.loads(bytes(text))
    read_to_keeper(text, octets)
    tree[1][2][0][1][0] = count
    with pytest.raises(WireFault):
        read_to_keeper(memoryview(json.dumps(tree).encode()), octets)


def test_a_keeper_s_fault_must_be_one_that_is_known() -> None:
    with pytest.raises(WireFault):
        read_to_writer(memoryview(b'["Answers",[[],false,[[1,["_Failed",["KeyError","x"]]]]]]'), memoryview(b""))


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_any_octets_are_a_message_or_a_fault(text: bytes, octets: bytes) -> None:
    for read in (read_to_keeper, read_to_writer):
        with pytest.raises(WireFault):
            read(memoryview(text), memoryview(octets))
    with pytest.raises(WireFault):
        read_kept(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS, lambda each: st.lists(each, max_size=4)
)


@given(st.sampled_from([*get_args(Change), Parcel, FileLetter]), JSON)
def test_any_tree_in_place_of_a_change_is_that_change_or_a_fault(kind: type, tree: object) -> None:
    text = json.dumps(["Batch", [1, 0, [[kind.__name__, tree]]]]).encode()
    try:
        message = read_to_keeper(memoryview(text), memoryview(b""))
    except WireFault:
        return
    assert isinstance(message, Batch)
    assert type(message.items[0]) is kind


@pytest.mark.parametrize("cut", range(12))
def test_a_kept_reply_that_is_cut_or_has_more_is_refused(cut: int) -> None:
    kept = write_kept(write_reply(Refused(Reason.TOO_MANY)))
    with pytest.raises(WireFault):
        read_kept(kept[:cut])
    with pytest.raises(WireFault):
        read_kept(kept + bytes(cut + 1))


def test_what_has_no_codec_is_a_bug_of_ours() -> None:
    for kind in (dict[str, int], float, object):
        with pytest.raises(TypeError):
            codec_of(kind)


def test_a_piece_knows_its_size() -> None:
    assert Piece(b"abc", (b"de", b"", b"f")).size == 6
    assert write_item(Copy(MailboxId(1), (), MailboxId(2))).octets == ()
    assert write_item(Expunge(MailboxId(1), None)).octets == ()
