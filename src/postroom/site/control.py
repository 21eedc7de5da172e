"""What the command line may ask a running worker: its conversations, kept and as they come, and its sessions."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import cast

from postroom.net.conversation import Conversation, Kind, Tap, Who
from postroom.net.ipc import Handler, Refused, Values
from postroom.net.listener import Door
from postroom.net.log import printable
from postroom.net.networks import Network, within
from postroom.net.stream import Stream


def handlers(tap: Tap) -> Mapping[str, Handler]:
    """The answers of one process: `conversations` and `follow`, both with an optional `protocol` and `session`."""

    async def conversations(asked: Values) -> AsyncGenerator[Values, None]:
        for one in tap.all():
            if _wanted(asked, one):
                yield cast(Values, one.record().to_json())

    async def follow(asked: Values) -> AsyncGenerator[Values, None]:
        follower = tap.follow(lambda one: _wanted(asked, one))
        async with aclosing(follower.heard()) as rows:
            async for heard in rows:
                yield cast(Values, heard.conversation.record((heard.row,)).to_json())

    return {"conversations": conversations, "follow": follow}


def session_handlers(door: Door) -> Mapping[str, Handler]:
    """Who converses at this moment: `sessions` tells them, `end` asks them to end and gives how many they are. Both
    take an optional `session` (an id), `protocol`, `account` and `peer` (an address or a network)."""

    def chosen(asked: Values) -> list[tuple[Stream, Conversation]]:
        return [(stream, one) for stream, one in door.sessions() if _wanted(asked, one) and _theirs(asked, one)]

    async def sessions(asked: Values) -> AsyncGenerator[Values, None]:
        for stream, one in chosen(asked):
            yield {
                "id": one.id,
                "protocol": one.protocol,
                "peer": one.peer,
                "account": one.account,
                "since": one.began,
                "command": _last_command(one),
                "tls": stream.tls.version() if stream.tls is not None else None,
            }

    async def end(asked: Values) -> Values:
        ending = [(stream, one) for stream, one in chosen(asked) if stream.farewell is None]
        for stream, one in ending:
            one.note("ended by hand")
            door.end(stream)
        return {"sessions": len(ending)}

    return {"sessions": sessions, "end": end}


def _theirs(asked: Values, one: Conversation) -> bool:
    account, peer = asked.get("account"), asked.get("peer")
    if account is not None and one.account != account:
        return False
    return peer is None or one.peer == peer or within(one.peer, [_network(str(peer))])


def _network(text: str) -> Network:
    """Raises ipc.Refused."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Refused(f"{text!r} is no address and no network") from None


def _last_command(one: Conversation) -> str:
    """What the client said last, masked as the tap has it; octets of letters apart."""
    lines = (row.data for row in reversed(one.rows) if row.who is Who.CLIENT and row.kind is Kind.LINE)
    return printable(next(lines, b"").rstrip(b"\r\n"))


def _wanted(asked: Values, one: Conversation) -> bool:
    protocol, session = asked.get("protocol"), asked.get("session")
    return (protocol is None or one.protocol == protocol) and (session is None or one.id == session)
