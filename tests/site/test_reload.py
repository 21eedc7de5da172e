"""A reload as its supervisor does it: what is renewed, what is replaced, what is refused and what is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from postroom.config import parse
from postroom.net import limits
from postroom.net.ipc import short_name
from postroom.net.running import Role
from postroom.net.supervisor import Bound, Supervisor
from postroom.net.tls import KeyPair, make_self_signed
from postroom.site.crew import Crew, CrewFull, Settings, read_settings
from postroom.site.places import Places
from postroom.site.reload import CERTIFICATES, EVERYTHING, Outcome, Reloader

TEXT = 'workers = 2\n[listen]\nimap = ["127.0.0.1:0"]\n'


class Fake(Supervisor):
    """Does what it is told when the test says so."""

    def __init__(self) -> None:
        super().__init__([], lambda: None)
        self.names = ["authority", "worker-0", "worker-1", "runner"]
        self.wanted: Mapping[str, Role] | None = None
        self.told: Callable[[str], None] | None = None
        self.accept: Callable[[], None]

    @property
    def busy(self) -> bool:
        return self.told is not None

    def watch(self, sock: socket.socket, readable: Callable[[], None]) -> None:
        self.accept = readable

    def present(self) -> list[str]:
        return self.names

    def living(self) -> set[str]:
        return set(self.names)

    def replace(self, roles: Mapping[str, Role], then: Callable[[str], None]) -> None:
        self.wanted, self.told = roles, then

    def renew(self, then: Callable[[str], None]) -> None:
        self.wanted, self.told = None, then

    def done(self, fault: str = "") -> None:
        """The change is over."""
        told, self.told = self.told, None
        assert told is not None
        if self.wanted and not fault:
            self.names = [self.wanted[name].name for name in self.names]
        told(fault)


class Site:
    """A configuration, and the reloader of a supervisor that runs on it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "postroom.toml"
        self.file.write_text(TEXT)
        config = parse(TEXT, self.file)
        Places(config.root).make()
        make_self_signed(KeyPair(*(Places(config.root).tls / name for name in ("cert.pem", "key.pem"))), "x")
        self.sock = socket.socket()
        bound = Bound("imap", "127.0.0.1", 0, self.sock)
        self.crew = Crew("INFO", [[bound, Bound("imap", "127.0.0.1", 1, self.sock)]], 2, keeper=False)
        settings = Settings.of(config, TEXT)
        self.crew.first(settings)
        self.supervisor = Fake()
        self.reloader = Reloader(self.crew, settings)
        self.reloader.attach(self.supervisor)
        self.path = Places(config.root).reload

    def ask(self) -> socket.socket:
        """As `postroom reload` does."""
        sock = socket.socket(socket.AF_UNIX)
        with short_name(str(self.path)) as path:
            sock.connect(path)
        sock.settimeout(10)
        self.supervisor.accept()
        return sock


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.reloader.close()
    made.sock.close()


def heard(sock: socket.socket) -> Outcome:
    with sock, sock.makefile("rb") as file:
        return Outcome.read(file.readline())


def test_the_same_configuration_means_certificates_alone(site: Site) -> None:
    sock = site.ask()
    assert site.supervisor.wanted is None
    site.supervisor.done()
    assert heard(sock) == Outcome(CERTIFICATES, 2)


def test_another_configuration_replaces_all_roles_each_by_its_like(site: Site) -> None:
    site.file.write_text('domains = ["a.test"]\n' + TEXT)
    sock = site.ask()
    assert site.supervisor.wanted is not None
    assert {old: new.name for old, new in site.supervisor.wanted.items()} == {
        "authority": "authority",
        "runner": "runner",
        "worker-0": "worker-2",
        "worker-1": "worker-3",
    }
    # Who keeps what others wait for is left alone, where it reads nothing of what has changed.
    assert {name for name, role in site.supervisor.wanted.items() if not role.at_once} == {"authority"}
    given = site.supervisor.wanted["worker-0"].descriptors[0]
    assert parse(read_settings(os.dup(given)), site.file).domains == ("a.test",)
    site.supervisor.done()
    assert heard(sock) == Outcome(EVERYTHING, 2)
    # From now on that is what runs.
    sock = site.ask()
    assert site.supervisor.wanted is None
    site.supervisor.done()
    assert heard(sock).reloaded == CERTIFICATES


@pytest.mark.parametrize("text", ["[limits]\nlogin_failures = 3\n", "[login]\nscram = false\n"])
def test_who_checks_logins_is_started_anew_where_the_rules_changed(site: Site, text: str) -> None:
    site.file.write_text(TEXT + text)
    sock = site.ask()
    assert site.supervisor.wanted is not None and site.supervisor.wanted["authority"].at_once
    site.supervisor.done()
    assert heard(sock).reloaded == EVERYTHING


