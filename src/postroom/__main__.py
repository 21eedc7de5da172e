"""`python -m postroom` is the `postroom` command."""

from postroom.cli.main import run

run()
