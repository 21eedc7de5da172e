"""The door: accepts connections, counts them, shakes hands where TLS comes first, and runs one session each.

uvloop's own server accepts one connection a turn of the loop; this one takes up to ACCEPTS_PER_TURN. A connection
that is one too many (in all, at its listener, from one address) hears one line and is closed, without a task that
could pile up. Where the process is out of descriptors a reserve lets it say so once, and accepting rests for
REFUSE_SECONDS. A proxy's connection says first whose it is (`net.proxy`), and counts as that one's from then on.

A handler's EndOfStream and DeadlineExpired are ordinary ends; any other exception is ours: logged once, with its
traceback, and it ends that one connection.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from postroom.net import limits, proxy
from postroom.net.conversation import Conversation, Tap
from postroom.net.counts import Counts
from postroom.net.hello import INTERNAL_ERROR
from postroom.net.log import event
from postroom.net.networks import Network, within
from postroom.net.secure import SecureTransport
from postroom.net.stream import DeadlineExpired, EndOfStream, Farewell, Stream
from postroom.net.transport import Address, Handshake
from postroom.net.turnstile import Turnstile

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
    group: int = 0
    """What its connections are counted under, with those of other listeners and workers (`net.counts`)."""
    most: int = 0
    """So many connections of its group, over all workers; 0: any number."""
    spare: bool = False
    """Another worker's socket: only what lies there for RESCUE_SECONDS is accepted."""


@dataclass(slots=True, eq=False)
class _Visit:
    """One connection: its socket, then its stream; `network` is None where it isn't counted."""

    listener: Listener
    sock: socket.socket
    peer: str
    network: str | None = None
    ends: tuple[Address, Address] | None = None
    """Whose it is, and where it was made to, as a proxy tells."""
    taken: bool = False
    """The socket is a transport's, which closes it."""
    stream: Stream | None = None


class Door:
    """All listeners of one process. `len(door)` is how many connections are live, handshakes included.

    How many there may be, over all processes that share the table of `counts`: see `net.turnstile`. `most` bounds
    those of this process, and so does what it has in descriptors. Peers in `proxies` must begin with a header of
    the PROXY protocol.
    """

    def __init__(
        self,
        tap: Tap,
        *,
        per_address: int,
        in_all: int = 0,
        most: int = limits.CONNECTIONS_PER_WORKER,
        exempt: Sequence[Network] = (),
        proxies: Sequence[Network] = (),
        counts: Counts | None = None,
    ) -> None:
        self._tap = tap
        self._most = min(most, _most_connections())
        self._proxies = tuple(proxies)
        self._turnstile = Turnstile(counts or Counts.alone(), per_address=per_address, in_all=in_all, exempt=exempt)
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
        if listener.spare:
            # Its descriptor is none of those that are kept for the rest.
            self._most = max(1, self._most - 1)
        if self._resting is None:
            self._watch(listener)

    async def retire(self, seconds: float) -> None:
        """Stop accepting, since others do it now, and wait up to `seconds` for the sessions to end."""
        self._stop_accepting()
        await _wait(self._visits, seconds)

    async def drain(self, seconds: float) -> None:
        """Stop accepting, ask every session to end, wait up to `seconds`, then cut off the rest."""
        self._draining = True
        self._stop_accepting()
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
        parting = [stream for stream, conversation in self.sessions() if conversation.account == address]
        for stream in parting:
            stream.part(Farewell.ACCOUNT)
        return len(parting)

    def sessions(self) -> list[tuple[Stream, Conversation]]:
        """Who converses here now; handshakes aren't among them."""
        streams = (visit.stream for visit in self._visits.values())
        return [(one, one.conversation) for one in streams if one is not None and one.conversation is not None]

    def end(self, stream: Stream) -> None:
        """Ask a session to end, and cut it off where it hasn't within PARTING_SECONDS."""
        stream.part(Farewell.ENDED)
        asyncio.get_running_loop().call_later(limits.PARTING_SECONDS, stream.abort)

    # --- accepting

    def _stop_accepting(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener.sock.fileno())
        self._listeners.clear()

    def _watch(self, listener: Listener) -> None:
        came = self._wait_for_its_worker if listener.spare else self._accept
        asyncio.get_running_loop().add_reader(listener.sock.fileno(), came, listener)

    def _wait_for_its_worker(self, listener: Listener) -> None:
        """Somebody stands before another worker's door."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener.sock.fileno())
        loop.call_later(limits.RESCUE_SECONDS, self._rescue, listener)

    def _rescue(self, listener: Listener) -> None:
        """Take who stands there still."""
        if listener in self._listeners and self._resting is None:
            self._watch(listener)
            self._accept(listener)

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
        visit = _Visit(listener, sock, peer)
        if len(self._visits) >= self._most:
            self._refuse(visit, "connections of this process")
            return
        reason = self._turnstile.enter(listener.group, listener.most) or (
            "" if self._announces(peer) else self._meet(visit)
        )
        if reason:
            self._turnstile.leave(listener.group, visit.network)
            self._refuse(visit, reason)
            return
        task = asyncio.get_running_loop().create_task(self._converse(visit))
        self._visits[task] = visit
        task.add_done_callback(self._left)

    def _announces(self, peer: str) -> bool:
        """Whether a connection from there must tell first whose it is."""
        return bool(self._proxies) and within(peer, self._proxies)

    def _meet(self, visit: _Visit) -> str:
        """Count it for who made it. Gives why it is one too many; empty: it isn't."""
        visit.network = self._turnstile.counted(visit.peer)
        return "" if visit.network is None else self._turnstile.meet(visit.network)

    def _refuse(self, visit: _Visit, reason: str) -> None:
        """Turn it away, with one line of the log a second at most: a flood must not become one of the log."""
        _refuse(visit.listener, visit.sock)
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now - self._told >= limits.REFUSE_SECONDS:
            event(
                logger,
                logging.INFO,
                "connection-refused",
                protocol=visit.listener.protocol,
                peer=visit.peer,
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

    async def _announced(self, visit: _Visit) -> bool:
        """Hear from a proxy whose connection it is; false where that is one too many. Raises OSError."""
        visit.ends = (await proxy.receive(visit.sock)).ends
        if visit.ends is not None:
            visit.peer = visit.ends[0].host
        reason = self._meet(visit)
        if reason:
            self._refuse(visit, reason)
        return not reason

    async def _converse(self, visit: _Visit) -> None:
        try:
            if self._announces(visit.peer) and not await self._announced(visit):
                return
            stream = visit.stream = await _connect(visit)
        except OSError as fault:  # TimeoutError, ssl.SSLError, Unwelcome and NoHeader are OSErrors
            event(
                logger,
                logging.INFO,
                "handshake-failed" if visit.taken else "proxy-refused",
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
        self._turnstile.leave(visit.listener.group, visit.network)
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
    if visit.ends is not None:
        stream.peer, stream.local = visit.ends
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
