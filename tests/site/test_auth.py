"""What the configuration says about logins: SCRAM, and who verifies tokens."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from postroom.config import Config, ConfigError, parse
from postroom.net.limits import SCRAM_ITERATIONS_LEAST, SCRAM_ITERATIONS_MOST
from postroom.site.auth import open_authority
from postroom.site.verifier import check_verifier

ALICE = "alice@example.test"


def config_of(folder: Path, settings: str) -> Config:
    return parse(settings, folder / "postroom.toml")


def test_nobody_verifies_tokens_unless_told_to(tmp_path: Path) -> None:
    assert check_verifier(config_of(tmp_path, "")) is None


def test_the_verifiers_settings(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    config = config_of(
        tmp_path,
        '[oauth]\nintrospection_url = "https://id.example.test/introspect"\nclient_id = "post"\n'
        'client_secret_file = "secret"\naccount_claim = "email"\n',
    )
    verifying = check_verifier(config)
    assert verifying is not None and config.unused == ()
    assert (verifying.url, verifying.client_id, verifying.claim) == (
        "https://id.example.test/introspect",
        "post",
        "email",
    )
    assert verifying.client_secret == "hunter2" and "hunter2" not in repr(verifying)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('introspection_url = "id.example.test"', "oauth.introspection_url: an http:// or https:// address"),
        ('introspection_url = "https://a:b@x/"', "oauth.introspection_url: name and secret"),
        (
            'introspection_url = "https://x/"\nclient_secret_file = "gone"',
            "oauth.client_secret_file: .*gone can't be read",
        ),
    ],
)
def test_a_verifier_that_cannot_be_is_said_with_its_key(tmp_path: Path, settings: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        check_verifier(config_of(tmp_path, f"[oauth]\n{settings}\n"))


@pytest.mark.parametrize(
    ("settings", "scram"),
    [
        ("", "auto"),
        ("scram = true", "on"),
        ("scram = false", "off"),
        ('scram = "on"', "on"),
        ('scram = "auto"', "auto"),
    ],
)
def test_scram_may_be_switched(tmp_path: Path, settings: str, scram: str) -> None:
    assert config_of(tmp_path, f"[login]\n{settings}\n").login.scram == scram


@pytest.mark.parametrize(
    "settings",
    [
        'scram = "yes"',
        "scram = 1",
        f"scram_iterations = {SCRAM_ITERATIONS_LEAST - 1}",
        f"scram_iterations = {SCRAM_ITERATIONS_MOST + 1}",
        f"scram_iterations = {SCRAM_ITERATIONS_MOST * 100}",
    ],
)
def test_what_scram_cannot_be_is_said_with_its_key(tmp_path: Path, settings: str) -> None:
    with pytest.raises(ConfigError, match=r"^login\.scram"):
        config_of(tmp_path, f"[login]\n{settings}\n")


@pytest.mark.parametrize(
    ("settings", "counts"), [("", [65_536]), ("scram_iterations = 4096", [4096]), ("scram = false", [])]
)
def test_new_passwords_get_keys_as_configured(tmp_path: Path, settings: str, counts: list[int]) -> None:
    config = config_of(tmp_path, f"[login]\n{settings}\n")
    config.root.mkdir()

    async def story() -> None:
        authority = open_authority(config)
        await authority.set_password(ALICE, b"secret")
        assert [keys.iterations for keys in authority._secrets.scram_of(ALICE)] == counts
        await authority.close()

    asyncio.run(story())
