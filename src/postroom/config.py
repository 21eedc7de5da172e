"""postroom.toml: its keys, their defaults, and every way to get one wrong said in one line.

`load` gives a frozen `Config` in which each value already has its final type (octets, seconds, networks, absolute
paths). A key that isn't known is an error; a key that is known but that this version doesn't act on yet is named by
`Config.unused`, so that the server can say so once.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from postroom.net.limits import SCRAM_ITERATIONS_LEAST, SCRAM_ITERATIONS_MOST
from postroom.smtp.grammar import AddressFault, to_ascii

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SIZE: Final = re.compile(r"([0-9]{1,15}) ?(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)?", re.ASCII)
_UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_UNITS_10: Final = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_DURATION: Final = re.compile(r"([0-9]{1,9})(s|m|h|d|w)", re.ASCII)
_MILLISECONDS: Final = re.compile(r"([0-9]{1,6})(ms|s)", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_HOSTNAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?", re.ASCII)


class ConfigError(ValueError):
    """A configuration that can't be used; its text names the key and the reason in one line."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}" if key else reason)
        self.key = key


@dataclass(frozen=True, slots=True, order=True)
class HostPort:
    """Where to listen or connect; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# --- readers: a TOML value to its final type; each raises ValueError with the reason


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a string is wanted")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("control characters have no place here")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is wanted")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a whole number, 0 or more, is wanted")
    return value


def _scram(value: object) -> str:
    found = {True: "on", False: "off"}.get(value) if isinstance(value, bool) else value
    if found not in ("auto", "on", "off"):
        raise ValueError('"auto", true or false is wanted')
    return str(found)


def _iterations(value: object) -> int:
    number = _count(value)
    if not SCRAM_ITERATIONS_LEAST <= number <= SCRAM_ITERATIONS_MOST:
        raise ValueError(f"a number from {SCRAM_ITERATIONS_LEAST} to {SCRAM_ITERATIONS_MOST} is wanted")
    return number


def _port(value: object) -> int:
    number = _count(value)
    if not 1 <= number <= 65535:
        raise ValueError("a port lies between 1 and 65535")
    return number


def _percent(value: object) -> int:
    number = _count(value)
    if not 1 <= number <= 100:
        raise ValueError("a share in percent, from 1 to 100, is wanted")
    return number


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('a size such as "50MiB" is wanted')
    return int(found[1]) * (_UNITS | _UNITS_10)[found[2] or "B"]


def _duration(value: object) -> int:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('a time such as "14d", "4h" or "5m" is wanted')
    return int(found[1]) * _SECONDS[found[2]]


def read_size(text: str) -> int:
    """A size such as "50MiB" in octets, for the command line. Raises ValueError."""
    return _size(text)


def read_duration(text: str) -> int:
    """A time such as "14d" in seconds. Raises ValueError."""
    return _duration(text)


def _milliseconds(value: object) -> int:
    found = _MILLISECONDS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('a time such as "500ms" or "2s" is wanted')
    return int(found[1]) * (1 if found[2] == "ms" else 1000)


def _hostname(value: object) -> str:
    """In ASCII: a name that is written beyond it (RFC 5890) is what the DNS knows it as."""
    text = _text(value)
    try:
        name = to_ascii(text)
    except AddressFault:
        raise ValueError(f"{text!r} is no host name") from None
    if len(name) > 253 or not _HOSTNAME.fullmatch(name):
        raise ValueError(f"{text!r} is no host name")
    return name.rstrip(".").lower()


def host_port(value: object) -> HostPort:
    """ "host:port", an IPv6 address in brackets. Raises ValueError."""
    text = _text(value)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{host!r} is no IPv6 address") from None
    elif ":" in host:
        raise ValueError(f"{text!r}: an IPv6 address stands in brackets, as in [::1]:25")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65535:
        raise ValueError(f'{text!r} is not of the form "host:port"')
    return HostPort(host, int(port))


@dataclass(frozen=True, slots=True)
class Socket:
    """Where a filter listens: a host and its port, or a Unix socket's path."""

    host: str = ""
    port: int = 0
    path: str = ""


