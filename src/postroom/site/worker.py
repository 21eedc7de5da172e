"""The worker: holds the conversations. It can be killed at any time; what it has answered is on stable storage."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence

from postroom.accounts.directory import Directory
from postroom.accounts.remote import RemoteAuthority
from postroom.config import Config
from postroom.intake.accept import Intake
from postroom.net import ipc
from postroom.net.conversation import Tap
from postroom.net.limits import DRAIN_SECONDS
from postroom.net.listener import Door, Listener
from postroom.net.log import event
from postroom.site.control import handlers
from postroom.site.places import Places
from postroom.site.quotas import quotas
from postroom.site.served import SERVED
from postroom.site.services import Services, context
from postroom.store.sqlite import open_store

_logger = logging.getLogger("postroom.worker")

Given = tuple[str, int]
"""A protocol and the descriptor of a listening socket for it."""


@contextlib.asynccontextmanager
async def work(config: Config, name: str, given: Sequence[Given], *, keeper: bool = False) -> AsyncIterator[None]:
    """Converse with all who come to the sockets, until the end of the context; then drain. With `keeper` the site
    has one, and it makes the changes."""
    places = Places(config.root)
    tap = Tap(name.removeprefix("worker-"))
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store(config.root, name=name, quotas=quotas(config), keeper=keeper)
        stack.push_async_callback(store.close)
        authority = RemoteAuthority(places.authority)
        stack.push_async_callback(authority.close)
        services = Services(
            config, store, Directory(store.account, authority), Intake(store, config.hostname, config.domains)
        )
        control = await ipc.serve(places.control(name), handlers(tap))
        stack.push_async_callback(control.close)
        door = Door(tap, per_address=config.limits.connections_per_address, exempt=config.limits.exempt_networks)
        stack.push_async_callback(door.drain, DRAIN_SECONDS)
        stack.callback(store.watch_accounts(lambda address: _part(door, address)))
        for protocol, descriptor in given:
            door.open(_listener(config, services, protocol, descriptor))
        yield


def _part(door: Door, address: str) -> None:
    parted = door.part_account(address)
    if parted:
        event(_logger, logging.INFO, "account-changed", account=address, sessions=parted)


def _listener(config: Config, services: Services, protocol: str, descriptor: int) -> Listener:
    served, tls = SERVED[protocol], context(config, protocol)
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return Listener(
        protocol,
        sock,
        services.handler(protocol, tls),
        tls=tls if served.implicit_tls else None,
        alpn=frozenset((served.alpn.encode(),)),
        busy=served.busy,
        login_first=served.login_first,
    )
