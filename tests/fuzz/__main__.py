"""`python -m tests.fuzz smtp [--seed S] [--first N] [--count N] [--lines]`: conversations with a door, from the
repository's root; `--again FILE` plays one that was kept."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
from pathlib import Path

from tests.fuzz.campaign import WALKERS, Campaign, Found, again
from tests.fuzz.conversation import read
from tests.fuzz.lines import of_door
from tests.fuzz.walk import Wrong


def main() -> int:
    """Do what the command line says; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("door", choices=list(WALKERS))
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--lines", action="store_true", help="tell which lines of the server were run (slower)")
    parser.add_argument("--again", type=Path, help="a conversation to play")
    asked = parser.parse_args()
    if asked.again is not None:
        try:
            print(again(asked.door, read(asked.again.read_text())))
        except Wrong as wrong:
            print(wrong)
            return 1
        return 0
    campaign = Campaign(asked.door, asked.seed, asked.count, first=asked.first)
    lines = of_door(asked.door)
    try:
        with lines if asked.lines else contextlib.nullcontext():
            campaign.run()
    except Found as found:
        print(found)
        return 1
    finally:
        print(f"{asked.door}, seed {asked.seed}: {campaign.tally}")
        if asked.lines:
            print("\n".join(lines.table()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
