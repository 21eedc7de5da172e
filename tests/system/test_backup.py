"""`postroom backup` and `restore` as people use them: beside a server, after a loss, for one letter."""

from __future__ import annotations

import json
import os
import poplib
import shutil
import smtplib
import threading
from functools import partial
from pathlib import Path
from typing import Any

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import imap
from tests.scale import scaled
from tests.store.earlier import rows
from tests.system.inside import command


def _send(house: House, *numbers: int) -> None:
    with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
        for number in numbers:
            letter = f"From: x@elsewhere.test\r\nSubject: number {number}\r\n\r\nLetter {number}.\r\n"
            client.sendmail("x@elsewhere.test", [ALICE, BOB], letter)


def _drop(house: House) -> tuple[list[bytes], list[list[bytes]]]:
    """Alice's maildrop: UIDLs and letters."""
    pop = poplib.POP3("127.0.0.1", house.port("pop3"))
    pop.user(ALICE)
    pop.pass_(PASSWORDS[ALICE])
    try:
        uidl = [line.split()[1] for line in pop.uidl()[1]]
        return uidl, [pop.retr(number)[1] for number in range(1, len(uidl) + 1)]
    finally:
        pop.quit()


def _validity(house: House) -> int:
    client = imap(house, ALICE)
    client.select("INBOX")
    ((_, (octets,)),) = [client.response("UIDVALIDITY")]
    client.logout()
    return int(octets)


