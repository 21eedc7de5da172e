"""kill -9 can't show a missing sync, since the page cache survives it: so the system calls are looked at.

Before the reply that acknowledges, the segment, the index and (for a new segment) the directory are synced.
"""

from __future__ import annotations

import poplib
import re
import smtplib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, PASSWORDS, House
from tests.mailbag import imap, needs

_CALLS = "fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2"
_LETTER = b"Message-ID: <sync@example.test>\r\n\r\nsynced\r\n"


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Path]]:
    needs("strace")
    folder = tmp_path_factory.mktemp("traced")
    house, trace = House(folder), folder / "trace"
    house.start("strace", "-f", "-y", "-s", "64", "-e", f"trace={_CALLS}", "-o", str(trace))
    try:
        yield house, trace
    finally:
        house.kill()


def _calls(traced: tuple[House, Path], work: Callable[[House], None]) -> list[str]:
    """The system calls of all processes while `work` was done."""
    house, trace = traced
    before = len(trace.read_text(errors="replace").splitlines())
    work(house)
    return trace.read_text(errors="replace").splitlines()[before:]


def _send(house: House) -> None:
    with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
        client.sendmail("sync@elsewhere.test", [ALICE], _LETTER)


def _append(house: House) -> None:
    client = imap(house, ALICE)
    client.append("INBOX", "", "", _LETTER)
    client.logout()


def _store(house: House) -> None:
    client = imap(house, ALICE)
    client.select("INBOX")
    assert client.store("1", "+FLAGS.SILENT", "(\\Flagged)")[0] == "OK"
    client.logout()


def _quit(house: House) -> None:
    pop = poplib.POP3("127.0.0.1", house.port("pop3"))
    pop.user(ALICE)
    pop.pass_(PASSWORDS[ALICE])
    pop.dele(1)
    assert pop.quit().startswith(b"+OK")


_SEGMENT = r"f(data)?sync\(\d+<[^>]*/segments/\d+\.seg"
_FOLDER = r"f(data)?sync\(\d+<[^>]*/segments>"
_INDEX = r"f(data)?sync\(\d+<[^>]*/index\.db-wal>"
_SAID = re.compile(r"write\(\d+<socket:\[\d+\]>, \"(?!\{)")
"""Written to a client; what our own processes say to each other is JSON."""


@pytest.mark.parametrize(
    ("work", "reply", "synced"),
    [
        # The first letter of a process: its segment is new, and so its folder is synced too.
        pytest.param(_send, r'"250 2\.6\.0', [_SEGMENT, _FOLDER, _INDEX], id="DATA"),
        pytest.param(_append, r"APPENDUID", [_SEGMENT, _INDEX], id="APPEND"),
        pytest.param(_store, r"OK Stored", [_INDEX], id="STORE"),
        pytest.param(_quit, r'"\+OK', [_INDEX], id="QUIT"),
    ],
)
def test_synced_before_the_reply(
    traced: tuple[House, Path], work: Callable[[House], None], reply: str, synced: list[str]
) -> None:
    calls = _calls(traced, work)
    said = [at for at, line in enumerate(calls) if _SAID.search(line)]
    answer = next(at for at in reversed(said) if re.search(reply, calls[at]))
    asked = max(at for at in said if at < answer)
    between = calls[asked:answer]
    for one in synced:
        assert any(re.search(one, line) for line in between), f"not synced before {calls[answer]}: {one}"
