"""POP3's two modes as the textbook has them: getmail and mpop keep the letters on the server, fetchmail deletes
them."""

from __future__ import annotations

import os
import poplib
import shutil
import tempfile
from pathlib import Path

from tests.house import ALICE, PASSWORDS, House
from tests.mailbag import append, crlf, drive, empty, fetched, hashes, needs


def _maildir(folder: Path) -> Path:
    for sub in ("cur", "new", "tmp"):
        (folder / sub).mkdir(parents=True)
    return folder


def _uidls(house: House) -> list[bytes]:
    pop = poplib.POP3("127.0.0.1", house.port("pop3"))
    pop.user(ALICE)
    pop.pass_(PASSWORDS[ALICE])
    _, lines, _ = pop.uidl()
    pop.quit()
    return lines


def _getmail(house: House) -> list[bytes]:
    """One run of getmail in a folder of its own, as on another machine: what it has brought."""
    with tempfile.TemporaryDirectory(prefix="getmail-") as name:
        folder = Path(name)
        maildir = _maildir(folder / "mail")
        # getmail delivers nothing as root.
        user = ""
        if os.getuid() == 0:
            folder.chmod(0o755)
            for path in (maildir, *maildir.iterdir()):
                shutil.chown(path, "nobody")
            user = "user = nobody"
        (folder / "getmailrc").write_text(
            f"""[retriever]
type = SimplePOP3SSLRetriever
server = 127.0.0.1
port = {house.port("pop3s")}
username = {ALICE}
password = {PASSWORDS[ALICE]}
[destination]
type = Maildir
path = {maildir}/
{user}
[options]
delete = false
read_all = false
delivered_to = false
received = false
"""
        )
        drive(["getmail", f"--getmaildir={folder}", "--rcfile=getmailrc"], seconds=300)
        # getmail writes one field of its own in front.
        return [path.read_bytes().partition(b"\n")[2] for path in (maildir / "new").iterdir()]


def test_getmail_keeps(house: House, carried: list[bytes]) -> None:
    needs("getmail")
    empty(house, ALICE)
    append(house, ALICE, carried)
    before = _uidls(house)
    for _machine in ("here", "away"):
        brought = _getmail(house)
        assert hashes(map(crlf, brought)) == hashes(carried)
    assert _uidls(house) == before
    assert hashes(fetched(house, ALICE)) == hashes(carried)


def test_fetchmail_deletes(house: House, carried: list[bytes], tmp_path: Path) -> None:
    needs("fetchmail")
    empty(house, ALICE)
    append(house, ALICE, carried)
    script = tmp_path / "mda"
    script.write_text('#!/bin/sh\nexec cat > "$0.d/$(date +%s%N).$$"\n')
    script.chmod(0o700)
    (tmp_path / "mda.d").mkdir()
    settings = tmp_path / "fetchmailrc"
    settings.write_text(
        f"poll 127.0.0.1 service {house.port('pop3')} protocol pop3 auth password uidl\n"
        f'user "{ALICE}" password "{PASSWORDS[ALICE]}" is nobody here\n'
        f"fetchall nokeep norewrite no forcecr pass8bits no mimedecode no dropstatus sslproto ''\n"
        f"mda {script}\n"
    )
    settings.chmod(0o600)
    words = ["fetchmail", "-f", str(settings), "--invisible", "--nosyslog", "--pidfile", str(tmp_path / "pid")]
    environment = f"FETCHMAILHOME={tmp_path}"
    drive(["env", environment, *words], seconds=300)
    brought = [path.read_bytes() for path in (tmp_path / "mda.d").iterdir()]
    assert hashes(map(crlf, brought)) == hashes(carried)
    assert _uidls(house) == []
    assert fetched(house, ALICE) == []
    assert os.listdir(tmp_path / "mda.d")


def test_mpop_keeps_and_brings_nothing_twice(house: House, carried: list[bytes], tmp_path: Path) -> None:
    needs("mpop")
    empty(house, ALICE)
    append(house, ALICE, carried)
    maildir = _maildir(tmp_path / "mail")
    words = ["mpop", "--host=127.0.0.1", f"--port={house.port('pop3s')}", "--tls=on", "--tls-starttls=off"]
    words += ["--tls-certcheck=off", "--auth=user", f"--user={ALICE}", f"--passwordeval=echo {PASSWORDS[ALICE]}"]
    words += ["--keep=on", "--received-header=off", f"--uidls-file={tmp_path / 'uidls'}"]
    for _again in range(2):
        drive([*words, f"--delivery=maildir,{maildir}"], seconds=300)
        brought = [path.read_bytes() for path in (maildir / "new").iterdir()]
        assert hashes(map(crlf, brought)) == hashes(carried)
    assert hashes(fetched(house, ALICE)) == hashes(carried)
