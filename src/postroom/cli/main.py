"""The `postroom` command: finds a subcommand, loads its module only then, and says errors in one line.

Exit status: 0 done; 1 it failed; 2 bad usage or configuration.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

from postroom.config import Config, ConfigError, load

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    # name: (module, one line for the list); the module's function has the command's name
    "demo": ("demo", "Start everything on loopback with two accounts, to try it out."),
    "serve": ("serve", "Run the servers of postroom.toml in the foreground."),
    "check-config": ("check", "Read the configuration and say what is wrong with it."),
    "account": ("account", "Add, list and change those who have mail and files here."),
    "alias": ("alias", "Further names for accounts."),
    "undelete": ("undelete", "List and bring back expunged letters and deleted mailboxes."),
    "story": ("story", "Tell what happened to one letter."),
    "trace": ("trace", "Show conversations: client left, server right, time between."),
    "listen": ("listen", "Be a terminal: print letters that come by SMTP's SEND, SOML and SAML."),
    "sessions": ("sessions", "List who is connected now, and end sessions."),
    "reload": ("reload", "Let the running server read its configuration and certificates anew."),
    "fsck": ("fsck", "Check every letter, row and counter of the store; repair it, or make its index anew."),
    "compact": ("compact", "Give the disk back what expunged letters took."),
    "backup": ("backup", "Copy the whole site to a directory, while the server runs."),
    "restore": ("restore", "Bring a site, an account, a mailbox or a letter back from a backup."),
    "upgrade": ("upgrade", "Bring the store to this version's form, and back again."),
    "completion": ("completion", "Print what makes your shell complete postroom's commands."),
    "role": ("role", ""),  # hidden: how the supervisor starts the others
}
EPILOG: Final = (
    "Start with `postroom demo`. Every command takes --help; those that need a configuration take --config "
    "(default: ./postroom.toml)."
)


class Failure(click.ClickException):
    """Something that the user asked for could not be done: one line on stderr, exit 1."""

    exit_code = 1


class _Lazy(click.Group):
    """A group whose members are imported when they are called, so that --help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (_, line) in COMMANDS.items() if line]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"postroom.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.command(cls=_Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="postroom", prog_name="postroom")
def postroom() -> None:
    """A complete mail system in one program: SMTP, POP3 and IMAP over a store that loses nothing."""


def read_config(path: str) -> Config:
    """The configuration, or a usage error that names the key and the reason."""
    try:
        return load(Path(path))
    except ConfigError as e:
        raise click.UsageError(f"{path}: {e}") from None


config_option = click.option(
    "--config",
    "config_path",
    default="postroom.toml",
    show_default=True,
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="The configuration.",
)


def _say(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    words = context.command_path if context is not None else "postroom"
    text = " ".join(error.format_message().split())
    hint = f" ({words} --help tells more)" if isinstance(error, click.UsageError) and context is not None else ""
    print(f"{words}: {text}{hint}", file=sys.stderr)


def run() -> NoReturn:
    """The console script's entry."""
    # Who runs a command reads its own one line; roles and `serve` set up their log.
    logging.getLogger("postroom").addHandler(logging.NullHandler())
    try:
        postroom.main(prog_name="postroom", standalone_mode=False)
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.exceptions.NoArgsIsHelpError as e:
        print(e.format_message())
        sys.exit(0)
    except click.ClickException as e:
        _say(e)
        sys.exit(e.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone: not worth a word, and nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(0)