def test_where_clients_have_certificates_too_all_is_replaced(site: Site, tmp_path: Path) -> None:
    """A resumed session would not be held against the new authority."""
    cert = (Places(parse(TEXT, site.file).root).tls / "cert.pem").read_bytes()
    (tmp_path / "ca.pem").write_bytes(cert)
    site.file.write_text(TEXT + '[tls]\nclient_ca = "ca.pem"\n')
    for _ in range(2):
        sock = site.ask()
        site.supervisor.done()
        assert heard(sock).reloaded == EVERYTHING


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("domians = []\n" + TEXT, "domians: unknown setting (did you mean domains?)"),
        ("no toml", "postroom.toml is no TOML"),
        ('store = "postgresql://x"\n' + TEXT, 'store: this version keeps its index in "sqlite" only'),
        (TEXT + '[tls]\ncertificate = "none.pem"\nkey = "none.key"\n', "none.pem is not there"),
        (TEXT + '[tls]\nclient_ca = "none.pem"\n', "tls.client_ca: "),
        (TEXT + "[limits]\nconnections_per_listener = { smpt = 3 }\n", "no listener has that name"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_in_one_line(
    site: Site, text: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.file.write_text(text)
    outcome = heard(site.ask())
    assert why in outcome.refused and outcome.configuration and not outcome.reloaded
    assert site.supervisor.told is None
    (record,) = caplog.records
    assert record.message.startswith("reload-refused ") and "\n" not in record.message


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("workers = 2", "workers = 3"),
        TEXT.replace("127.0.0.1:0", "127.0.0.1:1143"),
        'data = "elsewhere"\n' + TEXT,
        'writer = "keeper"\n' + TEXT,
    ],
)
def test_what_takes_a_restart_is_said_to_take_one(site: Site, text: str) -> None:
    site.file.write_text(text)
    outcome = heard(site.ask())
    assert outcome.refused.endswith("a change of it takes a restart of the server")
    assert not outcome.configuration


def test_a_file_that_is_gone_is_refused(site: Site) -> None:
    site.file.unlink()
    assert "is not there" in heard(site.ask()).refused


def test_a_replacement_that_failed_is_told_and_made_up_for(site: Site) -> None:
    site.file.write_text('domains = ["a.test"]\n' + TEXT)
    sock = site.ask()
    site.supervisor.done("worker-2 did not start")
    assert heard(sock).refused == "worker-2 did not start: the log tells why, and the old ones go on"
    sock = site.ask()
    assert site.supervisor.wanted is not None, "some may have the new settings, and some the old ones"
    site.supervisor.done()
    assert heard(sock).reloaded == EVERYTHING


def test_who_asks_meanwhile_gets_the_next_reload(site: Site) -> None:
    first = site.ask()
    site.file.write_text('domains = ["a.test"]\n' + TEXT)
    others = [site.ask(), site.ask()]
    site.supervisor.done()
    assert heard(first).reloaded == CERTIFICATES
    site.supervisor.done()
    assert [heard(sock).reloaded for sock in others] == [EVERYTHING] * 2
    assert site.supervisor.told is None


def test_a_hangup_meanwhile_is_done_next(site: Site) -> None:
    site.reloader.begin()
    for _ in range(5):
        site.reloader.begin()
    site.supervisor.done()
    site.supervisor.done()
    assert site.supervisor.told is None


def test_one_that_does_not_wait_for_the_outcome_is_no_fault(site: Site) -> None:
    site.ask().close()
    site.supervisor.done()


def test_so_many_may_wait_at_a_time(site: Site) -> None:
    first = site.ask()
    waiting = [site.ask() for _ in range(limits.RELOAD_CALLERS)]
    for _ in range(limits.RELOAD_CALLERS):
        with site.ask() as sock:
            assert sock.recv(100) == b""
    site.supervisor.done()
    site.supervisor.done()
    for sock in (first, *waiting):
        assert heard(sock).reloaded


def test_so_many_workers_may_be_at_their_end(site: Site) -> None:
    living = {"authority", "runner", "worker-0", "worker-1"}
    settings = Settings.of(parse(TEXT, site.file), TEXT)
    present = ["authority", "worker-0", "worker-1", "runner"]
    for _ in range(limits.RETIRED_WORKERS + 1):
        present = [role.name for role in site.crew.next(settings, present, living).values()]
        living |= set(present)
    with pytest.raises(CrewFull):
        site.crew.next(settings, present, living)
    for name in ("worker-0", "worker-1"):
        living.discard(name)
    site.crew.next(settings, present, living)
    os.close(settings.descriptor)


@pytest.mark.parametrize("line", [b"", b"{}\n", b"[]\n", b'{"reloaded": 1}\n'])
def test_what_is_no_outcome_is_not_read_as_one(line: bytes) -> None:
    with pytest.raises(ValueError):
        Outcome.read(line)
