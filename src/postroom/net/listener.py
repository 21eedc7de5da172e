"""The door: accepts connections, counts them, shakes hands where TLS comes first, and runs one session each.

uvloop's own server accepts one connection a turn of the loop; this one takes up to ACCEPTS_PER_TURN. A connection
that is one too many (in all, or from one address) hears one line and is closed, without a task that could pile up.
Where the process is out of descriptors a reserve lets it say so once, and accepting rests for REFUSE_SECONDS.

A handler's EndOfStream and DeadlineExpired are ordinary ends; any other exception is ours: logged once, with its
traceback, and it ends that one connection.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from postroom.net import limits
from postroom.net.conversation import Tap
from postroom.net.hello import INTERNAL_ERROR
from postroom.net.log import event
from postroom.net.networks import Network, meets, network_of
from postroom.net.secure import SecureTransport
from postroom.net.stream import DeadlineExpired, EndOfStream, Farewell, Stream
from postroom.net.transport import Handshake

logger = logging.getLogger(__name__)

_GONE: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
    }
)
"""accept(2): the one connection is lost; go on with the next."""
_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})
_ABORT_SECONDS: Final = 1.0
"""Sessions that were cut off get so long to notice."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket and what is spoken there."""

    protocol: str
    sock: socket.socket
    """Bound, listening, non-blocking; stays the caller's."""
    handler: Callable[[Stream], Awaitable[None]]
    tls: ssl.SSLContext | None = None
    """TLS before the first octet."""
    alpn: frozenset[bytes] = frozenset()
    """Application protocols that a client may offer, also in STARTTLS; one that offers only others is refused."""
    busy: bytes = b""
    """Said to a connection that is one too many (where TLS comes first, an alert is)."""
    login_first: bool = True
    """Nothing is done here for strangers: until the conversation has an account, the connection is held to little
    memory (see `Stream.narrow`). False for a protocol that takes letters from anybody."""


@dataclass(slots=True, eq=False)
class _Visit:
    """One connection: its socket, then its stream; `network` is None where it isn't counted."""

    listener: Listener
    sock: socket.socket
    peer: str
    network: str | None
    taken: bool = False
    """The socket is a transport's, which closes it."""
    stream: Stream | None = None


