"""kill -9 at any moment: what was acknowledged is there, whole, once; no UID is used again."""

from __future__ import annotations

import imaplib
import os
import random
import re
import select
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.forms import WRITERS, roles_of, settings_of, shared
from tests.faults.load import Load, Record, body
from tests.house import ALICE, BOB, House
from tests.mailbag import imap, without_trace
from tests.scale import ROUNDS

_ID = re.compile(rb"^Message-ID: <([^>]*)>\r$", re.MULTILINE)
_UID = re.compile(rb"UID (\d+)")


class Ledger:
    """What has been seen of a mailbox over all rounds."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.validity: bytes | None = None
        self.uids: dict[int, str] = {}

    def look(self, house: House, record: Record) -> set[str]:
        """Hold the mailbox to what is known of it; gives the ids that are there."""
        client = imap(house, self.address)
        try:
            client.select("INBOX", readonly=True)
            validity = client.response("UIDVALIDITY")[1][0]
            assert self.validity in (None, validity)
            self.validity = validity
            found = _letters(client)
        finally:
            client.logout()
        for uid, id in self.uids.items():
            assert found.get(uid) == id, f"UID {uid} was {id}"
        self.uids = found
        assert max(Counter(found.values()).values(), default=1) == 1, "a letter is there twice"
        return set(found.values())


def _letters(client: imaplib.IMAP4) -> dict[int, str]:
    """Ids by UID; each letter is compared with what was sent."""
    status, answers = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
    assert status == "OK"
    found = {}
    for answer in answers:
        if isinstance(answer, tuple):
            uid, letter = _UID.search(answer[0]), without_trace(answer[1])
            id = _ID.search(letter)
            assert uid is not None
            assert id is not None
            assert letter == body(id[1].decode()), "a letter is not whole"
            found[int(uid[1])] = id[1].decode()
    return found


def _settle(house: House, record: Record, ledgers: list[Ledger]) -> None:
    there: set[str] = set()
    for ledger in ledgers:
        there |= ledger.look(house, record)
    assert record.acknowledged <= there, "an acknowledged letter is lost"
    assert there <= record.begun
    assert not there & record.refused, "a letter that was refused turned up"
    for uid, id in record.uids.items():
        assert ledgers[1].uids[uid] == id


@pytest.mark.parametrize("writer", WRITERS)
def test_the_whole_group_is_killed_under_load(tmp_path: Path, writer: str) -> None:
    house, record = House(tmp_path, workers=2, settings=settings_of(writer)), Record()
    ledgers = [Ledger(ALICE), Ledger(BOB)]
    dice = random.Random(26)
    for number in range(shared(ROUNDS)):
        house.start()
        _settle(house, record, ledgers)
        with Load(house, record, f"round{number}"):
            record.wait_for(len(record.acknowledged) + dice.randrange(1, 120))
            house.kill()
        checked = house.run("fsck")
        assert checked.returncode == 0, checked.stdout + checked.stderr
    house.start()
    _settle(house, record, ledgers)
    assert house.stop() == 0
    assert "Traceback" not in house.log()


@pytest.mark.parametrize(("writer", "role"), [(writer, role) for writer in WRITERS for role in roles_of(writer)])
def test_one_role_is_killed_and_the_others_go_on(tmp_path: Path, writer: str, role: str) -> None:
    record, ledgers = Record(), [Ledger(ALICE), Ledger(BOB)]
    dice = random.Random(role)
    with House(tmp_path, workers=2, settings=settings_of(writer)) as house:
        for number in range(shared(ROUNDS)):
            with Load(house, record, f"round{number}", stay=True):
                record.wait_for(len(record.acknowledged) + dice.randrange(1, 60))
                pids = house.pids()
                os.kill(pids[role], signal.SIGKILL)
                record.wait_for(len(record.acknowledged) + 40)
                house.wait_for_successor(role, pids[role])
            others = {name: pid for name, pid in pids.items() if name != role}
            assert others.items() <= house.pids().items(), "another role ended too"
            _settle(house, record, ledgers)
        checked = house.run("fsck")
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("writer", WRITERS)
def test_without_its_supervisor_no_role_stays(tmp_path: Path, writer: str) -> None:
    house = House(tmp_path, settings=settings_of(writer))
    house.start()
    assert house.process is not None
    pids = house.pids()
    ends = [os.pidfd_open(pid) for pid in pids.values()]
    os.kill(house.process.pid, signal.SIGKILL)
    for end in ends:
        assert select.select([end], [], [], 10)[0], "a role lives on"
        os.close(end)
    house.kill()
    house.start()
    assert house.stop() == 0
