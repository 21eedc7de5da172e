"""mbsync pulls and pushes letters, both ways at once, over STARTTLS."""

from __future__ import annotations

import re
from pathlib import Path

from tests.house import ALICE, PASSWORDS, House
from tests.mailbag import append, crlf, drive, fetched, hashes, needs

_TUID = re.compile(rb"^X-TUID: .*\r?\n", re.MULTILINE)
"""By this field mbsync knows a letter again that it has just copied."""


def _settings(house: House, maildir: Path) -> str:
    return f"""
IMAPAccount postroom
Host 127.0.0.1
Port {house.port("imap")}
User {ALICE}
Pass {PASSWORDS[ALICE]}
SSLType STARTTLS
CertificateFile {house.data}/tls/cert.pem

IMAPStore far
Account postroom

MaildirStore near
Path {maildir}/
Inbox {maildir}/INBOX
SubFolders Verbatim

Channel letters
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
"""


def _letters(folder: Path) -> list[bytes]:
    found = [path for sub in ("cur", "new") for path in (folder / sub).iterdir()]
    return [_TUID.sub(b"", path.read_bytes()) for path in found]


def test_mbsync_pulls_and_pushes(house: House, carried: list[bytes], tmp_path: Path) -> None:
    needs("mbsync")
    append(house, ALICE, carried)
    maildir = tmp_path / "mail"
    outgoing = maildir / "Pushed"
    for folder in ("cur", "new", "tmp"):
        (outgoing / folder).mkdir(parents=True)
    for number, letter in enumerate(carried):
        (outgoing / "cur" / f"{number}.letter:2,S").write_bytes(letter.replace(b"\r\n", b"\n"))
    (tmp_path / "mbsyncrc").write_text(_settings(house, maildir))
    sync = ["mbsync", "-c", str(tmp_path / "mbsyncrc"), "-a"]
    drive(sync, seconds=300)
    assert hashes(map(crlf, _letters(maildir / "INBOX"))) == hashes(carried)
    pushed = fetched(house, ALICE, "Pushed")
    assert hashes(_TUID.sub(b"", letter) for letter in pushed) == hashes(carried)

    # What changes on either side comes to the other: a letter gone there, one flagged here.
    gone = next(iter(sorted((outgoing / "cur").iterdir())))
    gone.unlink()
    drive(sync, seconds=300)
    assert len(fetched(house, ALICE, "Pushed")) == len(carried) - 1
    drive(sync, seconds=300)
    assert len(fetched(house, ALICE, "INBOX")) == len(carried)
