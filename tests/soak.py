"""`make soak [ONLY=name]`: the scenarios of `make test` at the counts that are promised, one after the other.

Resumable: a scenario that has passed at this state of the sources is not run again. Logs are in `soak/`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

SCENARIOS = {
    "clients": ["tests/clients"],
    "crash": ["tests/faults/test_crash.py"],
    "edge": ["tests/faults/test_edge.py"],
    "faults": ["tests/faults/test_chosen_faults.py"],
    "instants": ["tests/faults/test_chosen_instants.py"],
    "powercut": ["tests/faults/test_powercut.py"],
    "compaction": ["tests/faults/test_compaction.py"],
    "store": ["tests/store"],
    "syncs": ["tests/faults/test_syncs.py"],
    "fuzz": ["tests/fuzz"],
    "system": ["tests/system"],
}
"""Names for ONLY, and what pytest runs."""

ROOT = Path(__file__).parent.parent
LOGS = ROOT / "soak"


def state() -> str:
    """A name for the sources as they are."""
    digest = hashlib.sha256()
    for path in sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("tests/**/*.c")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(name: str, words: list[str]) -> bool:
    """Run one scenario, unless it has passed already."""
    passed = LOGS / f"{name}.passed"
    if passed.exists() and passed.read_text() == state():
        print(f"{name}: passed before, at these sources")
        return True
    print(f"{name}: running, log in {LOGS.name}/{name}.log", flush=True)
    began = time.monotonic()
    with (LOGS / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "pytest", "-v", "--durations=10", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"POSTROOM_SOAK": "1"}, stdout=log, stderr=log, check=False
        )
    print(f"{name}: {'passed' if done.returncode == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s")
    if done.returncode == 0:
        passed.write_text(state())
    return done.returncode == 0


def main() -> int:
    """Run what the command line names, or everything."""
    wanted = sys.argv[1:] or list(SCENARIOS)
    unknown = [name for name in wanted if name not in SCENARIOS]
    if unknown:
        print(f"no such scenario: {', '.join(unknown)} (there are {', '.join(SCENARIOS)})", file=sys.stderr)
        return 2
    LOGS.mkdir(exist_ok=True)
    passed = [run(name, SCENARIOS[name]) for name in wanted]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
