"""Listening sockets: one of each worker's own on every port (SO_REUSEPORT), IPv4 and IPv6 apart."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import Final

BACKLOG: Final = 1024


class PortTaken(OSError):
    """A listener's place can't be had."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket for one worker, and what is spoken there."""

    protocol: str
    host: str
    port: int
    sock: socket.socket


def bind(protocol: str, host: str, port: int, workers: int) -> list[Bound]:
    """One listening socket for each worker. Raises PortTaken.

    The first bind is made without SO_REUSEPORT: it fails where anybody else listens, which a shared bind by the
    same user would not.
    """
    with _socket(host, port, shared=False) as probe:
        port = probe.getsockname()[1]
    bound: list[Bound] = []
    try:
        for _ in range(workers):
            bound.append(Bound(protocol, host, port, _socket(host, port, shared=True)))
            bound[-1].sock.listen(BACKLOG)
    except BaseException:
        for one in bound:
            one.sock.close()
        raise
    return bound


def _socket(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "[::]" is IPv6 alone, so that "0.0.0.0" can stand beside it, and no peer comes as ::ffff:192.0.2.1.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError as fault:
        if sock is not None:
            sock.close()
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        # A name that can't be found has a number of its own kind, and none of the system's.
        known = fault.errno is not None and fault.errno in errno.errorcode
        raise PortTaken(fault.errno, f"{where}: {os.strerror(fault.errno or 0) if known else fault}") from None
    sock.setblocking(False)
    return sock
