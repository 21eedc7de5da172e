from __future__ import annotations

import asyncio
import functools
import hashlib
from pathlib import Path
from typing import cast

from postroom.accounts.authority import Authority
from postroom.accounts.directory import Directory
from postroom.intake.accept import Intake
from postroom.smtp.server import serve
from postroom.smtp.session import Role, SmtpService
from postroom.smtp.stuffing import stuff
from postroom.store.changes import AddAccount
from postroom.store.sqlite import open_store
from postroom.store.upgrade.migrating import migrate
from postroom.store.values import INBOX, Account, Uid
from tests.smtp.office import NOW, Office
from tests.talk import session

LETTERS = [
    b"Subject: one\r\n\r\nHello\r\n",
    b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\nb.\r\n\r\n.\r\n",
    b"Subject: eight\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe \xff\xfe\x7f\x01\r\n",
    b"no header at all\r\n",
    b"\r\n",
    b"Subject: large\r\n\r\n" + b"0123456789abcdef" * 60 * 1000 + b"\r\n",
]


def test_letters_lie_in_the_real_store_byte_for_byte_below_their_prefix(tmp_path: Path) -> None:
    office = Office(max_message_size=10_000_000)

    async def go() -> None:
        migrate(tmp_path)
        store = await open_store(tmp_path)
        for name in ("alice@example.test", "bob@example.test"):
            assert isinstance(await store.commit(AddAccount(name)), Account)
        service = SmtpService(
            "mx.example.test",
            Role.SMTP,
            Intake(store, "mx.example.test", ["example.test"], clock=lambda: NOW),
            Directory(store.account, cast(Authority, office.passwords)),
            None,
            office.login,
            office.max_message_size,
        )
        async with session(functools.partial(serve, service=service), peer="192.0.2.1") as client:
            await client.line()
            await client.send("EHLO client.test")
            await client.lines(b"250 ")
            for letter in LETTERS:
                await client.send(
                    "MAIL FROM:<jo@other.test> BODY=8BITMIME",
                    "RCPT TO:<alice@example.test>",
                    "RCPT TO:<Bob+tag@EXAMPLE.test>",
                    "DATA",
                )
                await client.lines(b"354")
                await client.raw(stuff(letter))
                assert (await client.line()).startswith(b"250 2.6.0 ")
        for name, wanted in (("alice", b"alice@example.test"), ("bob", b"Bob+tag@EXAMPLE.test")):
            account = await store.account(f"{name}@example.test")
            assert account is not None
            inbox = await store.mailbox(account.id, INBOX)
            assert inbox is not None
            uids = [entry.uid for entry in await store.entries(inbox.id, Uid(0), 100)]
            filed = await store.letters(inbox.id, uids)
            assert len(filed) == len(LETTERS)
            for kept, sent in zip(filed, LETTERS, strict=True):
                whole = await store.read(kept, 0, len(kept.prefix) + kept.blob_size)
                assert whole[: len(kept.prefix)] == kept.prefix
                assert hashlib.sha256(whole[len(kept.prefix) :]).digest() == hashlib.sha256(sent).digest()
                assert whole.startswith(
                    b"Return-Path: <jo@other.test>\r\nDelivered-To: %b@example.test\r\n" % name.encode()
                )
                assert b"for <%b>;" % wanted in kept.prefix
                assert kept.prefix.endswith(b"Tue, 14 Nov 2023 22:13:20 +0000\r\n")
        await store.close()

    asyncio.run(go())
