"""SMTP smuggling and chunks (docs/security.md), attacked over real sockets: where a letter ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.house import House
from tests.system.raw import Raw, alive, clear, every_cut, letters, smtp

_MAIL = b"MAIL FROM:<sender@elsewhere.test>"
_RCPT = b"RCPT TO:<alice@example.test>"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(autouse=True)
def _others_go_on(house: House) -> Iterator[None]:
    """Each attack starts from an empty mailbox, and stands between two commands of somebody else."""
    clear(house)
    with smtp(house) as other:
        yield
        assert other.ask(b"NOOP") == b"250 2.0.0 Ok"
    alive(house)


def _begin(house: House, protocol: str = "smtp") -> Raw:
    """A connection at which the letter is awaited."""
    raw = smtp(house, protocol)
    sender = _MAIL if protocol == "smtp" else b"MAIL FROM:<alice@example.test>"
    assert raw.ask(sender, _RCPT).startswith(b"250")
    assert raw.ask(b"DATA").startswith(b"354")
    return raw


_SMUGGLED = b"MAIL FROM:<evil@evil.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
_FALSE_ENDS = [
    b"".join(each)
    for each in itertools.product((b"\r\n", b"\n", b"\r", b"\r\r\n", b"\x00\r\n"), (b".",), (b"\r\n", b"\n", b"\r"))
    if each != (b"\r\n", b".", b"\r\n") and each != (b"\x00\r\n", b".", b"\r\n")
]
_FALSE_ENDS.remove(b"\r\r\n.\r\n")


@pytest.mark.parametrize("end", _FALSE_ENDS, ids=repr)
@pytest.mark.parametrize("protocol", ["smtp", "submission"])
def test_nothing_but_crlf_dot_crlf_ends_a_letter(house: House, protocol: str, end: bytes) -> None:
    """CVE-2023-51764 to -51766, CVE-2024-27305."""
    with _begin(house, protocol) as raw:
        raw.say(b"Subject: outer\r\n\r\nbefore" + end + _SMUGGLED + b".\r\n")
        assert raw.reply() == b"550 5.6.0 Bare CR or LF in the letter"
        # Exactly one reply for all of it: the next is the next command's.
        assert raw.ask(b"HELP 221") == b"214 2.0.0 221 2.0.0 Goodbye"
    assert letters(house) == []


@pytest.mark.parametrize("end", [b"\r\r\n.\r\n", b"\r.\r\n\r\n.\r\n"], ids=repr)
def test_a_true_end_behind_a_stray_cr_ends_and_is_refused(house: House, end: bytes) -> None:
    with _begin(house) as raw:
        raw.say(b"Subject: outer\r\n\r\nbefore" + end)
        assert raw.reply() == b"550 5.6.0 Bare CR or LF in the letter"
        assert raw.ask(b"NOOP") == b"250 2.0.0 Ok"
    assert letters(house) == []


def test_the_end_of_a_letter_is_found_wherever_it_is_cut(house: House) -> None:
    body = b"Subject: cut\r\n\r\n..a\r\n...\r\n.\r\n"
    cuts = list(every_cut(body))
    with smtp(house) as raw:
        for first, second in cuts:
            assert raw.ask(_MAIL, _RCPT, b"DATA").startswith(b"354")
            raw.say(first, second)
            assert raw.reply().startswith(b"250 2.6.0 ")
    kept = letters(house)
    assert len(kept) == len(cuts)
    assert all(letter.endswith(b"Subject: cut\r\n\r\n.a\r\n..\r\n") for letter in kept)


def test_a_false_end_is_none_wherever_it_is_cut(house: House) -> None:
    with smtp(house) as raw:
        for first, second in every_cut(b"a\n.\r\nQUIT\r\n.\r\n"):
            assert raw.ask(_MAIL, _RCPT, b"DATA").startswith(b"354")
            raw.say(first, second)
            assert raw.reply().startswith(b"550 5.6.0 ")
    assert letters(house) == []


def test_commands_behind_the_end_in_one_segment_are_answered_in_order(house: House) -> None:
    with _begin(house) as raw:
        raw.say(b"Subject: first\r\n\r\n.\r\nNOOP\r\nRCPT TO:<a@b.test>\r\nVRFY x\r\nQUIT\r\n")
        told = [raw.reply()[:3] for _ in range(5)]
        assert told == [b"250", b"250", b"503", b"252", b"221"]
        assert raw.rest() == b""


def test_a_nul_in_a_letter_refuses_it(house: House) -> None:
    with _begin(house) as raw:
        raw.say(b"Subject: nul\r\n\r\na\x00b\r\n.\r\n")
        assert raw.reply() == b"550 5.6.0 NUL in the letter"
        assert raw.ask(b"NOOP") == b"250 2.0.0 Ok"
    assert letters(house) == []


@pytest.mark.parametrize("octets", [b"\x01", b"\xff\xfe\x80", b"\x1a\x04", b"\x7f\x1b[2J"], ids=repr)
def test_any_other_octet_in_a_letter_comes_back_as_it_was(house: House, octets: bytes) -> None:
    letter = b"Subject: octets\r\n\r\n" + octets + b" text\r\n"
    with _begin(house) as raw:
        raw.say(letter + b".\r\n")
        assert raw.reply().startswith(b"250 ")
    (kept,) = letters(house)
    assert kept.endswith(letter)


# --- chunks


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (b"BDAT 30 LAST\r\n" + b"MAIL FROM:<e@e.test>\r\nNOOP\r\n..", b"503 5.5.1 "),
        (b"BDAT 5\r\nNOOP\n", b"503 5.5.1 "),
        (b"BDAT 0 LAST\r\n", b"503 5.5.1 "),
        (b"BDAT 99999999999999999999999999\r\nQUIT\r\n", b"501 5.5.4 "),
        (b"BDAT +5\r\nNOOP\n", b"501 5.5.4 "),
        (b"BDAT -1\r\n", b"501 5.5.4 "),
        (b"BDAT 1_0\r\n", b"501 5.5.4 "),
        (b"BDAT 5 FIRST\r\nNOOP\n", b"501 5.5.4 "),
    ],
    ids=repr,
)
def test_the_octets_of_a_refused_chunk_are_never_run(house: House, command: bytes, told: bytes) -> None:
    """CVE-2017-16943."""
    with smtp(house) as raw:
        raw.say(command)
        assert raw.reply().startswith(told)
        if told.startswith(b"503"):
            assert raw.ask(b"NOOP") == b"250 2.0.0 Ok"
        else:
            assert raw.rest() == b""
