from __future__ import annotations

import asyncio

from postroom.net import memory
from postroom.net.conversation import Tap
from postroom.net.limits import LOGIN_SECONDS, SMTP_COMMAND_SECONDS, UNAUTHENTICATED_SECONDS
from postroom.smtp.session import Role, Session, State, Transaction
from tests.smtp.office import Office


def a_session(office: Office, role: Role) -> Session:
    """In a running loop."""
    stream, _ = memory.pair()
    stream.conversation = Tap("t").begin("smtp")
    return Session(stream, office.service(role))


def test_the_state_follows_from_what_is_known() -> None:
    async def go() -> None:
        session = a_session(Office(), Role.SMTP)
        states = [session.state]
        session.hello = "client.test"
        states.append(session.state)
        session.transaction = Transaction(None)
        states.append(session.state)
        session.reset()
        states.append(session.state)
        assert states == [State.NEW, State.READY, State.MAIL, State.READY]

    asyncio.run(go())


def test_tls_lets_everything_be_forgotten_that_was_learned_but_no_error() -> None:
    async def go() -> None:
        office = Office()
        session = a_session(office, Role.SUBMISSION)
        session.hello, session.extended = "client.test", True
        session.become(office.store.people["alice@example.test"])
        conversation = session.stream.conversation
        assert conversation is not None and conversation.account == "alice@example.test"
        session.transaction = Transaction(None)
        session.errors = session.failed_logins = 3
        session.forget()
        assert session.state is State.NEW
        assert session.account is None and conversation.account == ""
        assert not session.extended
        assert (session.errors, session.failed_logins) == (3, 3)

    asyncio.run(go())


def test_other_sites_have_five_minutes_a_command() -> None:
    async def go() -> None:
        office = Office()
        session = a_session(office, Role.SMTP)
        office.clock.seconds = 10_000
        assert session.patience() == SMTP_COMMAND_SECONDS == 300

    asyncio.run(go())


def test_who_must_log_in_has_a_minute_a_command_and_three_in_all() -> None:
    async def go() -> None:
        office = Office()
        session = a_session(office, Role.SUBMISSION)
        assert session.patience() == LOGIN_SECONDS == 60
        office.clock.seconds = UNAUTHENTICATED_SECONDS - 10
        assert session.patience() == 10
        office.clock.seconds = UNAUTHENTICATED_SECONDS
        assert session.patience() == 0
        session.become(office.store.people["alice@example.test"])
        assert session.patience() == SMTP_COMMAND_SECONDS

    asyncio.run(go())
