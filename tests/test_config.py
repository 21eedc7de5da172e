"""postroom.toml: what its keys become, and what each mistake says."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.config import Config, ConfigError, HostPort, load, parse

HERE = Path("/srv/mail/postroom.toml")


def test_an_empty_file_is_all_defaults() -> None:
    config = parse("", HERE)
    assert (config.hostname, config.domains, config.workers) == ("mx.example.test", ("example.test",), 1)
    assert config.root == Path("/srv/mail/data")
    assert config.smtp.max_message_size == 50 * 1024 * 1024
    assert config.queue.retry == (300, 900, 3600, 14400, 86400)
    assert config.undelete == 14 * 86400
    assert config.tls.require_for_login and not config.tls.loopback_plain
    assert config.ftp.passive_ports == (20000, 20999)
    assert config.unused == ()


def test_every_key_of_the_contract_is_read() -> None:
    """The design's page shows each key with its default: what it shows is accepted, and is the default."""
    page = (Path(__file__).parent.parent / "docs" / "design.md").read_text()
    shown = page[page.index("      hostname = ") : page.index("- `postroom account add")]
    # The page abbreviates: two keys on a line, "…" and lists of examples.
    text = re.sub(r"\[\.\.\.\]", "[]", re.sub(r" {2,}#.*|^ {6}", "", shown, flags=re.M))
    text = re.sub(r"(?<=[\"\]]) {2,}(?=\w+ +=)", "\n", text)
    config = parse(text, HERE)
    assert config.listen.smtp == (HostPort("127.0.0.1", 2525),)
    assert config.tls.certificate == "cert.pem"
    assert config.tls.names["mail.other.test"].key == "other.key"
    assert config.smtp.relay_domains == {"club.test": "alice@example.test"}
    assert config.queue.routes == {"other.test": HostPort("127.0.0.1", 2626)}
    assert config.unused == ("smtp.relay_domains", "queue.routes")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hostnam = 'a'", "hostnam: unknown setting (did you mean hostname?)"),
        ("[lissten]", "lissten: unknown setting (did you mean listen?)"),
        ("path = 'x'", "path: unknown setting"),
        ("[smtp]\nmax_message_size = 'big'", 'smtp.max_message_size: a size such as "50MiB" is wanted'),
        ("[listen]\nsmtp = ['25']", "listen.smtp: '25' is not of the form \"host:port\""),
        ("[listen]\nsmtp = ['h:70000']", "listen.smtp: 'h:70000' is not of the form \"host:port\""),
        (
            "[listen]\nsmtp = ['::1:25']",
            "listen.smtp: '::1:25': an IPv6 address stands in brackets, as in [::1]:25",
        ),
        ("[listen]\nsmtp = '127.0.0.1:25'", "listen.smtp: a list is wanted"),
        ("[listen]\nsmtp = ['a:25']\nimap = ['a:25']", "listen.imap: a:25 is taken by listen.smtp"),
        ("[tls]\ncertificate = 'x'", "tls.key: certificate and key go together; one of them is missing"),
        ("[tls]\nrequire_for_login = 1", "tls.require_for_login: true or false is wanted"),
        ("workers = -1", "workers: a whole number, 0 or more, is wanted"),
        ("workers = true", "workers: a whole number, 0 or more, is wanted"),
        ("domains = []", "domains: at least one domain is wanted"),
        ("domains = ['ex ample']", "domains: 'ex ample' is no host name"),
        ("undelete = '14 days'", 'undelete: a time such as "14d", "4h" or "5m" is wanted'),
        ("store = 'mysql://x'", 'store: "sqlite" or a "postgresql://" address is wanted'),
        ("writer = 'fast'", "writer: one of 'auto', 'inline', 'keeper' is wanted"),
        ("[limits]\nexempt_networks = ['10.0.0.1/8']", "limits.exempt_networks: '10.0.0.1/8' is no network"),
        ("smtp = 3", "smtp: a table is wanted"),
        ("hostname = ", "postroom.toml is no TOML"),
    ],
)
def test_a_mistake_names_its_key_and_the_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as e:
        parse(text, HERE)
    assert str(e.value).startswith(said)
    assert "\n" not in str(e.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        load(tmp_path / "none.toml")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "postroom.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path / "postroom.toml")


@pytest.mark.parametrize(
    ("text", "octets"), [("5", 5), ("'5'", 5), ("'5B'", 5), ("'5KiB'", 5120), ("'5 MB'", 5_000_000), ("'0'", 0)]
)
def test_sizes(text: str, octets: int) -> None:
    assert parse(f"[quota]\nmail = {text}", HERE).quota.mail == octets


def test_networks_and_addresses_have_their_types() -> None:
    config = parse("[limits]\nexempt_networks = ['127.0.0.0/8', '::1/128']\n[listen]\nimap = ['[::1]:143']", HERE)
    assert config.limits.exempt_networks == (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert config.listen.imap == (HostPort("::1", 143),)
    assert str(config.listen.imap[0]) == "[::1]:143"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        assert isinstance(parse(text, HERE), Config)
    except ConfigError as e:
        assert "\n" not in str(e)
