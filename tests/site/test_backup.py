"""What a site can't be without goes into its backup: the files that its configuration names."""

from __future__ import annotations

from pathlib import Path

from postroom.config import parse
from postroom.site.backup import named_files, source

CONFIG = """
[tls]
certificate = "c.pem"
key = "k.pem"
client_ca = "ca.pem"
[tls.names]
"mail.other.test" = { certificate = "o.pem", key = "ok.pem" }
[oauth]
introspection_url = "https://id.example.test/introspect"
client_secret_file = "secret"
[queue]
smarthost_password_file = "password"
"""


def test_every_file_that_the_configuration_names_is_backed_up(tmp_path: Path) -> None:
    config = parse(CONFIG, tmp_path / "postroom.toml")
    assert [place for _, place in named_files(config)] == [
        *("c.pem", "k.pem", "o.pem", "ok.pem"),
        *("ca.pem", "secret", "password"),
    ]
    for _, place in named_files(config):
        (tmp_path / place).write_text("x")
    assert {path.name for _, _, path in source(config).outside} == {place for _, place in named_files(config)}
