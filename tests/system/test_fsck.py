"""`postroom fsck` on a real site: beside a server that works, and on a store that is damaged."""

from __future__ import annotations

import imaplib
import json
import poplib
import shutil
import smtplib
import threading
from pathlib import Path

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.scale import scaled
from tests.store.damage import damage, flip, record, segment

pytestmark = pytest.mark.system

LETTER = b"From: x@elsewhere.test\r\nSubject: hello\r\n\r\nA letter.\r\n"


def send(house: House, count: int = 1) -> None:
    with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
        for _ in range(count):
            client.sendmail("x@elsewhere.test", [ALICE, BOB], LETTER)


def login(house: House, who: str = ALICE) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", house.port("imap"))
    client.login(who, PASSWORDS[who])
    return client


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a site with three letters."""
    house = House(tmp_path_factory.mktemp("house"))
    with house:
        send(house, 3)
        client = login(house)
        client.select()
        client.store("2", "+FLAGS", "(\\Flagged $Work)")
        client.logout()
    return house.data


@pytest.fixture
def stopped(data: Path, tmp_path: Path) -> House:
    """A house that has it, without its server."""
    shutil.copytree(data, tmp_path / "data", ignore=shutil.ignore_patterns("*.sock"))
    return House(tmp_path)


def test_beside_a_server_under_load_there_is_no_false_alarm(tmp_path: Path) -> None:
    with House(tmp_path, workers=2) as house:
        send(house, 5)
        done = threading.Event()
        faults: list[BaseException] = []

        def keep() -> None:
            try:
                while not done.is_set():
                    send(house, 3)
                    client = login(house)
                    client.select()
                    client.store("1:*", "+FLAGS", "\\Seen")
                    client.copy("1", "Archive")
                    client.store("1", "+FLAGS", "\\Deleted")
                    client.expunge()
                    client.create("a/b")
                    client.delete("a/b")
                    client.logout()
                    drop = poplib.POP3("127.0.0.1", house.port("pop3"))
                    drop.user(BOB)
                    drop.pass_(PASSWORDS[BOB])
                    drop.dele(1)
                    drop.quit()
            except BaseException as fault:
                faults.append(fault)

        thread = threading.Thread(target=keep)
        thread.start()
        try:
            for _ in range(scaled(3, 60)):
                told = house.run("fsck", "--json")
                assert json.loads(told.stdout) == [], told.stdout
                assert told.returncode == 0
        finally:
            done.set()
            thread.join()
        assert not faults


def test_what_changes_something_needs_the_server_to_be_down(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        for option in ("--repair", "--rebuild-index"):
            done = house.run("fsck", option)
            assert done.returncode == 1
            assert "a server already runs" in done.stderr
            assert len(done.stderr.splitlines()) == 1
    done = house.run("fsck", "--repair", "--rebuild-index")
    assert done.returncode == 2


def test_a_sound_store_is_left_alone_by_repair(stopped: House) -> None:
    done = stopped.run("fsck", "--repair")
    assert done.returncode == 0
    assert done.stdout == "the store is sound\n"
    assert not (stopped.data / "snapshots").exists()


def test_a_wrong_counter_is_repaired_and_the_index_as_it_was_is_kept(stopped: House) -> None:
    damage(stopped.data, "UPDATE mailboxes SET unseen = 77 WHERE name = 'INBOX'")
    found = stopped.run("fsck")
    assert found.returncode == 1
    assert f"problem: {ALICE}, INBOX: unseen says 77, counted 3" in found.stdout
    assert "nothing was changed" in found.stderr
    done = stopped.run("fsck", "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"repaired: {ALICE}, INBOX: unseen says 77, counted 3" in done.stdout
    assert "the store is sound" in done.stdout
    (folder,) = (stopped.data / "snapshots").iterdir()
    assert (folder / "index.db").stat().st_mode & 0o777 == 0o600
    assert stopped.run("fsck").returncode == 0


def test_a_letter_that_is_damaged_is_told_with_what_to_do(stopped: House) -> None:
    offset, size = record(stopped.data, 2)
    (number,) = [int(path.stem) for path in (stopped.data / "segments").iterdir()]
    flip(segment(stopped.data, number), offset + size // 2)
    done = stopped.run("fsck", "--repair")
    assert done.returncode == 1
    assert "`postroom restore DIR --letter M" in done.stdout
    assert "left" in done.stderr


def test_a_lost_index_is_made_anew_and_the_server_goes_on(stopped: House) -> None:
    for path in stopped.data.glob("index.db*"):
        path.unlink()
    found = stopped.run("fsck")
    assert found.returncode == 1
    assert "the index is lost; `postroom fsck --rebuild-index`" in found.stderr
    done = stopped.run("fsck", "--rebuild-index")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "made anew from the segments, with 3 letters" in done.stdout
    with stopped:
        client = login(stopped)
        assert client.select() == ("OK", [b"3"])
        fetched = client.fetch("1", "(BODY[])")[1][0]
        assert isinstance(fetched, tuple)
        assert fetched[1].endswith(LETTER)
        client.logout()
        send(stopped)


def test_an_index_full_of_garbage_is_made_anew_with_what_can_be_read(stopped: House) -> None:
    index = stopped.data / "index.db"
    octets = bytearray(index.read_bytes())
    octets[:16] = b"not an index any"
    index.write_bytes(octets)
    for option in ((), ("--repair",)):
        found = stopped.run("fsck", *option)
        assert found.returncode == 1
        assert "`postroom fsck --rebuild-index`" in found.stderr
        assert len(found.stderr.splitlines()) == 1
    done = stopped.run("fsck", "--rebuild-index", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["severity"] for row in json.loads(done.stdout)} == {"repaired", "note"}
    with stopped:
        client = login(stopped)
        assert client.select() == ("OK", [b"3"])
        client.logout()
