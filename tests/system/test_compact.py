"""`postroom compact` beside a server whose sessions were there before, and without one."""

from __future__ import annotations

import fcntl
import json
import os
import poplib
import smtplib
from pathlib import Path
from typing import Any

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import fetched, imap
from tests.store.compactions import add_dead_record, body, files, fill, rows

COUNT = 30


def _deliver(house: House) -> None:
    with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
        for number in range(1, COUNT + 1):
            client.sendmail("x@elsewhere.test", [ALICE, BOB] if number == 1 else [ALICE], body(number))
        client.sendmail("x@elsewhere.test", [BOB], body(100, 600_000))
        client.sendmail("x@elsewhere.test", [BOB], body(101))


def _age(house: House, table: str, column: str) -> None:
    """As if time had passed."""
    rows(house.data, f"UPDATE {table} SET {column} = {column} - 15 * 86400 WHERE {column} IS NOT NULL")


def _compact(house: House, *words: str) -> Any:
    done = house.run("compact", "--json", *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_sessions_that_were_there_before_see_every_letter_as_it_was(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    _deliver(house)
    assert house.stop() == 0
    house.start()
    reader, cleaner = imap(house, ALICE), imap(house, ALICE)
    pop = poplib.POP3("127.0.0.1", house.port("pop3"))
    try:
        pop.user(BOB)
        pop.pass_(PASSWORDS[BOB])
        large = pop.retr(2)[1]
        reader.select("INBOX", readonly=True)
        before = {number: reader.fetch(str(number), "(BODY.PEEK[])")[1] for number in range(1, COUNT + 1, 3)}
        cleaner.select("INBOX")
        gone = ",".join(str(number) for number in range(2, COUNT + 1, 2))
        cleaner.store(gone, "+FLAGS.SILENT", "(\\Deleted)")
        cleaner.expunge()
        assert _compact(house)["compacted"]["segments"] == 0, "they may be brought back"

        _age(house, "tombstones", "gone")
        add_dead_record(house.data, rows(house.data, "SELECT max(segment) FROM messages")[0][0], 5000)
        old = set(files(house.data))
        said = _compact(house, "--all")
        assert said["forgotten"]["letters"] == COUNT // 2
        assert said["compacted"]["segments"] == 2
        assert said["compacted"]["unlinked"] == 0
        assert set(files(house.data)) > old
        _age(house, "segments", "retired")
        assert _compact(house)["compacted"]["unlinked"] == 2
        assert not old & set(files(house.data))

        assert pop.retr(2)[1] == large
        assert b"\r\n".join(pop.retr(3)[1]).endswith(body(101).rstrip())
        for number, answer in before.items():
            status, now = reader.fetch(str(number), "(BODY.PEEK[])")
            if number % 2:
                assert (status, now) == ("OK", answer)
            else:
                assert status == "NO" or now == [None], "it was expunged, and is not another one now"
        assert len(fetched(house, ALICE)) == COUNT // 2
    finally:
        for client in (reader, cleaner):
            client.shutdown()
        pop.close()
        assert house.stop() == 0
    assert "Traceback" not in house.log()
    checked = house.run("fsck")
    assert checked.returncode == 0, checked.stdout


def test_without_a_server_the_room_is_won_at_once(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert house.run("compact").stderr.endswith("there is no store yet; `postroom serve` makes one\n")
    fill(house.data, COUNT, gone=lambda _: False)
    said = house.run("compact")
    assert (said.returncode, said.stdout) == (
        0,
        "0 letters forgotten, 0 segments compacted: 0 bytes won, 0 files removed\n",
    )
    add_dead_record(house.data, 1, 50_000)
    before = sum(files(house.data).values())
    said = house.run("compact", "--all")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("0 letters forgotten, 1 segment compacted: 50.")
    assert said.stdout.endswith(" won, 1 file removed\n")
    assert before - sum(files(house.data).values()) >= 50_000


def test_two_at_a_time_are_one_too_many(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.add_accounts()
    lock = os.open(house.data / "run" / "compaction.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    said = house.run("compact")
    os.close(lock)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == "postroom: another compaction is under way\n"
    assert house.run("compact").returncode == 0


def test_a_damaged_letter_is_told_of(tmp_path: Path) -> None:
    house = House(tmp_path)
    fill(house.data, COUNT)
    ((offset,),) = rows(house.data, "SELECT min(offset) FROM messages WHERE segment = 1")
    with next((house.data / "segments").glob("*01.seg")).open("r+b") as file:
        file.seek(offset + 300)
        file.write(b"\0\0")
    said = house.run("compact", "--all")
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1] == ("postroom: 1 damaged segment left alone; `postroom fsck` tells more")