def _backup(house: House, path: Path, *words: str) -> Any:
    done = command(house, "backup", str(path), "--json", *words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


def test_a_site_that_was_lost_comes_back_with_logins_letters_and_uidl(tmp_path: Path) -> None:
    house, path = House(tmp_path), tmp_path / "backup"
    house.start()
    _send(house, 1, 2, 3)
    assert _backup(house, path)["letters"] == 3
    _send(house, 4)
    second = _backup(house, path, "--verify-all")
    assert (second["letters"], second["verify_all"]) == (4, [])
    assert 0 < second["copied"] < 1000
    before, validity, certificate = _drop(house), _validity(house), (house.data / "tls" / "cert.pem").read_bytes()
    house.kill()
    shutil.rmtree(house.data)
    config = house.config_path.read_text()
    house.config_path.unlink()

    back = house.run("restore", str(path))
    assert (back.returncode, back.stderr) == (0, "")
    assert "4 letters of 2 accounts" in back.stdout and "on hold" in back.stdout
    assert house.config_path.read_text() == config
    house.start()
    try:
        assert _drop(house) == before
        assert _validity(house) > validity
        assert (house.data / "tls" / "cert.pem").read_bytes() == certificate
        _send(house, 5)
        assert len(_drop(house)[0]) == 5
        refused = house.run("backup", str(path))
        assert refused.returncode == 1 and "another index" in refused.stderr and refused.stderr.count("\n") == 1
    finally:
        assert house.stop() == 0
    assert house.run("fsck").returncode == 0


def test_letters_that_come_meanwhile_are_all_answered_and_each_backup_is_whole(tmp_path: Path) -> None:
    with House(tmp_path, workers=2) as house:
        done, sent = threading.Event(), [0, 0]

        def go_on(worker: int) -> None:
            while not done.is_set():
                _send(house, sent[worker])
                sent[worker] += 1

        senders = [threading.Thread(target=go_on, args=(worker,)) for worker in range(2)]
        for each in senders:
            each.start()
        letters = []
        for number in range(scaled(2, 20)):
            told = _backup(house, tmp_path / "backup")
            letters.append(told["letters"])
            back = tmp_path / f"back{number}"
            back.mkdir()
            elsewhere = House(back)
            restored = command(elsewhere, "restore", str(tmp_path / "backup"), "--json")
            assert restored.returncode == 0, restored.stderr
            assert json.loads(restored.stdout)["letters"] == told["letters"]
        done.set()
        for each in senders:
            each.join()
        assert letters == sorted(letters)
        assert _backup(house, tmp_path / "backup")["letters"] == sum(sent)


def test_one_letter_and_one_mailbox_come_back_while_the_server_runs(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        path = str(tmp_path / "backup")
        _send(house, 1, 2, 3)
        _backup(house, tmp_path / "backup")
        before = _drop(house)[1]
        client = imap(house, ALICE)
        client.select("INBOX")
        client.store("1:3", "+FLAGS", "(\\Deleted)")
        client.expunge()
        ((email_id,),) = rows(house.data / "index.db", "SELECT email_id FROM messages WHERE id = 2")
        one = command(house, "restore", path, "--account", ALICE, "--letter", email_id)
        assert (one.returncode, one.stdout) == (0, f"{ALICE} INBOX: 1 letter brought back\n"), one.stderr
        client.noop()
        assert client.response("EXISTS")[1][-1] == b"1", "whoever is there hears of it"
        client.logout()
        rest = command(house, "restore", path, "--account", ALICE, "--mailbox", "INBOX", "--json")
        assert json.loads(rest.stdout) == {
            "account": ALICE,
            "mailbox": "INBOX",
            "letters": 2,
            "there": 1,
            "damaged": 0,
            "refused": 0,
            "reason": None,
        }
        assert sorted(_drop(house)[1]) == sorted(before)
        for words, says in (
            (("--account", "carol@example.test"), "no such account here"),
            (("--account", ALICE, "--mailbox", "Nowhere"), "Nowhere is not in the snapshot"),
            (("--account", ALICE, "--snapshot", "20200101T000000Z"), "no such snapshot"),
            (("--account", ALICE, "--snapshot", "2020-01-01"), "no such snapshot"),
            ((), "is not empty"),
        ):
            refused = command(house, "restore", path, *words)
            assert refused.returncode == 1 and says in refused.stderr and refused.stderr.count("\n") == 1, refused


def test_what_cant_be_is_said_in_one_line(tmp_path: Path) -> None:
    house = House(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    for words, status, says in (
        (("backup", str(tmp_path / "backup")), 1, "there is no store yet"),
        (("restore", str(tmp_path / "backup")), 1, "is no directory of a backup"),
        (("restore", str(tmp_path / "backup"), "--mailbox", "INBOX"), 2, "go with --account"),
    ):
        refused = command(house, *words)
        assert (refused.returncode, refused.stderr.count("\n")) == (status, 1), refused
        assert says in refused.stderr
    house.add_accounts()
    for where, says in (
        (house.data / "backup", "lies in the data directory"),
        (tmp_path / "other", "not empty"),
        (Path("/proc/none"), "No such file or directory"),
    ):
        refused = command(house, "backup", str(where))
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused
        assert says in refused.stderr
    assert os.listdir(tmp_path / "other") == ["thesis.txt"]


def test_snapshots_are_listed_and_chosen_by_their_time(tmp_path: Path) -> None:
    house, path = House(tmp_path), tmp_path / "backup"
    house.add_accounts()
    first, second = (_backup(house, path, "--keep", "2")["snapshot"] for _ in range(2))
    listed = json.loads(command(house, "restore", str(path), "--list", "--json").stdout)
    assert [each["snapshot"] for each in listed] == [first, second]
    lines = command(house, "restore", str(path), "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [first, second] and "0 letters of 2 accounts" in lines[0]
    shutil.move(house.data, tmp_path / "old")
    for wanted in (first, "2100-01-01"):
        back = command(house, "restore", str(path), "--snapshot", wanted)
        assert back.returncode == 0, back.stderr
        assert (first if wanted == first else second) in back.stdout
        shutil.rmtree(house.data)


def test_certificates_that_the_configuration_names_come_back_where_they_are_missing(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.add_accounts()
    pair = {name: (house.data / "tls" / f"{name}.pem").read_bytes() for name in ("cert", "key")}
    for name, octets in pair.items():
        (tmp_path / f"my-{name}.pem").write_bytes(octets)
    house.config_path.write_text('[tls]\ncertificate = "my-cert.pem"\nkey = "my-key.pem"\n')
    _backup(house, tmp_path / "backup")
    shutil.rmtree(house.data)
    house.config_path.unlink()
    (tmp_path / "my-key.pem").unlink()
    back = command(house, "restore", str(tmp_path / "backup"), "--json")
    assert back.returncode == 0, back.stderr
    assert json.loads(back.stdout)["files"] == [str(house.config_path), str(tmp_path / "my-key.pem")]
    assert (tmp_path / "my-key.pem").read_bytes() == pair["key"]
    assert (tmp_path / "my-key.pem").stat().st_mode & 0o777 == 0o600
    assert command(house, "check-config").returncode == 0


def test_no_server_starts_on_a_restore_that_was_cut_short(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.add_accounts()
    _backup(house, tmp_path / "backup")
    shutil.rmtree(house.data)
    house.data.mkdir()
    (house.data / "restoring").touch()
    for run, words in ((house.run, ("serve",)), (partial(command, house), ("account", "list"))):
        refused = run(*words)
        assert refused.returncode == 1 and "cut short" in refused.stderr.splitlines()[-1], refused
    assert command(house, "restore", str(tmp_path / "backup")).returncode == 0
    assert ALICE in command(house, "account", "list").stdout
