"""Quota on the running program: set by the command, held by every way in, at once and in every worker."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator

import pytest

from tests.house import ALICE, BOB, House
from tests.mailbag import fetched, imap

LETTER = b"Subject: x\r\n\r\n" + b"y" * 1000 + b"\r\n"
FULL = (452, b"4.2.2 The mailbox has no room for that letter")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    tables = '[quota]\nmail = "1MiB"\nmail_letters = 100\ndomain_mail = "1GiB"'
    with House(tmp_path_factory.mktemp("house"), workers=2, tables=tables) as house:
        yield house


def quota(house: House, *words: str) -> dict[str, object]:
    done = house.run("account", "quota", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_configuration_s_defaults_are_shown_and_changed_for_one(house: House) -> None:
    assert quota(house, BOB)["max_octets"] == 2**20
    assert quota(house, "--domain", "example.test")["max_octets"] == 2**30
    changed = quota(house, BOB, "--mail", "2MiB", "--letters", "none")
    assert (changed["max_octets"], changed["max_letters"]) == (2 * 2**20, 0)
    assert quota(house, BOB, "--mail", "default")["max_octets"] == 2**20
    assert quota(house, BOB)["max_letters"] == 0
    assert quota(house, ALICE)["max_letters"] == 100
    shown = house.run("account", "quota", BOB).stdout
    assert shown == f"{BOB}: 0 octets of 1.0 MiB\n{BOB}: 0 letters, no limit\n"


def test_all_ways_in_hold_to_a_limit_from_the_moment_it_is_set(house: House) -> None:
    with smtplib.SMTP("127.0.0.1", house.port("smtp")) as smtp:
        smtp.ehlo()
        smtp.mail("x@elsewhere.test", [f"size={len(LETTER)}"])
        assert smtp.rcpt(ALICE)[0] == 250
        assert smtp.data(LETTER)[0] == 250
        prefix = len(fetched(house, ALICE)[0]) - len(LETTER)
        assert quota(house, ALICE, "--mail", str(2 * len(LETTER) + prefix + 10))["letters"] == 1
        # As announced it fits, with what is put before it it doesn't.
        smtp.mail("x@elsewhere.test", [f"size={len(LETTER)}"])
        assert smtp.rcpt(ALICE)[0] == smtp.rcpt(BOB)[0] == 250
        assert smtp.data(LETTER) == FULL
        assert fetched(house, BOB) == []
        client = imap(house, ALICE)
        assert client.append("INBOX", None, None, b"z" * (len(LETTER) + 11)) == (
            "NO",
            [b"[OVERQUOTA] No room is left in the quota"],
        )
        assert client.append("INBOX", None, None, b"z" * (len(LETTER) + 10))[0] == "OK"
        smtp.mail("x@elsewhere.test")
        assert smtp.rcpt(ALICE) == FULL
        client.select()
        assert client.copy("1", "Archive")[0] == "NO"
        client.store("1", "+FLAGS", "(\\Deleted)")
        client.expunge()
        assert smtp.rcpt(ALICE)[0] == 250
        assert smtp.data(LETTER)[0] == 250
        client.logout()
    assert "imap.over-quota" in house.log()
    rows = json.loads(house.run("account", "list", "--json").stdout)
    assert {row["address"]: row["letters"] for row in rows} == {ALICE: 2, BOB: 0}


@pytest.mark.parametrize("words", [["carol@example.test", "--mail", "1GiB"], ["--domain", "other.test"]])
def test_whose_quota_can_t_be_set_is_said_in_one_line(house: House, words: list[str]) -> None:
    done = house.run("account", "quota", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
