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

    def saying(self, *lines: str, utf8: bool = False) -> bytes:
        """The same reply with other words, a line or several, ready to send; beyond ASCII only where the client has
        asked for it (RFC 6531 3.7.4)."""
        return write_reply(self.code, self.enhanced, lines, utf8=utf8)


# --- 2yz: done
R220_TLS: Final = Reply(220, "2.0.0", "Go ahead with TLS")
R221_BYE: Final = Reply(221, "2.0.0", "Goodbye")
R235_LOGGED_IN: Final = Reply(235, "2.7.0", "Logged in")
R214_HELP: Final = Reply(214, "2.0.0", "Help follows")
R220_GREETING: Final = Reply(220, "", "Service ready")
R250_GREETED: Final = Reply(250, "", "Hello")
R250_OK: Final = Reply(250, "2.0.0", "Ok")
R250_SENDER: Final = Reply(250, "2.1.0", "Sender ok")
R250_RECIPIENT: Final = Reply(250, "2.1.5", "Recipient ok")
R250_CHUNK: Final = Reply(250, "2.0.0", "Octets received")
R250_VERIFIED: Final = Reply(250, "2.1.5", "The mailbox, or a list's members, follow")
R250_ACCEPTED: Final = Reply(250, "2.6.0", "Letter accepted")
R252_VRFY: Final = Reply(252, "2.5.0", "Send some mail, I'll try my best")
R252_LIST: Final = Reply(252, "2.5.0", "That is a list, EXPN shows its members")
R252_UTF8: Final = Reply(252, "2.6.8", "The mailbox can't be shown without SMTPUTF8")

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
R421_ENDED: Final = Reply(421, "4.3.2", "The session was ended by hand, closing")
R421_RECIPIENTS: Final = Reply(421, "4.7.0", "Too many unknown recipients, closing")
R450_MAILBOX_GONE: Final = Reply(450, "4.2.0", "Mailbox not available now")
R450_NOT_ACTIVE: Final = Reply(450, "4.2.1", "User not active now")
R450_SENDS: Final = Reply(450, "4.7.1", "You have sent as many letters as you may for now, try again later")
R450_RATE: Final = Reply(450, "4.7.1", "Too many letters from you in this minute, try again later")
R450_GREYLISTED: Final = Reply(450, "4.7.1", "Greylisted, try again later")
R451_FAULT: Final = Reply(451, "4.3.0", "Internal fault, try again later")
R451_NO_RELAY: Final = Reply(451, "4.3.0", "Mail for other sites can't be sent yet")
R451_ALIAS: Final = Reply(451, "4.3.5", "Alias leads too far")
R451_FILTER: Final = Reply(451, "4.7.1", "The filter isn't there now, try again later")
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
R501_HELLO: Final = Reply(501, "5.5.4", "HELO needs a full domain name or your own address in brackets")
R501_CONTROL: Final = Reply(501, "5.5.2", "Control character in a command")
R501_NO_ARGUMENT: Final = Reply(501, "5.5.4", "This command takes no argument")
R501_ARGUMENT: Final = Reply(501, "5.5.4", "This command needs an argument")
R501_SENDER: Final = Reply(501, "5.1.7", "Bad sender address syntax")
R501_RECIPIENT: Final = Reply(501, "5.1.3", "Bad recipient address syntax")
R501_CANCELLED: Final = Reply(501, "5.7.0", "Login cancelled")
R501_MALFORMED: Final = Reply(501, "5.5.2", "Malformed authentication exchange")
R502_NOT_HERE: Final = Reply(502, "5.5.1", "Command not implemented")
R502_TURN: Final = Reply(502, "5.7.0", "TURN would hand mail to anybody, and is not done in the clear")
R503_HELLO_FIRST: Final = Reply(503, "5.5.1", "Send EHLO first")
R503_LHLO_FIRST: Final = Reply(503, "5.5.1", "Send LHLO first")
R503_MAIL_FIRST: Final = Reply(503, "5.5.1", "Send MAIL first")
R503_IN_TRANSACTION: Final = Reply(503, "5.5.1", "Not during a mail transaction")
R503_NO_RECIPIENTS: Final = Reply(503, "5.5.1", "No valid recipients")
R503_CHUNKS: Final = Reply(503, "5.5.1", "Not between chunks of a letter")
R503_BINARY: Final = Reply(503, "5.5.1", "A binary letter comes by BDAT")
R503_FAILED: Final = Reply(503, "5.5.1", "A chunk of this letter was refused, send RSET")
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
R550_NUL: Final = Reply(550, "5.6.0", "NUL in the letter")
R550_NOT_A_LIST: Final = Reply(550, "5.2.4", "That is a user, not a list")
R550_PROXIES: Final = Reply(550, "5.7.0", "Only for proxies that the site knows")
R550_RELAY: Final = Reply(550, "5.7.1", "Relaying denied")
R550_AUTHOR: Final = Reply(550, "5.7.1", "The address in the From field isn't yours")
R550_FROM: Final = Reply(550, "5.6.0", "A letter has one From field, with an address in it")
R550_NOT_YOURS: Final = Reply(550, "5.7.1", "That sender address isn't yours")
R550_HELLO: Final = Reply(550, "5.7.1", "That name or address of HELO isn't yours")
R550_FILTER: Final = Reply(550, "5.7.1", "Refused by a filter")
R551_NOT_LOCAL: Final = Reply(551, "5.1.6", "User not local")
R552_HEADER: Final = Reply(552, "5.3.4", "Header bigger than this system takes")
R552_TOO_BIG: Final = Reply(552, "5.3.4", "Letter bigger than this system takes")
R552_CHUNKS: Final = Reply(552, "5.3.4", "Letter in more chunks than this system takes")
R553_8BIT_ADDRESS: Final = Reply(553, "5.6.7", "Addresses beyond ASCII need SMTPUTF8")
R553_SENDER_UTF8: Final = Reply(553, "5.1.7", "Sender address is not UTF-8")
R553_RECIPIENT_UTF8: Final = Reply(553, "5.1.3", "Recipient address is not UTF-8")
R553_AMBIGUOUS: Final = Reply(553, "5.1.4", "User ambiguous")
R554_TALKED_FIRST: Final = Reply(554, "5.5.1", "You talked before the greeting")
R554_NO_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
R554_LONG_LINE: Final = Reply(554, "5.6.0", "Line too long in the letter")
R554_LOOP: Final = Reply(554, "5.4.6", "Letter goes round in circles")
R554_BLOCKLISTED: Final = Reply(554, "5.7.1", "Your address is on a blocklist")
R555_PARAMETER: Final = Reply(555, "5.5.4", "Parameter not recognized or not implemented")


# --- what is made of the table


def rows() -> dict[str, Reply]:
    """All replies by their names, ordered by code and enhanced code."""
    found = [(name, each) for name, each in globals().items() if isinstance(each, Reply)]
    return dict(sorted(found, key=lambda one: (one[1].code, one[1].enhanced, one[0])))


def with_code(code: str) -> list[Reply]:
    """The replies of a three-digit code; none where the text is none of ours."""
    return [each for each in rows().values() if str(each.code) == code]


def write_table() -> str:
    """The table as Markdown, for docs/replies.md."""
    lines = [f"| {each.code} | {each.enhanced} | {each.text} |" for each in rows().values()]
    return "\n".join(("| Code | Enhanced | Text |", "| --- | --- | --- |", *lines)) + "\n"
