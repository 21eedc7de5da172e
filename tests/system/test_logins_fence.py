"""The real program behind its fence: what it does it still does, and its roles are where they should be."""

from __future__ import annotations

import imaplib
import os
import poplib
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from postroom.net.tls import KeyPair, make_self_signed
from postroom.site import landlock
from tests.house import ALICE, PASSWORDS, PATIENCE, House

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock"),
]


def deliver(house: House, count: int) -> None:
    with smtplib.SMTP("127.0.0.1", house.port("smtp"), timeout=PATIENCE) as client:
        for number in range(count):
            client.sendmail("a@else.test", [ALICE], f"Subject: {number}\r\n\r\n{'text ' * 200}\r\n")


def imap(house: House) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", house.port("imap"), timeout=PATIENCE)
    client.login(ALICE, PASSWORDS[ALICE])
    return client


def letters(house: House) -> int:
    client = imap(house)
    (count,) = client.select()[1]
    client.logout()
    return int(count or 0)


def run(house: House, *words: str) -> str:
    done = house.run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def certify(folder: Path) -> bytes:
    """A new certificate beside the data directory, in the place of the old one; gives it as clients see it."""
    make_self_signed(KeyPair(folder / "cert.pem", folder / "key.pem"), "mx.example.test")
    return ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text())


def shown(house: House) -> bytes:
    """The certificate that clients see now."""
    return ssl.PEM_cert_to_DER_cert(
        ssl.get_server_certificate(("127.0.0.1", house.port("imaps")), timeout=PATIENCE)
    )


def with_certificate(folder: Path, settings: str) -> House:
    house = House(folder, settings=settings)
    text = house.config_path.read_text()
    own = '[tls]\ncertificate = "cert.pem"\nkey = "key.pem"\n'
    house.config_path.write_text(text.replace("[tls]\n", own))
    return house


def test_everything_works_behind_the_fence(tmp_path: Path) -> None:
    certificate = certify(tmp_path)
    with with_certificate(tmp_path, 'writer = "inline"') as house:
        assert shown(house) == certificate
        deliver(house, 20)
        assert letters(house) == 20
        with_pop = poplib.POP3("127.0.0.1", house.port("pop3"), timeout=PATIENCE)
        with_pop.user(ALICE)
        with_pop.pass_(PASSWORDS[ALICE])
        for number in range(1, 16):
            with_pop.dele(number)
        with_pop.quit()
        # The index is opened and left by others, many times.
        run(house, "account", "list")
        run(house, "fsck")
        run(house, "compact")
        run(house, "backup", str(tmp_path / "backup"))
        # A killed worker's successor comes behind the fence, too, and finds all as it was.
        for role in ("worker-0", "runner"):
            pid = house.pids()[role]
            os.kill(pid, signal.SIGKILL)
            house.wait_for_successor(role, pid)
        deliver(house, 1)
        assert letters(house) == 6
        client = imap(house)
        client.append("Drafts", "", imaplib.Time2Internaldate(time.time()), b"Subject: draft\r\n\r\nx\r\n")
        client.select()
        assert client.search(None, "TEXT", "text")[1][0].split() != []
        client.logout()
        # Files beside the data directory are out of the roles' sight once they are replaced: these are handed over.
        certificate = certify(tmp_path)
        run(house, "reload")
        assert shown(house) == certificate
        deliver(house, 1)
        assert letters(house) == 7
        assert "not-fenced" not in house.log()
        # All at once, as a power cut.
        house.kill()
        house.start()
        assert letters(house) == 7
        assert house.stop() == 0
    assert "PermissionError" not in house.log() and "Permission denied" not in house.log()


FILES = """
import os, sys
pid = int(sys.argv[1])
print(sorted({os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}))
"""


def test_no_role_but_the_authority_has_the_secrets_open(tmp_path: Path) -> None:
    with House(tmp_path, settings='writer = "keeper"') as house:
        deliver(house, 3)
        assert letters(house) == 3
        for role, pid in house.pids().items():
            opened = subprocess.run(
                [sys.executable, "-c", FILES, str(pid)], capture_output=True, text=True, check=True
            )
            assert ("secrets.db" in opened.stdout) is (role == "authority")
            assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()


def test_where_there_is_no_landlock_the_server_runs_and_says_so_once(tmp_path: Path) -> None:
    house = House(tmp_path)
    wrapper = Path(__file__).with_name("seccomp.py")
    house.start(sys.executable, str(wrapper))
    try:
        deliver(house, 1)
        assert letters(house) == 1
        pid = house.pids()["worker-0"]
        os.kill(pid, signal.SIGKILL)
        house.wait_for_successor("worker-0", pid)
        assert letters(house) == 1
        assert house.log().count("not-fenced") == 1
    finally:
        assert house.stop() == 0


def is_roots(path: Path) -> bool:
    return path.name.startswith("secrets.db") or path.name == "reload.sock"


def _reachable() -> bool:
    """Whether another user could run this Python."""
    places = {Path(sys.executable).resolve(), Path(os.__file__).resolve(), Path(landlock.__file__).resolve()}
    return all(parent.stat().st_mode & 0o001 for place in places for parent in place.parents)


@pytest.mark.skipif(os.geteuid() != 0 or not _reachable(), reason="only root can run it as another user")
def test_as_root_the_roles_become_the_user(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="postroom-user-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        certify(folder)
        with with_certificate(folder, 'user = "nobody"\nundelete = "0s"') as house:
            for role, pid in house.pids().items():
                owner = Path(f"/proc/{pid}").stat().st_uid
                assert (owner == 0) is (role == "authority"), role
            deliver(house, 3)
            assert letters(house) == 3
            run(house, "account", "set", ALICE, "--short", "alice")
            certificate = certify(folder)
            run(house, "reload")
            assert shown(house) == certificate
            client = imap(house)
            client.select()
            client.store("1", "+FLAGS", "\\Deleted")
            client.expunge()
            client.logout()
            run(house, "compact", "--all")
            run(house, "backup", str(folder / "backup"))
            client = imap(house)
            client.select()
            assert client.fetch("1:2", "(BODY[])")[0] == "OK"
            client.logout()
            assert (house.data / "secrets.db").stat().st_uid == 0
            # Root's commands leave nothing that the roles couldn't open.
            assert [path for path in house.data.rglob("*") if path.stat().st_uid == 0 and not is_roots(path)] == []
            house.kill()
            house.start()
            assert letters(house) == 2
