"""Connections to others, as a client."""

from __future__ import annotations

import asyncio
import ssl

from postroom.net import limits
from postroom.net.secure import SecureTransport
from postroom.net.stream import Stream
from postroom.net.transport import Handshake


async def connect(
    host: str, port: int, *, context: ssl.SSLContext | None = None, server_hostname: str | None = None
) -> Stream:
    """Open a connection as a client; with `context`, TLS from the first octet on.

    Raises OSError (ssl.SSLError among them).
    """
    loop = asyncio.get_running_loop()
    stream = Stream()
    if context is None:
        await loop.create_connection(lambda: stream, host, port)
        return stream
    secure = SecureTransport(stream, Handshake(context, False, server_hostname or host, limits.GREETING_SECONDS))
    await loop.create_connection(lambda: secure, host, port)
    await secure.shaken()
    stream.connection_made(secure)
    return stream
