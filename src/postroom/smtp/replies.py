"""Every reply that the SMTP server gives: code, enhanced code (RFC 2034, RFC 3463) and text, in one table.

Names keep the code's number. Rows are frozen and hold their octets ready to send. Pure; imported by the server, and
by intake for its verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from postroom.smtp.grammar import write_reply


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of one line. `enhanced` is empty where RFC 2034 4 wants none (greeting, HELO, 334, 354)."""

    code: int
    enhanced: str
    text: str
    octets: bytes = field(init=False, repr=False, compare=False)
    """As it stands on the wire."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "octets", write_reply(self.code, self.enhanced, (self.text,)))

    def saying(self, text: str) -> bytes:
        """The same reply with another text, ready to send."""
        return write_reply(self.code, self.enhanced, (text,))


# --- 2yz: done
R220_TLS: Final = Reply(220, "2.0.0", "Go ahead with TLS")
R221_BYE: Final = Reply(221, "2.0.0", "Goodbye")
R235_LOGGED_IN: Final = Reply(235, "2.7.0", "Logged in")
R250_GREETED: Final = Reply(250, "", "Hello")
R250_OK: Final = Reply(250, "2.0.0", "Ok")
R250_SENDER: Final = Reply(250, "2.1.0", "Sender ok")
R250_RECIPIENT: Final = Reply(250, "2.1.5", "Recipient ok")
R250_ACCEPTED: Final = Reply(250, "2.6.0", "Letter accepted")
R252_VRFY: Final = Reply(252, "2.5.0", "Send some mail, I'll try my best")

# --- 3yz: go on
R354_DATA: Final = Reply(354, "", "Send the letter, end with CRLF.CRLF")

# --- 4yz: not now
R421_CLOSING: Final = Reply(421, "4.3.2", "Service closing, try again soon")
R421_FAULT: Final = Reply(421, "4.3.0", "Internal fault, closing")
R421_TIMEOUT: Final = Reply(421, "4.4.2", "Waited too long, closing")
R421_TOO_SLOW: Final = Reply(421, "4.4.2", "Data came too slowly, closing")
R421_ERRORS: Final = Reply(421, "4.7.0", "Too many errors, closing")
R421_LOGINS: Final = Reply(421, "4.7.0", "Too many failed logins, closing")
R421_ACCOUNT: Final = Reply(421, "4.7.0", "The account was changed, log in again")
R421_RECIPIENTS: Final = Reply(421, "4.7.0", "Too many unknown recipients, closing")
R450_MAILBOX_GONE: Final = Reply(450, "4.2.0", "Mailbox not available now")
R451_FAULT: Final = Reply(451, "4.3.0", "Internal fault, try again later")
R451_NO_RELAY: Final = Reply(451, "4.3.0", "Mail for other sites can't be sent yet")
R451_ALIAS: Final = Reply(451, "4.3.5", "Alias leads too far")
R452_OVER_QUOTA: Final = Reply(452, "4.2.2", "The mailbox has no room for that letter")
R452_STORAGE_FULL: Final = Reply(452, "4.3.1", "No room in the mail system")
R452_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients")
R454_LOGIN_UNAVAILABLE: Final = Reply(454, "4.7.0", "Logins can't be checked now")

# --- 5yz: no
R500_UNKNOWN: Final = Reply(500, "5.5.1", "Command unrecognized")
R500_BAD_LINE: Final = Reply(500, "5.5.2", "Lines end with CR LF")
R500_TOO_LONG: Final = Reply(500, "5.5.2", "Line too long")
R500_AUTH_TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line too long")
R501_SYNTAX: Final = Reply(501, "5.5.4", "Syntax error in parameters or arguments")
R501_CONTROL: Final = Reply(501, "5.5.2", "Control character in a command")
R501_NO_ARGUMENT: Final = Reply(501, "5.5.4", "This command takes no argument")
R501_ARGUMENT: Final = Reply(501, "5.5.4", "This command needs an argument")
R501_SENDER: Final = Reply(501, "5.1.7", "Bad sender address syntax")
R501_RECIPIENT: Final = Reply(501, "5.1.3", "Bad recipient address syntax")
R501_CANCELLED: Final = Reply(501, "5.7.0", "Login cancelled")
R501_MALFORMED: Final = Reply(501, "5.5.2", "Malformed authentication exchange")
R502_NOT_HERE: Final = Reply(502, "5.5.1", "Command not implemented")
R503_HELLO_FIRST: Final = Reply(503, "5.5.1", "Send EHLO first")
R503_MAIL_FIRST: Final = Reply(503, "5.5.1", "Send MAIL first")
R503_IN_TRANSACTION: Final = Reply(503, "5.5.1", "Not during a mail transaction")
R503_LOGGED_IN: Final = Reply(503, "5.5.1", "Already logged in")
R503_TLS_ON: Final = Reply(503, "5.5.1", "TLS is already on")
R504_MECHANISM: Final = Reply(504, "5.5.4", "Unknown authentication mechanism")
R504_NO_HELP: Final = Reply(504, "5.5.4", "No help about that")
R530_LOGIN_FIRST: Final = Reply(530, "5.7.0", "Log in first")
R530_TLS_FIRST: Final = Reply(530, "5.7.0", "Send STARTTLS first")
R535_DENIED: Final = Reply(535, "5.7.8", "Wrong name or password")
R538_TLS_FIRST: Final = Reply(538, "5.7.11", "Logins need TLS, send STARTTLS first")
R550_UNKNOWN_USER: Final = Reply(550, "5.1.1", "No such user here")
R550_DISABLED: Final = Reply(550, "5.2.1", "Mailbox disabled")
R550_BARE_LINE_END: Final = Reply(550, "5.6.0", "Bare CR or LF in the letter")
R550_RELAY: Final = Reply(550, "5.7.1", "Relaying denied")
R550_NOT_YOURS: Final = Reply(550, "5.7.1", "That sender address isn't yours")
R552_TOO_BIG: Final = Reply(552, "5.3.4", "Letter bigger than this system takes")
R553_8BIT_ADDRESS: Final = Reply(553, "5.6.7", "Addresses are ASCII here")
R554_TALKED_FIRST: Final = Reply(554, "5.5.1", "You talked before the greeting")
R554_NO_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
R554_LONG_LINE: Final = Reply(554, "5.6.0", "Line too long in the letter")
R554_LOOP: Final = Reply(554, "5.4.6", "Letter goes round in circles")
R555_PARAMETER: Final = Reply(555, "5.5.4", "Parameter not recognized or not implemented")
