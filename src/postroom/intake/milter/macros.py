"""What a filter is told beside each command: Sendmail's macros, those that Postfix sends too. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from postroom.intake.envelope import Caller
from postroom.smtp.grammar import Address


def at_connect(caller: Caller, hostname: str) -> Mapping[str, str]:
    """Who we are, and who comes."""
    literal = f"[{caller.peer}]" if caller.peer else ""
    return {
        "j": hostname,
        "{daemon_name}": caller.door,
        "v": "Postroom",
        "_": f"unknown {literal}" if literal else "localhost",
        "{client_addr}": caller.peer,
        "{client_name}": literal,
        "{client_port}": str(caller.port) if caller.port else "",
    }


def at_hello(caller: Caller) -> Mapping[str, str]:
    """How the connection is guarded."""
    if caller.tls is None:
        return {}
    return {
        "{tls_version}": caller.tls.version,
        "{cipher}": caller.tls.cipher,
        "{cipher_bits}": str(caller.tls.bits),
    }


def at_mail(caller: Caller) -> Mapping[str, str]:
    """The letter's id, and who sends it. Which mechanism a login came by is not told: only that there was one."""
    return {
        "i": caller.letter,
        "{auth_type}": "SASL" if caller.login else "",
        "{auth_authen}": caller.login,
        **_address("mail", caller.sender, "smtp"),
    }


def at_rcpt(caller: Caller) -> Mapping[str, str]:
    """Who is to get it."""
    return {"i": caller.letter, **_address("rcpt", caller.recipient, "local")}


def _address(kind: str, address: Address | None, mailer: str) -> Mapping[str, str]:
    return {
        f"{{{kind}_addr}}": str(address) if address else "",
        f"{{{kind}_host}}": address.domain if address else "",
        f"{{{kind}_mailer}}": mailer,
    }
