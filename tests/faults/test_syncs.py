"""kill -9 can't show a missing sync, since the page cache survives it: so the system calls are looked at.

Before the reply that acknowledges, the segment, the index and (for a new segment) the directory are synced; for
every command that changes something. What a power cut may leave is in test_powercut.py.
"""

from __future__ import annotations

import poplib
import re
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.forms import WRITERS, settings_of
from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import imap, needs
from tests.system.raw import imap as raw_imap

_CALLS = "fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,exit_group"
_LETTER = b"Message-ID: <sync@example.test>\r\n\r\nsynced\r\n"
_STRACE = ("strace", "-f", "-y", "-s", "512", "-e", f"trace={_CALLS}", "-o")


@pytest.fixture(scope="module", params=WRITERS)
def traced(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[House, Path]]:
    needs("strace")
    folder = tmp_path_factory.mktemp("traced")
    house, trace = House(folder, settings=settings_of(request.param)), folder / "trace"
    house.start(*_STRACE, str(trace))
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


def _quit(house: House) -> None:
    pop = poplib.POP3("127.0.0.1", house.port("pop3"))
    pop.user(ALICE)
    pop.pass_(PASSWORDS[ALICE])
    pop.dele(1)
    assert pop.quit().startswith(b"+OK")


def _says(command: bytes) -> Callable[[House], None]:
    def work(house: House) -> None:
        with raw_imap(house, mailbox="INBOX") as raw:
            # One line of its own, so that it is seen where the command's answers begin.
            assert raw.answer(b"NOOP")[0].startswith(b"OK")
            assert raw.answer(command)[0].startswith(b"OK")

    return work


_SEGMENT = r"f(data)?sync\(\d+<[^>]*/segments/\d+\.seg"
_FOLDER = r"f(data)?sync\(\d+<[^>]*/segments>"
_INDEX = r"f(data)?sync\(\d+<[^>]*/index\.db-wal>"
_SECRETS = r"f(data)?sync\(\d+<[^>]*/secrets\.db-wal>"
_WRITES_INDEX = r"pwrite64\(\d+<[^>]*/index\.db-wal>"
_UNTAGGED = re.compile(r"\(\d+<socket:\[\d+\]>, \"\* ")
_SAID = re.compile(r"write\(\d+<socket:\[\d+\]>, \"(?!\{|\\0)")
"""Written to a client; what our own processes say to each other is JSON, or a frame that begins with its length."""


@pytest.mark.parametrize(
    ("work", "reply", "synced"),
    [
        # The first letter of a process: its segment is new, and so its folder is synced too.
        pytest.param(_send, r'"250 2\.6\.0', [_SEGMENT, _FOLDER, _INDEX], id="DATA"),
        pytest.param(_append, r"APPENDUID", [_SEGMENT, _INDEX], id="APPEND"),
        pytest.param(_says(b"STORE 1 +FLAGS.SILENT (\\Flagged)"), r"OK Stored", [_INDEX], id="STORE"),
        pytest.param(_says(b"UID STORE 1 +FLAGS (todo)"), r"OK Stored", [_INDEX], id="UID STORE"),
        pytest.param(_says(b"COPY 1:2 Archive"), r"OK \[COPYUID", [_INDEX], id="COPY"),
        pytest.param(_says(b"MOVE 2 Archive"), r"OK Done", [_INDEX], id="MOVE"),
        pytest.param(_says(b"CREATE New"), r"OK Created", [_INDEX], id="CREATE"),
        pytest.param(_says(b"RENAME New Newer"), r"OK Renamed", [_INDEX], id="RENAME"),
        pytest.param(_says(b"SUBSCRIBE Newer"), r"OK Subscribed", [_INDEX], id="SUBSCRIBE"),
        pytest.param(_says(b"UNSUBSCRIBE Newer"), r"OK Unsubscribed", [_INDEX], id="UNSUBSCRIBE"),
        pytest.param(_says(b"DELETE Newer"), r"OK Deleted", [_INDEX], id="DELETE"),
        pytest.param(_quit, r'"\+OK', [_INDEX], id="QUIT"),
    ],
)
def test_synced_before_the_reply(
    traced: tuple[House, Path], work: Callable[[House], None], reply: str, synced: list[str]
) -> None:
    _hold(_calls(traced, work), reply, synced)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        pytest.param(b"EXPUNGE", r"OK Expunged", id="EXPUNGE"),
        pytest.param(b"UID EXPUNGE 1:*", r"OK Expunged", id="UID EXPUNGE"),
        pytest.param(b"CLOSE", r"OK Closed", id="CLOSE"),
    ],
)
def test_synced_before_the_reply_to_what_takes_letters_away(
    traced: tuple[House, Path], command: bytes, reply: str
) -> None:
    house, _ = traced
    _append(house)
    with raw_imap(house, mailbox="INBOX") as raw:
        assert raw.answer(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")[0].startswith(b"OK")
    _hold(_calls(traced, _says(command)), reply, [_INDEX])


def _hold(calls: list[str], reply: str, synced: list[str]) -> None:
    """The syncs lie behind what was said to the command before, and before anything that is said to this one."""
    said = [at for at, line in enumerate(calls) if _SAID.search(line)]
    answers = [at for at in said if re.search(reply, calls[at])]
    assert answers, f"nobody said {reply}: {[calls[at] for at in said]}"
    answer = answers[-1]
    asked = max(at for at in said if at < answer and not _UNTAGGED.search(calls[at]))
    between = calls[asked : min(at for at in said if at > asked)]
    for one in synced:
        assert any(re.search(one, line) for line in between), f"not synced before {calls[answer]}: {one}"
    # Nothing that the answer tells of was written behind the last sync.
    written = max(at for at, line in enumerate(between) if re.search(_WRITES_INDEX, line))
    assert any(re.search(_INDEX, line) for line in between[written:])


_COMMANDS = [
    pytest.param("account add dora@example.test --password-stdin", [_SECRETS, _INDEX], id="account"),
    pytest.param(f"alias add info@example.test {ALICE} {BOB}", [_INDEX], id="alias"),
]


@pytest.mark.parametrize(("words", "synced"), _COMMANDS)
def test_synced_before_a_command_ends(traced: tuple[House, Path], words: str, synced: list[str]) -> None:
    """Exit 0 is a positive answer too; where a server runs, its authority keeps the secrets."""
    _, trace = traced
    found: list[str] = []
    calls = _calls(traced, lambda house: found.extend(_command(house, trace.with_name("command"), words)))
    for one in synced:
        assert any(re.search(one, line) for line in [*calls, *found]), f"not synced: {one}"


@pytest.mark.parametrize(("words", "synced"), _COMMANDS)
def test_synced_before_a_command_ends_without_a_server(tmp_path: Path, words: str, synced: list[str]) -> None:
    needs("strace")
    house = House(tmp_path)
    house.add_accounts()
    calls = _command(house, tmp_path / "command", words)
    for one in synced:
        assert any(re.search(one, line) for line in calls), f"not synced: {one}"


def _command(house: House, trace: Path, words: str) -> list[str]:
    """The system calls of a command that ends well."""
    strace = [*_STRACE, str(trace), *house.command(*words.split())]
    done = subprocess.run(strace, input="A-secret-1", text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return trace.read_text(errors="replace").splitlines()
