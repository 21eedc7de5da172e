"""SCRAM as clients of other hands do it: Cyrus SASL in mbsync, GNU SASL in msmtp; with the default count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import drive, fetched, needs
from tests.system.logins import Caller

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"))
    made.add_accounts()
    for address in (ALICE, BOB):
        done = made.run("account", "passwd", address, "--password-stdin", input=PASSWORDS[address] + "\n")
        assert done.returncode == 0, done.stderr
    with made:
        yield made


def test_scram_is_offered_once_all_passwords_have_keys(house: House) -> None:
    with Caller(house, "imaps") as caller:
        assert {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"} < caller.offered()


def test_scram_is_not_offered_while_one_came_as_a_ready_hash(tmp_path: Path) -> None:
    with House(tmp_path) as other, Caller(other, "imaps") as caller:
        assert caller.offered() == {"PLAIN", "LOGIN"}


def test_mbsync_by_cyrus_sasl(house: House, tmp_path: Path) -> None:
    needs("mbsync")
    (tmp_path / "mail").mkdir()
    (tmp_path / "mbsyncrc").write_text(
        f"""
IMAPAccount postroom
Host 127.0.0.1
Port {house.port("imap")}
User {ALICE}
Pass {PASSWORDS[ALICE]}
SSLType STARTTLS
CertificateFile {house.data}/tls/cert.pem
AuthMechs SCRAM-SHA-256

IMAPStore far
Account postroom

MaildirStore near
Path {tmp_path}/mail/
Inbox {tmp_path}/mail/INBOX

Channel letters
Far :far:
Near :near:
Create Near
SyncState *
"""
    )
    drive(["mbsync", "-c", str(tmp_path / "mbsyncrc"), "-a"])
    assert (tmp_path / "mail" / "INBOX" / "cur").is_dir()


@pytest.mark.parametrize("way", ["submission", "submissions"])
def test_msmtp_by_gnu_sasl(house: House, way: str) -> None:
    needs("msmtp")
    before = len(fetched(house, BOB))
    starttls = "on" if way == "submission" else "off"
    words = ["msmtp", "--host=127.0.0.1", f"--port={house.port(way)}", "--tls=on", f"--tls-starttls={starttls}"]
    words += ["--tls-certcheck=off", "--auth=scram-sha-256", f"--user={ALICE}"]
    words += [f"--passwordeval=echo {PASSWORDS[ALICE]}", f"--from={ALICE}", BOB]
    drive(words, input=f"From: {ALICE}\nSubject: scram\n\nLetter.\n".encode())
    assert len(fetched(house, BOB)) == before + 1
