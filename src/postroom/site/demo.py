"""A site to try things out: a temporary data directory, high loopback ports, two accounts, three letters."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Final

from postroom.config import Config, load
from postroom.intake.accept import Intake
from postroom.intake.envelope import Accepted, Envelope, Origin, Recipient
from postroom.site.office import Office, open_office
from postroom.site.served import SERVED
from postroom.smtp.grammar import read_address
from postroom.store.changes import AddAccount
from postroom.store.values import Account

DOMAIN: Final = "example.test"
NAMES: Final = ("alice", "bob")
_PORTS: Final[Mapping[str, int]] = {
    "smtp": 2525,
    "submission": 2587,
    "submissions": 2465,
    "lmtp": 2524,
    "pop3": 2110,
    "pop3s": 2995,
    "imap": 2143,
    "imaps": 2993,
}
"""Where each protocol is looked for first; one that is taken gives way to any free port."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A site that is ready to be served, and the passwords that nobody else knows."""

    config: Config
    passwords: Mapping[str, str]
    """By address."""


async def make_demo(folder: Path) -> Demo:
    """Make the site in an empty directory. Raises what `open_office` raises, OSError."""
    file = folder / "postroom.toml"
    file.write_text(_settings(), encoding="utf-8")
    config = load(file)
    passwords = {f"{name}@{DOMAIN}": secrets.token_urlsafe(9).replace("-", "x").replace("_", "y") for name in NAMES}
    async with open_office(config) as office:
        accounts = {}
        for address, password in passwords.items():
            await office.authority.set_password(address, password.encode())
            account = await office.store.commit(AddAccount(address))
            assert isinstance(account, Account), "an empty store takes any account"
            accounts[address] = account
        await _deliver(config, office, accounts[f"alice@{DOMAIN}"])
    return Demo(config, passwords)


def _settings() -> str:
    lines = [f'hostname = "mx.{DOMAIN}"', f'domains = ["{DOMAIN}"]', "[listen]"]
    with contextlib.ExitStack() as held:
        for protocol in SERVED:
            lines.append(f'{protocol} = ["127.0.0.1:{held.enter_context(_port(_PORTS[protocol]))}"]')
    return "\n".join([*lines, "[tls]", "loopback_plain = true", ""])


@contextlib.contextmanager
def _port(wanted: int) -> Iterator[int]:
    """A free port, `wanted` where it is; held until the end of the context, so that no two are alike."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", wanted))
        except OSError:
            sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def _deliver(config: Config, office: Office, account: Account) -> None:
    """Three letters of different kinds, each by the way that every letter comes in."""
    intake = Intake(office.store, config.hostname, config.domains)
    sender, to = read_address(f"bob@{DOMAIN}"), read_address(account.address)
    for number, letter in enumerate((_plain(), _alternative(), _attachment()), 1):
        blob = intake.begin()
        try:
            letter["From"], letter["To"] = f"Bob <bob@{DOMAIN}>", f"Alice <alice@{DOMAIN}>"
            letter["Message-ID"] = f"<welcome-{number}@{DOMAIN}>"
            blob.write(letter.as_bytes(policy=SMTP))
            envelope = Envelope(sender, (Recipient(account, to),))
            answer = await intake.accept(envelope, Origin("", "", "ESMTP", f"demo.{number}"), blob)
            assert isinstance(answer, Accepted), "our own letters pass"
        finally:
            blob.discard()


def _plain() -> EmailMessage:
    letter = EmailMessage()
    letter["Subject"] = "Welcome to the post room"
    letter["Date"] = "Mon, 23 Nov 2026 09:00:00 +0000"
    letter.set_content(
        "Dear Alice,\n\nthis letter lies in your INBOX: fetch it by POP3 or IMAP, and write back by SMTP.\n\nBob\n"
    )
    return letter


def _alternative() -> EmailMessage:
    letter = EmailMessage()
    letter["Subject"] = "Grüße aus der Poststelle ✉"
    letter["Date"] = "Mon, 23 Nov 2026 10:30:00 +0100"
    letter.set_content("Liebe Alice,\n\nschöne Grüße in UTF-8.\n\nBob\n", cte="quoted-printable")
    letter.add_alternative(
        "<p>Liebe Alice,</p><p>schöne Grüße, auch als <b>HTML</b>.</p><p>Bob</p>\n", subtype="html"
    )
    return letter


def _attachment() -> EmailMessage:
    letter = EmailMessage()
    letter["Subject"] = "Re: Welcome to the post room"
    letter["Date"] = "Tue, 24 Nov 2026 18:15:00 +0000"
    letter["In-Reply-To"] = f"<welcome-1@{DOMAIN}>"
    letter["References"] = f"<welcome-1@{DOMAIN}>"
    letter.set_content("With an attachment: IMAP can fetch a part of a letter alone.\n")
    table = "protocol,port\nSMTP,25\nPOP3,110\nIMAP,143\n"
    letter.add_attachment(table.encode(), maintype="text", subtype="csv", filename="ports.csv")
    return letter
