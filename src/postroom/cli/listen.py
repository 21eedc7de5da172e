"""`postroom listen`: a terminal that letters are sent to (SMTP's SEND, SOML and SAML, RFC 821 3.4)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from postroom.cli.columns import plain
from postroom.cli.main import Failure, config_option, read_config
from postroom.cli.office import some_address
from postroom.net.ipc import Failed, Peer, Refused, Unreachable, Values
from postroom.net.limits import TERMINAL_SHOW_SECONDS
from postroom.site.places import Places
from postroom.smtp.notices import Notice

_LOOK_SECONDS: Final = 0.25
"""Between two looks for workers that are new."""
_SEEN: Final = 1000
"""Letters remembered, since each worker tells of each."""

_Socket = tuple[str, int]
"""A worker's socket by path and inode: one that was bound anew is another worker's."""


@click.command()
@click.option(
    "--account",
    metavar="ADDRESS",
    callback=some_address,
    help="Letters for this account. Without it: those for everybody here, which then go to mailboxes too (SOML).",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object a letter, for scripts.")
@config_option
def listen(account: str | None, as_json: bool, config_path: str) -> None:
    """Print letters that are sent to a terminal (SMTP's SEND, SOML, SAML), as they come, until Ctrl-C.

    No password is asked for: who may open the server's own sockets may read its mail. It goes on when the server is
    started anew.

    \b
    postroom listen --account alice@example.test
    """
    places = Places(read_config(config_path).root)
    if not places.controls():
        raise Failure("no server runs here (--config names another site)")
    asyncio.run(_Listening(places, account, as_json).run())


@dataclass(slots=True)
class _Listening:
    """All workers being listened to: any of them may go or hang, the others still tell."""

    places: Places
    account: str | None
    as_json: bool
    heard_from: set[_Socket] = field(default_factory=set)
    """Workers that tell us of letters now."""
    refusals: dict[_Socket, str] = field(default_factory=dict)
    seen: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=_SEEN))
    lost: bool = False

    async def run(self) -> None:
        """Until Ctrl-C. Raises Failure where nobody lets us listen."""
        following: dict[_Socket, asyncio.Task[None]] = {}
        try:
            while True:
                for socket in self._sockets():
                    if socket not in following and socket not in self.refusals:
                        following[socket] = asyncio.create_task(self._follow(socket))
                await asyncio.sleep(_LOOK_SECONDS)
                for socket, task in list(following.items()):
                    if task.done():
                        del following[socket]
                        task.result()
                if self.refusals and not following:
                    raise Failure(self.refusals[max(self.refusals)])
        finally:
            for task in following.values():
                task.cancel()
            await asyncio.gather(*following.values(), return_exceptions=True)

    def _sockets(self) -> list[_Socket]:
        found = []
        for path in self.places.controls():
            with contextlib.suppress(OSError):
                found.append((str(path), path.stat().st_ino))
        self.refusals = {socket: why for socket, why in self.refusals.items() if socket in found}
        return found

    async def _follow(self, socket: _Socket) -> None:
        """What one worker tells, until it ends."""
        peer = Peer(Path(socket[0]))
        try:
            async with contextlib.aclosing(peer.stream("listen", account=self.account)) as rows:
                async for row in rows:
                    if row:
                        await self._letter(peer, row)
                    else:
                        self._begun(socket)
            self._ended(socket)
        except Refused as why:
            self.refusals[socket] = str(why)
        except (Unreachable, Failed):
            self._ended(socket)
        finally:
            await peer.close()

    async def _letter(self, peer: Peer, row: Values) -> None:
        try:
            notice = Notice.from_json(row.get("notice"))
        except ValueError:
            return
        account = str(row.get("account"))
        if (notice.id, account) not in self.seen:
            self.seen.append((notice.id, account))
            click.echo(_as_json(notice, account) if self.as_json else _as_text(notice, account))
        # Only now: the server lets a letter that no terminal has shown go to its mailbox.
        with contextlib.suppress(Unreachable, Refused, Failed, TimeoutError):
            async with asyncio.timeout(TERMINAL_SHOW_SECONDS):
                await peer.call("heard", ticket=row.get("ticket"))

    def _begun(self, socket: _Socket) -> None:
        if not self.heard_from:
            of = self.account or "everybody here"
            click.echo(f"listening for {of}{' again' if self.lost else ''} (Ctrl-C ends)", err=True)
        self.heard_from.add(socket)

    def _ended(self, socket: _Socket) -> None:
        if socket in self.heard_from:
            self.heard_from.discard(socket)
            if not self.heard_from:
                self.lost = True
                click.echo("the server has gone; waiting for it", err=True)


def _as_text(notice: Notice, account: str) -> str:
    """For people. What a terminal would obey, or what turns a line round, is replaced."""
    lines = [f"--- Message from {notice.sender or '<>'} for {account}"]
    named = (("From", notice.from_), ("To", notice.to), ("Date", notice.date), ("Subject", notice.subject))
    lines += [f"{name}: {value}" for name, value in named if value]
    lines += ["", *notice.text.rstrip("\n").split("\n")]
    if not notice.whole:
        lines.append("[There is more of this letter than is shown here.]")
    return "\n".join([plain(line.expandtabs()) for line in (*lines, "")])


def _as_json(notice: Notice, account: str) -> str:
    """For scripts, and harmless on a terminal too: ASCII."""
    return json.dumps(
        {
            "account": account,
            "id": notice.id,
            "sender": notice.sender,
            "from": notice.from_,
            "to": notice.to,
            "date": notice.date,
            "subject": notice.subject,
            "text": notice.text,
            "whole": notice.whole,
        }
    )
