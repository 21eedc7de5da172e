"""One server on a data directory: the second is refused, and a killed one holds nobody up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from postroom.site.lock import ServerLock, ServerRuns, server_runs
from postroom.site.places import Places

_HOLD = """
import sys, pathlib
from postroom.site.lock import ServerLock
from postroom.site.places import Places
with ServerLock(Places(pathlib.Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(tmp_path / "data")
    made.make()
    return made


def test_the_pid_is_told_while_the_server_runs(places: Places) -> None:
    assert not server_runs(places)
    with ServerLock(places):
        assert int(places.pid.read_text()) == os.getpid()
        assert server_runs(places)
    assert not server_runs(places)
    assert places.pid.read_text() == ""


def test_a_second_server_is_refused_with_the_first_ones_pid(places: Places) -> None:
    with ServerLock(places), pytest.raises(ServerRuns, match=str(os.getpid())):
        ServerLock(places)


def test_a_killed_server_leaves_the_place_free(places: Places) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(places.data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    assert server_runs(places)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    assert not server_runs(places)
    with ServerLock(places):
        pass


def test_what_lies_under_data_is_its_owners_alone(places: Places) -> None:
    for path in (places.data, places.run, places.tls, places.maildrops, places.data / "segments"):
        assert path.stat().st_mode & 0o777 == 0o700
