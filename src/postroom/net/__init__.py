"""Sockets and bytes: streams, listeners, TLS, limits, the tap."""
