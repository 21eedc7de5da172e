"""mutt reads a folder over IMAP in batch, and saves every letter of it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path

from tests.house import ALICE, PASSWORDS, House
from tests.mailbag import append, crlf, empty, hashes, needs


def test_mutt_saves_every_letter_of_a_folder(house: House, carried: list[bytes], tmp_path: Path) -> None:
    needs("mutt")
    empty(house, ALICE)
    append(house, ALICE, carried)
    saved = tmp_path / "saved"
    (tmp_path / "muttrc").write_text(
        f"""set imap_user="{ALICE}"
set imap_pass="{PASSWORDS[ALICE]}"
set ssl_starttls=no
set ssl_force_tls=no
set folder="{tmp_path}"
set mbox_type=Maildir
set header_cache=""
set confirmcreate=no confirmappend=no quit=yes move=no mark_old=no delete=no
set wait_key=no
push "<tag-pattern>.<enter><tag-prefix><copy-message>{saved}<enter><exit>"
"""
    )
    words = ["mutt", "-n", "-F", str(tmp_path / "muttrc"), "-f", f"imap://127.0.0.1:{house.port('imap')}/INBOX"]
    _in_a_terminal(words, tmp_path)
    brought = [path.read_bytes() for sub in ("cur", "new") for path in (saved / sub).iterdir()]
    assert hashes(map(_without_status, map(crlf, brought))) == hashes(map(_without_status, carried))


def _without_status(letter: bytes) -> bytes:
    """mutt writes its own Status, Content-Length and Lines fields into what it saves, at the header's end."""
    header, _, body = letter.partition(b"\r\n\r\n")
    own = (b"Status:", b"Content-Length:", b"Lines:")
    lines = [line for line in (header + b"\r\n").split(b"\r\n") if line and not line.startswith(own)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _in_a_terminal(words: list[str], home: Path) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "HOME": str(home), "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True)
    os.close(theirs)
    shown = bytearray()
    while process.poll() is None:
        readable, _, _ = select.select([ours], [], [], 60)
        assert readable, f"mutt said nothing for a minute: {bytes(shown[-2000:])!r}"
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    process.wait(60)
    os.close(ours)
