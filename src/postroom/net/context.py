"""The TLS context of a server whose certificates may change under it: by the name that a client asks for, and when
they are loaded anew. Made by `net.tls.server_context`.

A connection begins with the context that everybody holds, and the certificate is chosen in its handshake. So new
certificates take the place of old ones as a whole, for the next handshake, and no session notices.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass


class ServerContext(ssl.SSLContext):
    """One certificate and its key; the one that `serve` was called on stands for all of a listener's."""

    end_point: bytes | None = None
    """tls-server-end-point (RFC 5929 4.1) of the certificate; None where that is undefined."""
    _load: Callable[[], Certificates]
    _certificates: Certificates

    def serve(self, load: Callable[[], Certificates]) -> None:
        """Choose certificates in handshakes from now on, from what `load` gives. Raises what `load` raises."""
        self._load = load
        self._certificates = load()
        self.sni_callback = self._choose

    def load(self) -> Certificates:
        """The certificates as they lie on disk now, whole and checked, and not used yet. Raises OSError."""
        return self._load()

    def use(self, certificates: Certificates) -> None:
        """Show these to all who come from now on."""
        self._certificates = certificates

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._certificates.of(name)


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a listener shows: to who asks for a name, and to all others. Names are lower-case, without last dot."""

    default: ServerContext
    names: Mapping[str, ServerContext]

    def of(self, name: str | None) -> ServerContext:
        """The certificate for a server name; None: the client gave none."""
        found = self.names.get(name.lower().removesuffix(".")) if name else None
        return found or self.default


def end_point(tls: ssl.SSLObject) -> bytes | None:
    """tls-server-end-point of a server's connection: the hash of the certificate that was sent in its handshake.

    None where it is undefined, and for a session that was resumed: no certificate was sent in it, and the one of
    the session's beginning may have been another.
    """
    context = tls.context
    return context.end_point if isinstance(context, ServerContext) and not tls.session_reused else None
