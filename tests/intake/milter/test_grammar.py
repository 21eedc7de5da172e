from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.intake.milter.grammar import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    Command,
    InsertHeader,
    MilterFault,
    Options,
    Quarantine,
    Refuse,
    RemoveRecipient,
    ReplaceBody,
    Step,
    Word,
    check_options,
    read_answer,
    write_connect,
    write_macros,
    write_options,
    write_packet,
    write_strings,
)
from postroom.net.limits import MILTER_REPLY_CHARACTERS
from postroom.smtp.replies import R451_FILTER, R550_FILTER, Reply
from tests.intake.milter.filter import options


def test_a_command_has_its_length_before_it() -> None:
    assert write_packet(Command.HELO, write_strings((b"client.test",))) == b"\0\0\0\x0dHclient.test\0"
    assert write_options() == b"\0\0\0\x0dO" + struct.pack(">III", 6, 0xFF, 0x1FF7FF)


def test_a_client_is_told_by_family_port_and_address() -> None:
    assert write_connect("192.0.2.1", 25) == b"\0\0\0\x1aC[192.0.2.1]\x004\0\x19192.0.2.1\0"
    assert write_connect("2001:db8::1%eth0", 25)[5:] == b"[2001:db8::1]\x006\0\x192001:db8::1\0"
    assert write_connect("", 0)[5:] == b"localhost\0U"


def test_macros_go_in_pairs_and_empty_ones_stay_away() -> None:
    told = write_macros(Command.MAIL, {"i": "a1.1", "{auth_authen}": "", "{mail_addr}": "jo@x\0y.test"})
    assert told[5:] == b"Mi\0a1.1\0{mail_addr}\0jo@xy.test\0"


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        (b"c", Word.CONTINUE),
        (b"a", Word.ACCEPT),
        (b"d", Word.DISCARD),
        (b"s", Word.SKIP),
        (b"p", Word.PROGRESS),
        (b"r", Refuse(R550_FILTER)),
        (b"t", Refuse(R451_FILTER)),
        (b"4", Refuse(R451_FILTER)),
        (b"f", Refuse(R451_FILTER)),
        (b"hX-A\0 b\0", AddHeader(b"X-A", b" b")),
        (b"i\0\0\0\1X-A\0b\n\tc\0", InsertHeader(1, b"X-A", b"b\n\tc")),
        (b"m\0\0\0\2X-A\0\0", ChangeHeader(2, b"X-A", b"")),
        (b"bnew body\r\n", ReplaceBody(b"new body\r\n")),
        (b"+<a@b.test>\0", AddRecipient(b"<a@b.test>")),
        (b"2<a@b.test>\0NOTIFY=NEVER\0", AddRecipient(b"<a@b.test>")),
        (b"-<a@b.test>\0", RemoveRecipient(b"<a@b.test>")),
        (b"e<a@b.test>\0", ChangeSender(b"<a@b.test>")),
        (b"qlooks \x1b bad\0", Quarantine("looks ? bad")),
    ],
)
def test_an_answer_is_read(packet: bytes, answer: object) -> None:
    assert read_answer(packet) == answer


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (b"550 5.7.1 Go away\0", Reply(550, "5.7.1", "Go away")),
        (b"550 Go away\0", Reply(550, "5.7.1", "Go away")),
        (b"451\0", Reply(451, "4.7.1", R550_FILTER.text)),
        (b"550-5.7.1 One\r\n550 5.7.1 two\0", Reply(550, "5.7.1", "One two")),
        (b"451 5.7.1 Not the same kind\0", Reply(451, "4.7.1", "Not the same kind")),
        (b"550 5.7.1 100%% \x1b[31m \xc3\xa9\0", Reply(550, "5.7.1", "100% ?[31m ?")),
        (b"421 4.3.2 Bye", Reply(421, "4.3.2", "Bye")),
    ],
)
def test_a_reply_in_the_filters_words_is_one_clean_line(text: bytes, reply: Reply) -> None:
    assert read_answer(b"y" + text) == Refuse(reply)
    assert reply.octets.count(b"\r\n") == 1


def test_a_long_reply_is_cut() -> None:
    for octets in (MILTER_REPLY_CHARACTERS, MILTER_REPLY_CHARACTERS + 1, 100 * MILTER_REPLY_CHARACTERS):
        answer = read_answer(b"y550 5.7.1 " + b"x" * octets + b"\0")
        assert isinstance(answer, Refuse) and len(answer.reply.text) == MILTER_REPLY_CHARACTERS


@pytest.mark.parametrize(
    "packet",
    [
        b"Z",
        b"O\0\0",
        b"y",
        b"y\0",
        b"y250 2.0.0 fine\0",
        b"ygo away\0",
        b"y550 no\r\ngo away\0",
        b"hX-A\0b",
        b"hX-A",
        b"hX A\0b\0",
        b"h\0b\0",
        b"hX:A\0b\0",
        b"hX\r\nBcc\0b\0",
        b"i\0\0\0",
        b"m\0\0\0\1X-A\0",
        b"+<a@b.test>",
        b"-",
        b"e",
    ],
)
def test_what_is_no_answer_is_a_fault(packet: bytes) -> None:
    with pytest.raises(MilterFault):
        read_answer(packet)


@given(st.binary(min_size=1, max_size=100))
def test_no_octets_do_anything_but_read_or_fail(packet: bytes) -> None:
    try:
        read_answer(packet)
    except MilterFault as fault:
        assert str(fault).isascii()


def test_options_may_be_fewer_and_not_more() -> None:
    def chosen(octets: bytes) -> Options:
        answer = read_answer(octets[4:])
        assert isinstance(answer, Options)
        return answer

    for good in (options(6, 0xFF, 0x1FF7FF), options(2, 1, 0x7F), options(6, 0, 0), options(4, 0, 0x80)):
        check_options(chosen(good))
    assert chosen(options(6, 1, 0x400) + b"\0\0\0\0j {x}\0").steps == Step.SKIP
    for bad in (options(1), options(7), options(6, 0x100), options(6, 1, 0x800), options(2, 1, 0x80)):
        with pytest.raises(MilterFault):
            check_options(chosen(bad))
