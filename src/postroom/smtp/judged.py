"""What the checks of intake say of a client, as the conversation asks them: at HELO, MAIL and RCPT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from postroom.intake.envelope import Caller, Rejected, ReversePath, Tls
from postroom.intake.judging import Stage
from postroom.smtp.grammar import Address, Parameter
from postroom.smtp.session import Closing, Refusal, Session

_CLOSING: Final = 421
"""RFC 5321 4.2.2: who says so closes."""


async def judge_hello(session: Session, name: str) -> None:
    """The client calls itself so. Raises Refusal, Closing."""
    if session.visit is None:
        conversation = session.stream.conversation
        session.visit = session.service.intake.visit(conversation.note if conversation else None)
    if session.visit.has(Stage.HELLO):
        _heed(await session.visit.hello(_caller(session, name)))


async def judge_mail(session: Session, sender: ReversePath, parameters: Sequence[Parameter]) -> None:
    """A letter is about to begin. Raises Refusal, Closing."""
    if session.visit is None or not session.visit.has(Stage.MAIL):
        return
    caller = replace(_caller(session, session.hello), sender=sender)
    verdict = await session.visit.mail(caller, _words(parameters))
    if verdict is not None:
        session.service.intake.note_refused(
            session=session.id,
            peer=caller.peer,
            login=caller.login,
            sender=str(sender or "<>"),
            recipient="",
            judge=verdict.judge,
            reply=verdict.reply.octets.decode("ascii", "replace").strip(),
        )
    _heed(verdict)


async def judge_rcpt(
    session: Session, sender: ReversePath, address: Address, parameters: Sequence[Parameter]
) -> Rejected | None:
    """Whom nothing else speaks against is about to be added; why not, or None. Raises Closing."""
    if session.visit is None or not session.visit.has(Stage.RCPT):
        return None
    caller = replace(_caller(session, session.hello), sender=sender, recipient=address)
    verdict = await session.visit.rcpt(caller, _words(parameters))
    if verdict is not None and verdict.reply.code == _CLOSING:
        raise Closing(verdict.reply)
    return verdict


def _heed(verdict: Rejected | None) -> None:
    if verdict is None:
        return
    raise Closing(verdict.reply) if verdict.reply.code == _CLOSING else Refusal(verdict.reply)


def _caller(session: Session, hello: str) -> Caller:
    stream = session.stream
    version = stream.tls.version() if stream.tls is not None else None
    cipher = stream.tls.cipher() if stream.tls is not None else None
    return Caller(
        stream.peer.host,
        stream.peer.port,
        session.service.role.value,
        session.id,
        hello,
        session.account.address if session.account else "",
        Tls(version, cipher[0], cipher[2]) if version and cipher else None,
        f"{session.id}.{session.letters + 1}",
    )


def _words(parameters: Sequence[Parameter]) -> list[bytes]:
    return [
        each.keyword.encode("ascii") + (b"" if each.value is None else b"=" + each.value) for each in parameters
    ]
