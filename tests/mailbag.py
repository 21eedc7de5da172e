"""What is in a mailbox, fetched by Python's own clients; and what a real client needs before it can be driven."""

from __future__ import annotations

import hashlib
import imaplib
import os
import poplib
import shutil
import subprocess
from collections.abc import Iterable, Sequence

import pytest

from tests.house import PASSWORDS, House

_TRACE = (b"return-path:", b"delivered-to:", b"received:", b" ", b"\t")
imaplib._MAXLINE = 50_000_000  # type: ignore[attr-defined]
poplib._MAXLINE = 1_000_000  # type: ignore[attr-defined]


def needs(*programs: str) -> None:
    """Skip a test whose client isn't there; where everything must be there (CI), fail it."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"missing in CI: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def drive(words: Sequence[str], *, input: bytes = b"", seconds: float = 60.0, cwd: str | None = None) -> bytes:
    """Run a client to its end; its standard output. What it complains of is in the failure."""
    done = subprocess.run(words, input=input, capture_output=True, timeout=seconds, check=False, cwd=cwd)
    assert done.returncode == 0, f"{words}: {done.returncode}: {done.stderr[-2000:]!r} {done.stdout[-500:]!r}"
    return done.stdout


def imap(house: House, address: str) -> imaplib.IMAP4:
    """A logged-in connection."""
    client = imaplib.IMAP4("127.0.0.1", house.port("imap"))
    try:
        client.login(address, PASSWORDS[address])
    except imaplib.IMAP4.error:
        client.shutdown()
        raise
    return client


def fetched(house: House, address: str, mailbox: str = "INBOX") -> list[bytes]:
    """Every letter of a mailbox as IMAP gives it, in order."""
    client = imap(house, address)
    try:
        status, _ = client.select(f'"{mailbox}"', readonly=True)
        assert status == "OK", mailbox
        found: list[bytes] = []
        status, answers = client.fetch("1:*", "(BODY.PEEK[])") if _count(client) else ("OK", [])
        assert status == "OK", answers
        for answer in answers:
            if isinstance(answer, tuple):
                found.append(answer[1])
        return found
    finally:
        client.logout()


def _count(client: imaplib.IMAP4) -> int:
    _, answers = client.response("EXISTS")
    return int(answers[-1]) if answers and answers[-1] else 0


def empty(house: House, address: str, mailbox: str = "INBOX") -> None:
    """Take every letter out of a mailbox."""
    client = imap(house, address)
    try:
        client.select(f'"{mailbox}"')
        if _count(client):
            client.store("1:*", "+FLAGS.SILENT", "(\\Deleted)")
        client.expunge()
    finally:
        client.logout()


def append(house: House, address: str, letters: Iterable[bytes], mailbox: str = "INBOX") -> None:
    """Put letters into a mailbox by APPEND."""
    client = imap(house, address)
    try:
        for letter in letters:
            status, answer = client.append(f'"{mailbox}"', "", "", letter)
            assert status == "OK", answer
    finally:
        client.logout()


def without_trace(letter: bytes) -> bytes:
    """A letter without what delivery put in front of it."""
    at = 0
    while letter[at : at + 13].lower().startswith(_TRACE):
        at = letter.index(b"\r\n", at) + 2
    return letter[at:]


def hashes(letters: Iterable[bytes]) -> list[str]:
    """Sorted hashes: equal where the same letters came, in any order."""
    return sorted(hashlib.sha256(letter).hexdigest() for letter in letters)


def crlf(octets: bytes) -> bytes:
    """What a client that keeps LF on disk had before."""
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
