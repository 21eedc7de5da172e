"""What has to be there before any role starts: directories, a certificate, the index at this version's schema."""

from __future__ import annotations

import ssl

from postroom.config import Config, ConfigError
from postroom.net.tls import KeyPair, make_self_signed
from postroom.site.places import Places
from postroom.store.sqlite import migrate


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


def check_engines(config: Config) -> None:
    """See that this version has the engines that are asked for. Raises ConfigError."""
    if config.store != "sqlite":
        raise ConfigError("store", 'this version keeps its index in "sqlite" only')
    if config.blobs != "local":
        raise ConfigError("blobs", 'this version keeps letters "local" only')


def prepare(config: Config) -> None:
    """Make what is missing. Raises ConfigError, OSError, and the store's `NewerSchema` and `StoreFault`."""
    check_engines(config)
    check_pairs(config)
    Places(config.root).make()
    own = pair(config)
    if not config.tls.certificate and not (own.certificate.exists() and own.key.exists()):
        make_self_signed(own, config.hostname)
    migrate(config.root)
