"""What is badly said to `undelete`, `story` and `account quota` is told before anything is opened, in one line."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from postroom.cli.main import postroom

ALICE = "alice@example.test"


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "postroom.toml"
    path.write_text('hostname = "mx.example.test"\n')
    return str(path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("undelete restore", "--all means everything"),
        ("undelete restore --letter x", "M and 32 digits"),
        ("undelete restore --mailbox a --mailbox-deleted b", "exclude each other"),
        ("undelete list --since yesterday", "is no time"),
        ("undelete list --deleted-mailboxes --subject x", "mean letters"),
        (f"undelete restore --mailbox-deleted a --letter M{'0' * 32}", "mean letters"),
        ("undelete list --account alice", "user@domain"),
        ("story", "LETTER-ID is wanted"),
        ("story a.1 --message-id x", "LETTER-ID is wanted"),
        ("story a:b", "no letter's id"),
        ("story --message-id <>", "no Message-ID"),
        ("account quota", "an ADDRESS is wanted"),
        (f"account quota {ALICE} --domain example.test", "an ADDRESS is wanted"),
        (f"account quota {ALICE} --mail much", 'or "default", or "none"'),
        (f"account quota {ALICE} --letters -1", "a whole number is wanted"),
        (f"account quota {ALICE} --letters 1.5", "a whole number is wanted"),
    ],
)
def test_what_is_badly_said_is_told_at_once(config: str, words: str, said: str) -> None:
    with pytest.raises(click.UsageError) as told:
        postroom.main([*words.split(), "--config", config], standalone_mode=False)
    message = told.value.format_message()
    assert said in message
    assert "\n" not in message
    assert not (Path(config).parent / "data").exists()


@pytest.mark.parametrize("words", ["undelete", "undelete list", "undelete restore", "story", "account quota"])
def test_every_command_has_a_help_that_teaches(words: str) -> None:
    done = CliRunner().invoke(postroom, [*words.split(), "--help"])
    assert done.exit_code == 0
    assert "Usage: " in done.output
