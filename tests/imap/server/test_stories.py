"""What a session does to a letter is told in the letter's story, with the session's name."""

from __future__ import annotations

import asyncio
import re

from postroom.store.values import MessageId, Uid
from tests.imap.server.asking import ask, logged_in
from tests.imap.server.house import ALICE, House, Open

BY = re.compile(rf"{re.escape(ALICE)}/imap-([0-9a-z]+)")


async def story(opened: Open, message: MessageId) -> list[tuple[str, str]]:
    """What happened and its detail; who did it must be one session."""
    happened = await opened.store.story(message)
    sessions = {BY.fullmatch(each.by) for each in happened}
    assert len({found[1] for found in sessions if found is not None}) == 1
    assert None not in sessions
    return [(each.what, each.detail) for each in happened]


async def only_letter(opened: Open, mailbox: str) -> MessageId:
    box = await opened.mailbox(mailbox)
    (letter,) = await opened.store.letters(box.id, [Uid(1)])
    return letter.message


COMMANDS = (
    b"APPEND INBOX {5+}\r\nhello",
    b"FETCH 1 BODY[TEXT]",
    b"STORE 1 FLAGS.SILENT (\\Flagged $work)",
    b"COPY 1 Archive",
    b"CREATE Work",
    b"COPY 1 Work",
    b"MOVE 1 Sent",
    b"SELECT Archive",
    b"STORE 1 +FLAGS.SILENT (\\Deleted)",
    b"CLOSE",
    b"DELETE Work",
    b"SELECT Sent",
    b"UID MOVE 1 INBOX",
    b"RENAME INBOX Old",
)


def test_every_command_that_changes_something_says_who_gave_it(house: House) -> None:
    async def go() -> None:
        async with house.open() as opened:
            async with logged_in(opened) as client:
                for command in COMMANDS:
                    assert (await ask(client, command))[-1].startswith(b"OK "), command
            assert await story(opened, await only_letter(opened, "Old")) == [
                ("arrived", "into INBOX"),
                ("flags", "INBOX +FLAGS (\\Seen)"),
                ("flags", "INBOX FLAGS (\\Flagged $work)"),
                ("copied", "INBOX -> Archive"),
                ("copied", "INBOX -> Work"),
                ("moved", "INBOX -> Sent"),
                ("flags", "Archive +FLAGS (\\Deleted)"),
                ("expunged", "Archive"),
                ("mailbox-deleted", "Work"),
                ("moved", "Sent -> INBOX"),
                ("moved", "INBOX -> Old"),
            ]

    asyncio.run(go())
