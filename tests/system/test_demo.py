"""`postroom demo`: ready at once, a card, two lines that work when they are pasted, and a clean end by Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.mailbag import needs


def test_the_demo_works_as_printed(tmp_path: Path) -> None:
    needs("curl")
    process = subprocess.Popen(
        [sys.executable, "-m", "postroom", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(tmp_path), "COLUMNS": "100"},
    )
    assert process.stdout is not None
    shown = ""
    try:
        for line in process.stdout:
            shown += line
            if line.startswith("Ctrl-C"):
                break
        for protocol in ("smtp", "submission", "submissions", "pop3", "pop3s", "imap", "imaps"):
            assert protocol in shown
        assert "clear" in shown
        send, read = (line.strip() for line in shown.splitlines() if re.match(r"  (printf|curl) ", line))
        for command in (send, read):
            done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, done.stderr
        assert "Subject: Welcome to the post room" in done.stdout
        newest = read.replace("MAILINDEX=1", "MAILINDEX=4")
        done = subprocess.run(newest, shell=True, capture_output=True, text=True, timeout=30, check=False)
        assert "Hello Alice!" in done.stdout
    finally:
        os.killpg(process.pid, signal.SIGINT)
        rest, complaints = process.communicate(timeout=30)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints
    assert "ended" in rest
    assert list(tmp_path.iterdir()) == []
