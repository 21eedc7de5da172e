"""The worker: holds the conversations. It can be killed at any time; what it has answered is on stable storage."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from postroom.accounts.remote import RemoteAuthority
from postroom.config import Config
from postroom.imap.server.alerts import Alerts
from postroom.intake.refusals import Refusals
from postroom.net import ipc
from postroom.net.context import ServerContext
from postroom.net.conversation import Tap
from postroom.net.counts import Counts
from postroom.net.limits import DRAIN_SECONDS
from postroom.net.listener import Door, Listener
from postroom.net.log import event
from postroom.site.control import handlers, session_handlers
from postroom.site.intake import intake
from postroom.site.logins import directory
from postroom.site.places import Places
from postroom.site.quotas import quotas
from postroom.site.served import SERVED
from postroom.site.services import Services, context
from postroom.site.terminals import SiteTerminals
from postroom.site.turnover import obey
from postroom.store.sqlite import open_store

_logger = logging.getLogger("postroom.worker")

Given = tuple[str, int]
"""A protocol and the descriptor of a listening socket for it."""


@contextlib.asynccontextmanager
async def work(
    config: Config,
    name: str,
    given: Sequence[Given],
    spare: Sequence[Given] = (),
    *,
    keeper: bool = False,
    counts: Counts | None = None,
    tell: Callable[[str], None] | None = None,
) -> AsyncIterator[None]:
    """Converse with all who come to the sockets, until the end of the context; then drain. `spare` are the other
    workers' sockets (`Listener.spare`). With `keeper` the site has one, and it makes the changes. `counts` is what
    is shared with the other workers; with `tell` it obeys its supervisor's signals (`site.turnover`)."""
    places = Places(config.root)
    tap = Tap(name.removeprefix("worker-"))
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store(config.root, name=name, quotas=quotas(config), keeper=keeper)
        stack.push_async_callback(store.close)
        authority = RemoteAuthority(places.authority)
        stack.push_async_callback(authority.close)
        alerts = Alerts()
        terminals = SiteTerminals(places, name, alerts, store.account)
        stack.push_async_callback(terminals.close)
        refusals = Refusals(store)
        stack.push_async_callback(refusals.flush)
        stack.callback(asyncio.create_task(refusals.run()).cancel)
        services = Services(
            config,
            store,
            await directory(config, store, authority),
            intake(config, store, refusals),
            alerts=alerts,
            terminals=terminals,
        )
        door = Door(
            tap,
            per_address=config.limits.connections_per_address,
            in_all=config.limits.connections,
            exempt=config.limits.exempt_networks,
            proxies=config.limits.proxy_networks,
            counts=counts,
        )
        asked = {**handlers(tap), **terminals.handlers(), **session_handlers(door)}
        control = await ipc.serve(places.control(name), asked)
        stack.push_async_callback(control.close)
        stack.push_async_callback(door.drain, DRAIN_SECONDS)
        stack.callback(store.watch_accounts(lambda address: _part(door, address)))
        contexts = {protocol: context(config, protocol) for protocol, _ in given}
        listeners = [_listener(config, services, protocol, contexts[protocol], sock) for protocol, sock in given]
        others = [
            replace(next(one for one in listeners if one.protocol == protocol), sock=_listening(sock), spare=True)
            for protocol, sock in spare
        ]
        if tell is not None:
            stack.callback(obey(door, list(contexts.values()), config.limits.reload_patience, tell))
        for listener in (*listeners, *others):
            door.open(listener)
        yield


def _part(door: Door, address: str) -> None:
    parted = door.part_account(address)
    if parted:
        event(_logger, logging.INFO, "account-changed", account=address, sessions=parted)


def _listening(descriptor: int) -> socket.socket:
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock


def _listener(config: Config, services: Services, protocol: str, tls: ServerContext, descriptor: int) -> Listener:
    served = SERVED[protocol]
    return Listener(
        protocol,
        _listening(descriptor),
        services.handler(protocol, tls),
        tls=tls if served.implicit_tls else None,
        alpn=frozenset((served.alpn.encode(),)),
        busy=served.busy,
        login_first=served.login_first,
        group=list(SERVED).index(protocol),
        most=config.limits.connections_per_listener.get(protocol, 0),
    )