def _milter(value: object) -> Socket:
    """As Postfix writes it, inet:host:port or unix:path, or as Sendmail does, inet:port@host."""
    kind, _, place = _text(value).partition(":")
    if kind in ("unix", "local") and place:
        return Socket(path=place)
    if kind in ("inet", "inet6") and place:
        port, at, host = place.partition("@")
        if at:
            place = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
        found = host_port(place)
        if found.port:
            return Socket(found.host, found.port)
    raise ValueError(f'{value!r} is not of the form "inet:host:port" or "unix:path"')


def _header(value: object) -> str:
    name, colon, text = _text(value).partition(":")
    if not re.fullmatch(r"[!-9;-~]+", name.strip()) or not colon or not text.strip():
        raise ValueError(f'{value!r} is not of the form "Name: value"')
    return f"{name.strip()}: {text.strip()}"


def _resolver(value: object) -> HostPort:
    place = host_port(value)
    try:
        ipaddress.ip_address(place.host)
    except ValueError:
        raise ValueError(f"{place.host!r} is no address, and who finds out names is asked by none") from None
    return place


def _network(value: object) -> Network:
    try:
        return ipaddress.ip_network(_text(value))
    except ValueError as e:
        raise ValueError(f"{value!r} is no network ({e})") from None


def _port_range(value: object) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", _text(value), re.ASCII)
    if not found or not 1 <= int(found[1]) <= int(found[2]) <= 65535:
        raise ValueError('a range such as "20000-20999" is wanted')
    return int(found[1]), int(found[2])


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(map(repr, choices))} is wanted")
        return str(value)

    return read


T = TypeVar("T")
_NOTHING: Final[Mapping[str, Any]] = types.MappingProxyType({})


