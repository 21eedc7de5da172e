"""`postroom undelete` and `postroom story` on the running program, and while it is down."""

from __future__ import annotations

import json
import poplib
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import fetched, imap
from tests.system.raw import Raw


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house"), workers=2) as house:
        yield house


def send(house: House, subject: str, *to: str) -> str:
    """A letter by SMTP, whose Message-ID is made of the subject; the id that the server gave it."""
    letter = (
        f"From: =?utf-8?q?J=C3=B6rg?= <joerg@elsewhere.test>\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject.split()[0]}@elsewhere.test>\r\n\r\nHello\r\n"
    )
    with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
        client.ehlo()
        client.mail("joerg@elsewhere.test")
        for each in to:
            client.rcpt(each)
        code, said = client.data(letter.encode())
    assert code == 250
    return said.decode().rpartition(" ")[2]


def expunge(house: House, address: str, mailbox: str = "INBOX") -> None:
    client = imap(house, address)
    client.select(mailbox)
    client.store("1:*", "+FLAGS.SILENT", "(\\Deleted)")
    client.close()
    client.logout()


def listed(house: House, *words: str) -> list[dict[str, Any]]:
    done = house.run("undelete", "list", "--json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_letter_comes_back_and_who_waits_in_idle_hears_of_it(house: House) -> None:
    send(house, "Lunch on =?utf-8?q?Friday=3F=1B=5B2J?=", ALICE)
    send(house, "Something else", ALICE)
    expunge(house, ALICE)
    (row,) = listed(house, "--account", ALICE, "--subject", "lunch")
    assert row["from"] == "Jörg <joerg@elsewhere.test>"
    shown = house.run("undelete", "list", "--account", ALICE, "--from", "JÖRG")
    assert row["letter"] in shown.stdout
    assert "Lunch on Friday?" in shown.stdout
    assert "\x1b" not in shown.stdout
    with Raw(house, "imap") as raw:
        assert raw.answer(f"LOGIN {ALICE} {PASSWORDS[ALICE]}".encode())[0].startswith(b"OK")
        assert raw.answer(b"SELECT INBOX")[0].startswith(b"OK")
        raw.say(b"t IDLE\r\n")
        assert raw.line().startswith(b"+ ")
        done = house.run("undelete", "restore", "--letter", row["letter"].lower())
        assert (done.returncode, done.stdout) == (0, f"{ALICE} INBOX: 1 letter brought back\n")
        assert raw.line() == b"* 1 EXISTS"
        raw.say(b"DONE\r\n")
        assert raw.tagged()[0].startswith(b"OK")
    (letter,) = fetched(house, ALICE)
    assert b"Lunch on " in letter
    assert listed(house, "--subject", "lunch") == []
    again = house.run("undelete", "restore", "--letter", row["letter"])
    assert (again.returncode, again.stderr) == (1, "postroom: nothing of that can be brought back\n")


def test_a_deleted_mailbox_comes_back_with_its_letters(house: House) -> None:
    client = imap(house, ALICE)
    client.create("Work/Plans")
    for number in range(3):
        client.append("Work/Plans", None, None, b"Subject: plan %d\r\n\r\n" % number)
    client.delete("Work/Plans")
    client.logout()
    (row,) = listed(house, "--deleted-mailboxes", "--account", ALICE)
    assert (row["kind"], row["mailbox"], row["letters"]) == ("mailbox", "Work/Plans", 3)
    shown = house.run("undelete", "list", "--mailbox", "Work/Plans").stdout
    assert re.search(rf"deleted mailboxes\n  \S+ \S+  {ALICE}  Work/Plans  3 letters, ", shown)
    done = house.run("undelete", "restore", "--account", ALICE, "--mailbox-deleted", "Work/Plans")
    assert done.stdout == f"{ALICE} Work/Plans: the mailbox and 3 letters brought back\n"
    assert fetched(house, ALICE, "Work/Plans") == [b"Subject: plan %d\r\n\r\n" % number for number in range(3)]


def test_a_letter_s_story_is_told_by_each_of_its_names(house: House) -> None:
    id = send(house, "Storied letter", ALICE, BOB)
    expunge(house, BOB)
    told = house.run("story", id)
    assert told.returncode == 0
    email_id, *lines = told.stdout.splitlines()
    story = "\n".join(lines)
    session = id.partition(".")[0]
    assert re.search(rf"  arrived  smtp-{session}  id={id} peer=127.0.0.1 .* from=<joerg@elsewhere.test>", story)
    assert re.search(rf"  flags  {BOB}/imap-\w+  INBOX \+FLAGS \(\\Deleted\)", story)
    assert re.search(rf"  expunged  {BOB}/imap-\w+  INBOX", story)
    assert f"  in {ALICE}: INBOX, UID " in story
    assert re.search(rf"  in {BOB}: INBOX, UID 1 until .* \(expunged\)", story)
    for name in (
        [email_id],
        ["--message-id", "<Storied@elsewhere.test>"],
        ["--message-id", "Storied@elsewhere.test"],
    ):
        assert house.run("story", *name, "--account", BOB).stdout == told.stdout
    row = json.loads(house.run("story", email_id, "--json").stdout)
    assert row["letter"] == email_id
    assert [each["what"] for each in row["story"]] == ["arrived", "flags", "expunged"]
    other = house.run("story", id, "--account", "carol@example.test")
    assert (other.returncode, other.stderr) == (1, "postroom: no such letter is kept\n")


def test_what_was_deleted_by_pop3_comes_back_while_the_server_is_down(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        for subject in ("One", "Two"):
            send(house, subject, BOB)
        client = poplib.POP3("127.0.0.1", house.port("pop3"))
        client.user(BOB)
        client.pass_(PASSWORDS[BOB])
        client.dele(2)
        client.quit()
        house.stop()
        (row,) = listed(house)
        assert house.run("undelete", "restore", "--all").stdout == f"{BOB} INBOX: 1 letter brought back\n"
        story = house.run("story", row["letter"]).stdout
        assert re.search(rf"  expunged  {BOB}/pop3-\w+  INBOX\n.*  restored  \S+/cli-[0-9]+  INBOX\n", story)
        removed = house.run("account", "remove", BOB)
        assert removed.returncode == 0
        assert "(account removed)" in house.run("undelete", "list").stdout
        failed = house.run("undelete", "restore", "--account", BOB, "--mailbox", "INBOX")
        assert failed.returncode == 1
        assert f"{BOB} INBOX: 2 letters not brought back: the account is gone; add it first\n" in failed.stderr
