"""Which certificates and keys the site has."""

from __future__ import annotations

import ssl
from pathlib import Path

from postroom.config import Config, ConfigError
from postroom.net.tls import KeyPair
from postroom.site.places import Places

__all__ = ["check_pairs", "client_ca", "further_pairs", "pair"]


def pair(config: Config) -> KeyPair:
    """The certificate and the key that are served to who names no other."""
    if config.tls.certificate:
        return KeyPair(config.place(config.tls.certificate), config.place(config.tls.key))
    places = Places(config.root)
    return KeyPair(places.tls / "cert.pem", places.tls / "key.pem")


def further_pairs(config: Config) -> dict[str, KeyPair]:
    """[tls.names]: the certificates chosen by server name."""
    return {
        name: KeyPair(config.place(one.certificate), config.place(one.key))
        for name, one in config.tls.names.items()
    }


def client_ca(config: Config) -> Path | None:
    """Who signs certificates that clients log in with; None: nobody, and none is asked for."""
    return config.place(config.tls.client_ca) if config.tls.client_ca else None


def check_pairs(config: Config) -> None:
    """See that each configured certificate can be read and belongs to its key. Raises ConfigError."""
    pairs = {f"tls.names.{name}": one for name, one in further_pairs(config).items()}
    if config.tls.certificate:
        pairs["tls.certificate"] = pair(config)
    for key, one in pairs.items():
        for path in (one.certificate, one.key):
            if not path.is_file():
                raise ConfigError(key, f"{path} is not there")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(one.certificate, one.key)
        except OSError as e:
            reason = getattr(e, "reason", None) or e.strerror or e
            raise ConfigError(
                key, f"{one.certificate} and {one.key} don't load as certificate and key ({reason})"
            ) from None
    if (authority := client_ca(config)) is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(authority)
        except OSError as e:
            reason = getattr(e, "reason", None) or e.strerror or e
            raise ConfigError("tls.client_ca", f"{authority} doesn't load as certificates ({reason})") from None