def _list(read: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    def reader(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ValueError("a list is wanted")
        return tuple(read(item) for item in value)

    return reader


def _table(read: Callable[[object], T]) -> Callable[[object], Mapping[str, T]]:
    def reader(value: object) -> Mapping[str, T]:
        if not isinstance(value, dict):
            raise ValueError("a table is wanted")
        return {_hostname(name): read(item) for name, item in value.items()}

    return reader


def _store(value: object) -> str:
    url = _text(value)
    if url != "sqlite" and not url.startswith("postgresql://"):
        raise ValueError('"sqlite" or a "postgresql://" address is wanted')
    return url


def _blobs(value: object) -> str:
    url = _text(value)
    if url != "local" and not url.startswith("s3://"):
        raise ValueError('"local" or an "s3://bucket/prefix" is wanted')
    return url


def _setting(default: T, read: Callable[[object], T], *, used: bool = False) -> T:
    """A key of the file. `used`: this version acts on it."""
    made: T = field(default_factory=lambda: default, metadata={"read": read, "used": used})
    return made


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain and its key, in PEM files."""

    certificate: str = _setting("", _text, used=True)
    key: str = _setting("", _text, used=True)


def _certificate(value: object) -> Certificate:
    if not isinstance(value, dict) or set(value) != {"certificate", "key"}:
        raise ValueError("certificate and key, two files, are wanted")
    return Certificate(_text(value["certificate"]), _text(value["key"]))


_hosts = _list(host_port)
_nets = _list(_network)


@dataclass(frozen=True, slots=True)
class Listen:
    """[listen]: what is served where; an empty list is not served."""

    smtp: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    submission: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    submissions: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    lmtp: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    pop3: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    pop3s: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    imap: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    imaps: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    ftp: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    ftps: tuple[HostPort, ...] = _setting((), _hosts, used=True)
    web: tuple[HostPort, ...] = _setting((), _hosts, used=True)


@dataclass(frozen=True, slots=True)
class Tls:
    """[tls]: whose certificates, and where a login needs TLS."""

    certificate: str = _setting("", _text, used=True)
    key: str = _setting("", _text, used=True)
    require_for_login: bool = _setting(True, _flag, used=True)
    loopback_plain: bool = _setting(False, _flag, used=True)
    names: Mapping[str, Certificate] = _setting(_NOTHING, _table(_certificate), used=True)
    client_ca: str = _setting("", _text, used=True)
    """Who signs certificates that clients log in with (SASL EXTERNAL); a PEM file."""


@dataclass(frozen=True, slots=True)
class Smtp:
    """[smtp]"""

    max_message_size: int = _setting(50 * 2**20, _size, used=True)
    relay_networks: tuple[Network, ...] = _setting((), _nets)
    xclient_networks: tuple[Network, ...] = _setting((), _nets, used=True)
    milters: tuple[Socket, ...] = _setting((), _list(_milter), used=True)
    milter_default: str = _setting("tempfail", _one_of("tempfail", "accept", "reject"), used=True)
    """What a milter that can't be reached, or breaks the protocol, comes to."""
    milter_timeout: int = _setting(30, _duration, used=True)
    verify: str = _setting("accounts", _one_of("accounts", "everybody", "nobody"), used=True)
    """Whom VRFY and EXPN tell the truth."""
    case_sensitive: tuple[str, ...] = _setting((), _list(_hostname), used=True)
    """Domains in which an alias's local part means what its case says, and no other."""
    greeting_pause: int = _setting(0, _milliseconds, used=True)
    """Milliseconds before the greeting, in which a client that talks is turned away."""
    terminals: str = _setting("everybody", _one_of("accounts", "everybody", "nobody"), used=True)
    """Whose SEND, SOML and SAML reach live sessions; of others' letters SEND is 450, the rest goes to mailboxes."""
    relay_domains: Mapping[str, str] = _setting(_NOTHING, _table(_text))


@dataclass(frozen=True, slots=True)
class Checks:
    """[checks]: what is held against letters from strangers. Networks in limits.exempt_networks pass all."""

    hello: str = _setting("literal", _one_of("off", "literal", "strict"), used=True)
    """What HELO and EHLO may say: anything; no address but the client's, nor a name of ours; only a domain."""
    rate_per_minute: int = _setting(0, _count, used=True)
    """Letters that one sender from one network may bring; 0: any number."""
    greylist: bool = _setting(False, _flag, used=True)
    greylist_delay: int = _setting(300, _duration, used=True)
    greylist_keep: int = _setting(35 * 86400, _duration, used=True)
    blocklists: tuple[str, ...] = _setting((), _list(_hostname), used=True)
    """Zones of DNS blocklists (RFC 5782)."""
    junk_headers: tuple[str, ...] = _setting(("X-Spam-Flag: YES", "X-Spam: Yes"), _list(_header), used=True)
    """Header fields of a filter (a milter) that send a letter to Junk."""


@dataclass(frozen=True, slots=True)
class Login:
    """[login]: SCRAM-SHA-256 proves passwords without saying them, for which keys are kept beside the hash."""

    scram: str = _setting("auto", _scram, used=True)
    """ "auto": offered once all accounts have keys (one that came with a ready hash has none); true: always;
    false: never, and no keys are made. "on" and "off" are the same two."""
    scram_iterations: int = _setting(65_536, _iterations, used=True)
    """For passwords that are set from now on: how dear a guess is to who has stolen the keys. More than this is
    refused by all programs that use Cyrus SASL (mutt, mbsync, Postfix)."""


@dataclass(frozen=True, slots=True)
class Oauth:
    """[oauth]: who verifies the tokens of OAUTHBEARER and XOAUTH2 (RFC 7662); without a URL they aren't offered."""

    introspection_url: str = _setting("", _text, used=True)
    client_id: str = _setting("", _text, used=True)
    client_secret_file: str = _setting("", _text, used=True)
    account_claim: str = _setting("username", _text, used=True)
    """Which member of the answer names the account."""


@dataclass(frozen=True, slots=True)
class Queue:
    """[queue]"""

    smarthost: str = _setting("", _text)
    smarthost_user: str = _setting("", _text)
    smarthost_password_file: str = _setting("", _text)
    retry: tuple[int, ...] = _setting((300, 900, 3600, 14400, 86400), _list(_duration))
    expire: int = _setting(5 * 86400, _duration)
    mx_port: int = _setting(25, _port)
    mx_deny: tuple[Network, ...] = _setting(
        tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128", "0.0.0.0/8", "169.254.0.0/16"))), _nets
    )
    routes: Mapping[str, HostPort] = _setting(_NOTHING, _table(host_port))


@dataclass(frozen=True, slots=True)
class Dns:
    """[dns]"""

    resolver: tuple[HostPort, ...] = _setting((), _list(_resolver), used=True)


@dataclass(frozen=True, slots=True)
class Quota:
    """[quota]: what an account, and a domain, may keep unless `postroom account quota` says else; 0 is no limit."""

    mail: int = _setting(0, _size, used=True)
    mail_letters: int = _setting(0, _count, used=True)
    domain_mail: int = _setting(0, _size, used=True)
    domain_letters: int = _setting(0, _count, used=True)
    files: int = _setting(0, _size)


@dataclass(frozen=True, slots=True)
class Compaction:
    """[compaction]: how the disk gets back what expunged letters took. `rate` in octets a second, read and written
    together, 0 is never; `dead_share` in percent of a segment, from which on it is worth it; from `age` on less is
    enough."""

    rate: int = _setting(8 * 2**20, _size, used=True)
    dead_share: int = _setting(30, _percent, used=True)
    age: int = _setting(30 * 86400, _duration, used=True)


@dataclass(frozen=True, slots=True)
class Keep:
    """[keep]: how long letters stay in mailboxes that empty themselves; 0 is for ever."""

    trash: int = _setting(0, _duration, used=True)
    junk: int = _setting(0, _duration, used=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """[limits]"""

    proxy_networks: tuple[Network, ...] = _setting((), _nets, used=True)
    connections_per_address: int = _setting(50, _count, used=True)
    connections: int = _setting(0, _count, used=True)
    """Of all workers together; 0: as many as the system allows."""
    connections_per_listener: Mapping[str, int] = _setting(_NOTHING, _table(_count), used=True)
    """By the listener's name, of all workers together."""
    reload_patience: int = _setting(3600, _duration, used=True)
    """Sessions in a worker that a reload replaced go on for so long; then they are asked to end."""
    letters_per_hour: int = _setting(2000, _count, used=True)
    """That an account may send (submission), against stolen passwords; 0: any number."""
    letters_per_day: int = _setting(10_000, _count, used=True)
    login_failures: int = _setting(10, _count, used=True)
    exempt_networks: tuple[Network, ...] = _setting((), _nets, used=True)


@dataclass(frozen=True, slots=True)
class Anonymous:
    """[ftp.anonymous]"""

    enabled: bool = _setting(False, _flag)
    root: str = _setting("data/public", _text)
    navigate: bool = _setting(False, _flag)
    upload: bool = _setting(False, _flag)


@dataclass(frozen=True, slots=True)
class Ftp:
    """[ftp]"""

    tls_session_reuse: str = _setting("offered", _one_of("offered", "required", "off"))
    ebcdic: str = _setting("cp037", _one_of("cp037", "cp1047"))
    passive_ports: tuple[int, int] = _setting((20000, 20999), _port_range)
    public_address: str = _setting("", _text)
    anonymous: Anonymous = field(default_factory=Anonymous)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file, and where it lies."""

    hostname: str = _setting("mx.example.test", _hostname, used=True)
    data: str = _setting("data", _text, used=True)
    user: str = _setting("", _text, used=True)
    writer: str = _setting("auto", _one_of("auto", "inline", "keeper"), used=True)
    undelete: int = _setting(14 * 86400, _duration, used=True)
    store: str = _setting("sqlite", _store, used=True)
    blobs: str = _setting("local", _blobs, used=True)
    workers: int = _setting(1, _count, used=True)
    domains: tuple[str, ...] = _setting(("example.test",), _list(_hostname), used=True)
    catch_all: Mapping[str, str] = _setting(_NOTHING, _table(_text), used=True)
    """By domain: whom all mail for names that nobody has goes to."""
    listen: Listen = field(default_factory=Listen)
    tls: Tls = field(default_factory=Tls)
    smtp: Smtp = field(default_factory=Smtp)
    queue: Queue = field(default_factory=Queue)
    dns: Dns = field(default_factory=Dns)
    quota: Quota = field(default_factory=Quota)
    compaction: Compaction = field(default_factory=Compaction)
    keep: Keep = field(default_factory=Keep)
    limits: Limits = field(default_factory=Limits)
    checks: Checks = field(default_factory=Checks)
    login: Login = field(default_factory=Login)
    oauth: Oauth = field(default_factory=Oauth)
    ftp: Ftp = field(default_factory=Ftp)

    path: Path = field(default=Path("postroom.toml"), metadata={"file": False})
    """The file itself, absolute."""
    unused: tuple[str, ...] = field(default=(), metadata={"file": False})
    """Keys that were set away from their default and that this version doesn't act on."""

    def place(self, name: str) -> Path:
        """A path of the file, relative to where the file lies."""
        return (self.path.parent / name).absolute()

    @property
    def root(self) -> Path:
        """The data directory."""
        return self.place(self.data)


def _read(kind: type[Any], table: object, path: str, unused: list[str]) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(path, "a table is wanted")
    known = {f.name: f for f in fields(kind) if f.metadata.get("file", True)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{path}.{name}" if path else name
        if name not in known:
            raise ConfigError(key, "unknown setting" + _guess(name, known))
        setting = known[name]
        if "read" not in setting.metadata:
            values[name] = _read(cast(type[Any], setting.default_factory), value, key, unused)
            continue
        try:
            values[name] = setting.metadata["read"](value)
        except ValueError as e:
            raise ConfigError(key, str(e)) from None
        if not setting.metadata["used"] and values[name] != cast(Callable[[], object], setting.default_factory)():
            unused.append(key)
    return kind(**values)


def _guess(name: str, known: Mapping[str, object]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""


def parse(text: str, path: Path) -> Config:
    """The configuration in a TOML text that lies, or would lie, at `path`. Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError("", f"{path.name} is no TOML: {e}") from None
    unused: list[str] = []
    config: Config = _read(Config, table, "", unused)
    _check(config)
    return _with(config, path=path.absolute(), unused=tuple(unused))


def _with(config: Config, **changes: Any) -> Config:
    return Config(**{f.name: getattr(config, f.name) for f in fields(config)} | changes)


def _check(config: Config) -> None:
    """What no single key can tell."""
    if bool(config.tls.certificate) != bool(config.tls.key):
        missing = "key" if config.tls.certificate else "certificate"
        raise ConfigError(f"tls.{missing}", "certificate and key go together; one of them is missing")
    if not config.domains:
        raise ConfigError("domains", "at least one domain is wanted")
    if not config.data:
        raise ConfigError("data", "a directory is wanted")
    for name in config.limits.connections_per_listener:
        if not hasattr(config.listen, name):
            raise ConfigError(f"limits.connections_per_listener.{name}", "no listener has that name")
    seen: dict[HostPort, str] = {}
    for f in fields(config.listen):
        for place in getattr(config.listen, f.name):
            if place.port and place in seen:
                raise ConfigError(f"listen.{f.name}", f"{place} is taken by listen.{seen[place]}")
            seen[place] = f.name


def read(path: Path) -> str:
    """The text of a file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("", f"{path} is not there (--config names another file)") from None
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError("", f"{path} can't be read: {getattr(e, 'strerror', None) or e}") from None


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigError."""
    return parse(read(path), path)
