"""What the command line may ask a running worker: its conversations, kept and as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import cast

from postroom.net.conversation import Conversation, Tap
from postroom.net.ipc import Handler, Values


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


def _wanted(asked: Values, one: Conversation) -> bool:
    protocol, session = asked.get("protocol"), asked.get("session")
    return (protocol is None or one.protocol == protocol) and (session is None or one.id == session)