class Door:
    """All listeners of one process. `len(door)` is how many connections are live, handshakes included.

    `per_address` bounds those of one IPv4 address or IPv6 /64 over all protocols (0: not at all), except for the
    networks in `exempt`; `most` bounds all of them, and so does what the process has in descriptors.
    """

    def __init__(
        self,
        tap: Tap,
        *,
        per_address: int,
        most: int = limits.CONNECTIONS_PER_WORKER,
        exempt: Sequence[Network] = (),
    ) -> None:
        self._tap = tap
        self._per_address = per_address
        self._most = min(most, _most_connections())
        self._exempt = tuple(exempt)
        self._counted = functools.lru_cache(4096)(self._key)
        self._here: Counter[str] = Counter()
        self._visits: dict[asyncio.Task[None], _Visit] = {}
        self._listeners: list[Listener] = []
        self._reserve = -1
        self._resting: asyncio.TimerHandle | None = None
        self._draining = False
        self._refused = 0
        self._told = float("-inf")

    def __len__(self) -> int:
        return len(self._visits)

    def open(self, listener: Listener) -> None:
        """Begin to accept, inside a running loop. Raises OSError where no descriptor is left."""
        if self._reserve < 0:
            self._reserve = _take_reserve()
        self._listeners.append(listener)
        if self._resting is None:
            self._watch(listener)

    async def drain(self, seconds: float) -> None:
        """Stop accepting, ask every session to end, wait up to `seconds`, then cut off the rest."""
        self._draining = True
        if self._resting is not None:
            self._resting.cancel()
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener.sock.fileno())
        self._listeners.clear()
        for task, visit in list(self._visits.items()):
            if visit.stream is None:
                task.cancel()
            else:
                visit.stream.part(Farewell.SHUTDOWN)
        await _wait(self._visits, seconds)
        for task, visit in list(self._visits.items()):
            if visit.stream is not None:
                visit.stream.abort()
            task.cancel()
        await _wait(self._visits, _ABORT_SECONDS)
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1

    def part_account(self, address: str) -> int:
        """Ask an account's sessions to end, since its password changed or it was disabled; gives how many."""
        parting = 0
        for visit in self._visits.values():
            stream = visit.stream
            if stream is not None and stream.conversation is not None and stream.conversation.account == address:
                stream.part(Farewell.ACCOUNT)
                parting += 1
        return parting

    # --- accepting

    def _watch(self, listener: Listener) -> None:
        asyncio.get_running_loop().add_reader(listener.sock.fileno(), self._accept, listener)

    def _accept(self, listener: Listener) -> None:
        for _ in range(limits.ACCEPTS_PER_TURN):
            try:
                sock, name = listener.sock.accept()
            except BlockingIOError:
                return
            except OSError as fault:
                if fault.errno in _GONE:
                    continue
                if fault.errno in _OUT_OF_DESCRIPTORS:
                    self._refuse_one(listener)
                event(logger, logging.ERROR, "accepting-rests", protocol=listener.protocol, reason=fault)
                self._rest()
                return
            sock.setblocking(False)
            # asyncio does so only where the socket knows that its protocol is TCP.
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._receive(listener, sock, str(name[0]) if isinstance(name, tuple) else "")

    def _receive(self, listener: Listener, sock: socket.socket, peer: str) -> None:
        network = self._counted(peer)
        if len(self._visits) >= self._most:
            self._tell_refused(listener, peer, "connections in all")
            _refuse(listener, sock)
            return
        if network is not None:
            if 0 < self._per_address <= self._here[network]:
                self._tell_refused(listener, peer, "connections of one address")
                _refuse(listener, sock)
                return
            self._here[network] += 1
        visit = _Visit(listener, sock, peer, network)
        task = asyncio.get_running_loop().create_task(self._converse(visit))
        self._visits[task] = visit
        task.add_done_callback(self._left)

    def _key(self, peer: str) -> str | None:
        """What connections from `peer` are counted under; None: they aren't."""
        network = network_of(peer)
        return None if network is None or meets(network, self._exempt) else str(network)

    def _tell_refused(self, listener: Listener, peer: str, reason: str) -> None:
        """One line a second at most: a flood must not become one of the log."""
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now - self._told >= limits.REFUSE_SECONDS:
            event(
                logger,
                logging.INFO,
                "connection-refused",
                protocol=listener.protocol,
                peer=peer,
                reason=reason,
                count=self._refused,
            )
            self._told, self._refused = now, 0

    # --- out of descriptors

    def _refuse_one(self, listener: Listener) -> None:
        """Say to one who waits that we are full, with the descriptor kept for that."""
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1
            try:
                sock, _ = listener.sock.accept()
            except OSError:
                pass
            else:
                sock.setblocking(False)
                _refuse(listener, sock)
        try:
            self._reserve = _take_reserve()
        except OSError:
            pass  # Somebody else was quicker; the next rest's end tries again.

    def _rest(self) -> None:
        """Accept nowhere for a while: what is lacking is the whole process's."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener.sock.fileno())
        if self._resting is not None:
            self._resting.cancel()
        self._resting = loop.call_later(limits.REFUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._resting = None
        if self._reserve < 0:
            try:
                self._reserve = _take_reserve()
            except OSError:
                self._rest()
                return
        for listener in self._listeners:
            self._watch(listener)

    # --- one connection

    async def _converse(self, visit: _Visit) -> None:
        try:
            stream = visit.stream = await _connect(visit)
        except OSError as fault:  # a handshake's end: TimeoutError, ssl.SSLError and Unwelcome are OSErrors
            event(
                logger,
                logging.INFO,
                "handshake-failed",
                protocol=visit.listener.protocol,
                peer=visit.peer,
                reason=fault.reason if isinstance(fault, ssl.SSLError) else str(fault) or type(fault).__name__,
            )
            return
        conversation = stream.conversation = self._tap.begin(visit.listener.protocol, stream.peer.host)
        conversation.guarded = visit.listener.login_first
        if stream.tls is not None:
            conversation.note(f"TLS began: {stream.tls.version()}")
        if self._draining:
            stream.part(Farewell.SHUTDOWN)
        try:
            await visit.listener.handler(stream)
        except EndOfStream:
            pass
        except DeadlineExpired:
            conversation.note("the deadline passed")
        except Exception as fault:
            event(
                logger,
                logging.ERROR,
                "session-broke",
                trace=fault,
                session=conversation.id,
                protocol=visit.listener.protocol,
                peer=visit.peer,
            )
        finally:
            stream.deadline(limits.CLOSE_SECONDS)
            await stream.close()
            self._tap.end(conversation)

    def _left(self, task: asyncio.Task[None]) -> None:
        visit = self._visits.pop(task)
        if visit.network is not None:
            self._here[visit.network] -= 1
            if not self._here[visit.network]:
                del self._here[visit.network]
        if not visit.taken:
            visit.sock.close()
        if not task.cancelled() and (fault := task.exception()) is not None:
            event(logger, logging.ERROR, "session-broke", trace=fault, protocol=visit.listener.protocol)


async def _connect(visit: _Visit) -> Stream:
    """The connection's stream, with TLS on where that comes first. Raises OSError."""
    loop = asyncio.get_running_loop()
    listener = visit.listener
    stream = Stream()
    stream.alpn = listener.alpn
    if listener.login_first:
        stream.narrow()
    visit.taken = True
    if listener.tls is None:
        await loop.connect_accepted_socket(lambda: stream, visit.sock)
    else:
        handshake = Handshake(listener.tls, True, None, limits.GREETING_SECONDS, listener.alpn)
        secure = SecureTransport(stream, handshake)
        await loop.connect_accepted_socket(lambda: secure, visit.sock)
        await secure.shaken()
        stream.connection_made(secure)
    return stream


def _refuse(listener: Listener, sock: socket.socket) -> None:
    """Say that it is one too many, and close; never waits."""
    with sock:
        try:
            sock.send(listener.busy if listener.tls is None else INTERNAL_ERROR)
            sock.shutdown(socket.SHUT_WR)
            # What lies unread at the close would make it a reset, which can overtake the words.
            sock.recv(limits.CLIENT_HELLO_OCTETS)
        except OSError:
            pass


async def _wait(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(list(tasks), timeout=seconds)


def _take_reserve() -> int:
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def _most_connections() -> int:
    """As many as the process may have descriptors, without those that the store and the rest need."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits.CONNECTIONS_PER_WORKER
    return max(1, soft - limits.DESCRIPTORS_KEPT)
