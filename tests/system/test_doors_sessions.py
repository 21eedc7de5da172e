"""`postroom sessions` on the real program: who is connected, over all workers, and the end of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.system.raw import Raw


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), workers=2) as house:
        yield house


def _listed(house: House, *words: str) -> list[dict[str, object]]:
    ended = house.run("sessions", "list", "--json", *words)
    assert ended.returncode == 0, ended
    return [json.loads(line) for line in ended.stdout.splitlines()]


def _imap(house: House, protocol: str, account: str) -> Raw:
    raw = Raw(house, protocol)
    assert raw.answer(b"LOGIN %b %b" % (account.encode(), PASSWORDS[account].encode()))[0].startswith(b"OK")
    return raw


def test_sessions_are_listed_with_what_each_said_last(house: House) -> None:
    with Raw(house, "smtp") as smtp, _imap(house, "imaps", ALICE) as imap, Raw(house, "pop3") as pop3:
        smtp.ask(b"EHLO client.test", b"MAIL FROM:<a@b.test>")
        pop3.say(b"USER bob@example.test\r\nPASS " + PASSWORDS[BOB].encode() + b"\r\n")
        assert pop3.line().startswith(b"+OK") and pop3.line().startswith(b"+OK")
        rows = {row["protocol"]: row for row in _listed(house)}
        assert list(rows) == ["smtp", "imaps", "pop3"]  # by age
        assert rows["smtp"]["command"] == "MAIL FROM:<a@b.test>" and rows["smtp"]["account"] == ""
        assert rows["imaps"]["account"] == ALICE and rows["imaps"]["tls"] == "TLSv1.3"
        assert rows["pop3"]["account"] == BOB and rows["pop3"]["tls"] is None
        assert all(row["peer"] == "127.0.0.1" for row in rows.values())
        told = house.run("sessions", "list").stdout
        assert len(told.splitlines()) == 4 and "MAIL FROM:<a@b.test>" in told
        for password in PASSWORDS.values():
            assert password not in told + json.dumps(list(rows.values()))
        assert [row["protocol"] for row in _listed(house, "--protocol", "pop3")] == ["pop3"]
        assert [row["protocol"] for row in _listed(house, "--account", ALICE.upper())] == ["imaps"]
        assert len(_listed(house, "--peer", "127.0.0.0/8")) == 3 and not _listed(house, "--peer", "192.0.2.1")
        assert imap.answer(b"NOOP")[0].startswith(b"OK")


def test_a_session_is_ended_in_its_protocols_words_and_the_others_go_on(house: House) -> None:
    with _imap(house, "imap", BOB) as other:
        for protocol, said in (
            ("smtp", b"421 4.3.2 The session was ended by hand, closing\r\n"),
            ("pop3", b"-ERR [SYS/TEMP] The session was ended by hand\r\n"),
            ("imap", b"* BYE [UNAVAILABLE] The session was ended by hand\r\n"),
        ):
            with Raw(house, protocol) as raw:
                (row,) = [row for row in _listed(house, "--protocol", protocol) if row["account"] == ""]
                ended = house.run("sessions", "kill", str(row["id"]))
                assert (ended.returncode, ended.stdout) == (0, "1 session ended.\n")
                assert raw.rest() == said
        assert other.answer(b"NOOP")[0].startswith(b"OK")


def test_all_sessions_of_an_account_or_a_peer_are_ended(house: House) -> None:
    with _imap(house, "imap", ALICE) as one, _imap(house, "imaps", ALICE) as two, _imap(house, "imap", BOB) as bob:
        assert house.run("sessions", "kill", "--account", ALICE).stdout == "2 sessions ended.\n"
        assert one.rest().startswith(b"* BYE ") and two.rest().startswith(b"* BYE ")
        assert bob.answer(b"NOOP")[0].startswith(b"OK")
        assert house.run("sessions", "kill", "--peer", "127.0.0.1").stdout == "1 session ended.\n"
        assert bob.rest().startswith(b"* BYE ")


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (("kill", "nosuch"), 1, "there is no such session"),
        (("kill",), 2, "an ID, --account or --peer is wanted"),
        (("kill", "x", "--account", ALICE), 2, "one of them"),
        (("kill", "--peer", "nonsense"), 1, "'nonsense' is no address and no network"),
        (("list", "--protocol", "nonsense"), 2, "nonsense"),
    ],
)
def test_what_is_not_there_or_no_sense_is_said_in_one_line(
    house: House, words: tuple[str, ...], status: int, why: str
) -> None:
    # A peer is looked at where somebody is connected.
    with Raw(house, "smtp"):
        ended = house.run("sessions", *words)
    assert (ended.returncode, ended.stderr.count("\n")) == (status, 1), ended
    assert why in ended.stderr


def test_without_a_server_there_are_none(tmp_path: Path) -> None:
    for words in (("list",), ("kill", "x")):
        ended = House(tmp_path).run("sessions", *words)
        assert ended.returncode == 1 and "no server runs here" in ended.stderr
