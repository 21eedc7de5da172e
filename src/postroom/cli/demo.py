"""`postroom demo`: everything on loopback, with a card of settings and two lines to paste."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from postroom.cli.main import Failure
from postroom.cli.serve import LEVELS, run_site
from postroom.net.supervisor import Bound
from postroom.site.demo import Demo, make_demo
from postroom.site.office import OfficeClosed
from postroom.site.served import SERVED


@click.command()
@click.option("--log-level", type=click.Choice(LEVELS), default="warning", show_default=True)
def demo(log_level: str) -> None:
    """Start everything on loopback with two accounts, to try it out.

    All of it lies in a temporary directory that is gone at the end (Ctrl-C).
    """
    with tempfile.TemporaryDirectory(prefix="postroom-demo-") as folder:
        try:
            made = asyncio.run(make_demo(Path(folder)))
        except (OfficeClosed, OSError) as e:
            raise Failure(str(e)) from None
        run_site(made.config, log_level, lambda listeners: _tell(made, listeners))
    click.echo("\nThe demo has ended; nothing of it is left.")


def _tell(made: Demo, listeners: Sequence[Bound]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    ports = {bound.protocol: bound.port for bound in listeners}
    console.print(_card(made, listeners))
    for address, password in made.passwords.items():
        console.print(f"  login [bold]{address}[/]   password [bold]{password}[/]", markup=True)
    console.print("  Logins in clear are allowed from loopback here: a real site asks for TLS first.\n")
    alice, bob = made.passwords
    console.print("Send a letter from Bob to Alice:\n")
    letter = f"From: {bob}\\r\\nTo: {alice}\\r\\nSubject: Hello\\r\\n\\r\\nHello Alice!\\r\\n"
    console.print(
        f"  printf '{letter}' | curl -sS smtp://127.0.0.1:{ports['submission']} -u '{bob}:{made.passwords[bob]}'"
        f" --mail-from {bob} --mail-rcpt {alice} -T -\n",
        markup=False,
    )
    console.print("Read the first letter in Alice's INBOX:\n")
    console.print(
        f"  curl -sS 'imap://127.0.0.1:{ports['imap']}/INBOX;MAILINDEX=1' -u '{alice}:{made.passwords[alice]}'\n",
        markup=False,
    )
    console.print(
        f"Watch the conversations from another terminal:  {_program()} trace --follow --config {made.config.path}",
        markup=False,
    )
    console.print("Ctrl-C ends the demo.")


def _program() -> str:
    """How this program was called: it need not be on the PATH."""
    called = Path(sys.argv[0])
    return str(called.absolute()) if called.name == "postroom" else f"{sys.executable} -m postroom"


def _card(made: Demo, listeners: Sequence[Bound]) -> Table:
    """Fits 80 columns."""
    card = Table(title=f"Postroom at {made.config.hostname}", title_justify="left")
    for heading in ("protocol", "host", "port", "security", "login"):
        card.add_column(heading, no_wrap=True)
    for bound in listeners:
        security = "TLS" if SERVED[bound.protocol].implicit_tls else "STARTTLS, or none"
        login = "address, password" if SERVED[bound.protocol].login_first else "not asked for"
        card.add_row(bound.protocol, bound.host, str(bound.port), security, login)
    return card
