"""Every status line of the POP3 server that is always the same: response code (RFC 2449 8, RFC 3206) and text, in
one table. Pure.

A reply whose `blames` is true is held against the client (`BAD_COMMANDS`); what is our fault, or another session's,
isn't.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from postroom.pop3.grammar import write_error, write_ok


@dataclass(frozen=True, slots=True)
class Reply:
    """One negative reply. `code` is empty where none fits."""

    code: str
    text: str
    blames: bool = True
    octets: bytes = field(init=False, repr=False, compare=False)
    """As it stands on the wire."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "octets", write_error(self.code, self.text))


OK_TLS: Final = write_ok("Begin TLS negotiation")
OK_PASSWORD: Final = write_ok("Password, please")
OK_MARKED: Final = write_ok("Marked for deletion")
OK_NOOP: Final = write_ok("Still here")
OK_CAPABILITIES: Final = write_ok("Capability list follows")
OK_UNIQUE_IDS: Final = write_ok("Unique-id listing follows")
OK_TOP: Final = write_ok("Top of message follows")
OK_BYE: Final = write_ok("Goodbye")
OK_UTF8: Final = write_ok("UTF-8 mode")
OK_LANGUAGES: Final = write_ok("Language listing follows:")

SYNTAX: Final = Reply("", "Not a command of POP3")
LINE_END: Final = Reply("", "Lines end with CR LF")
TOO_LONG: Final = Reply("", "Line too long")
UNKNOWN: Final = Reply("", "Unknown command")
ARGUMENT: Final = Reply("", "This command needs an argument")
NO_ARGUMENT: Final = Reply("", "This command takes no argument")
BAD_ARGUMENT: Final = Reply("", "Bad argument")
LOGIN_FIRST: Final = Reply("", "Log in first")
LOGGED_IN: Final = Reply("", "Already logged in")
NO_MESSAGE: Final = Reply("", "No such message")
DELETED: Final = Reply("", "Message is marked for deletion")
USER_FIRST: Final = Reply("", "Send USER first")
MECHANISM: Final = Reply("", "Unknown authentication mechanism")
CANCELLED: Final = Reply("", "Login cancelled")
MALFORMED: Final = Reply("", "Malformed authentication exchange")
TLS_ON: Final = Reply("", "TLS is already on")
NO_TLS: Final = Reply("", "TLS is not available")
TLS_BEFORE_UTF8: Final = Reply("", "STLS comes before UTF8")
LANGUAGE: Final = Reply("", "No such language, see LANG")
TLS_FIRST: Final = Reply("AUTH", "Logins need TLS, send STLS first")
DENIED: Final = Reply("AUTH", "Wrong name or password")
IN_USE: Final = Reply("IN-USE", "Another session has this maildrop open", blames=False)
NO_MAILDROP: Final = Reply("SYS/PERM", "There is no maildrop", blames=False)
GONE: Final = Reply("SYS/TEMP", "Message was deleted by another session", blames=False)
UNREADABLE: Final = Reply("SYS/PERM", "Message can't be read", blames=False)
LOGIN_UNAVAILABLE: Final = Reply("SYS/TEMP", "Logins can't be checked now", blames=False)
STORE_FAULT: Final = Reply("SYS/TEMP", "Mail store not available, try again later", blames=False)
NOT_DELETED: Final = Reply("SYS/TEMP", "Nothing was deleted, try again later", blames=False)
FAULT: Final = Reply("SYS/TEMP", "Internal fault, closing", blames=False)
CLOSING: Final = Reply("SYS/TEMP", "Service closing, try again soon", blames=False)
ENDED: Final = Reply("SYS/TEMP", "The session was ended by hand", blames=False)
ACCOUNT_CHANGED: Final = Reply("AUTH", "Account changed, log in again", blames=False)
ERRORS: Final = Reply("", "Too many errors, closing")
