"""Many large letters at once: they stream to the disk, and the worker's memory doesn't see them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.house import ALICE, House
from tests.scale import scaled
from tests.system import many
from tests.system.raw import pop3

SENDERS = scaled(20, 200)
LETTER_MIB = scaled(5, 25)
MOST = 300 * many.MIB
"""Octets of memory for a worker, however many send."""
_CHUNK = b"".join(b"%08d %s\r\n" % (number, b"0123456789abcdef" * 4) for number in range(861))
_CHUNKS = LETTER_MIB * many.MIB // len(_CHUNK)


async def _reply(reader: asyncio.StreamReader, code: bytes) -> None:
    while True:
        line = await reader.readline()
        assert line.startswith(code), line
        if line[3:4] == b" ":
            return


async def _send(port: int, number: int, together: asyncio.Barrier) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await _reply(reader, b"220")
    for command, code in (
        (b"EHLO client.test", b"250"),
        (b"MAIL FROM:<sender@elsewhere.test>", b"250"),
        (b"RCPT TO:<alice@example.test>", b"250"),
        (b"DATA", b"354"),
    ):
        writer.write(command + b"\r\n")
        await _reply(reader, code)
    writer.write(b"Subject: %d\r\n\r\n" % number)
    for at in range(_CHUNKS):
        if at == _CHUNKS // 2:
            # Nobody is done before all have sent half.
            await together.wait()
        writer.write(_CHUNK)
        await writer.drain()
    writer.write(b".\r\n")
    await _reply(reader, b"250")
    writer.write(b"QUIT\r\n")
    await _reply(reader, b"221")
    writer.close()
    await writer.wait_closed()


async def _send_all(port: int) -> None:
    together = asyncio.Barrier(SENDERS)
    async with asyncio.TaskGroup() as tasks:
        for number in range(SENDERS):
            tasks.create_task(_send(port, number, together))


def test_large_letters_of_many_at_once_stay_out_of_memory(tmp_path: Path) -> None:
    many.roomy()
    with House(tmp_path) as house:
        pid = many.worker(house)
        with many.watched(pid) as looks:
            asyncio.run(_send_all(house.port("smtp")))
        print(f"{SENDERS} letters of {LETTER_MIB} MiB: {max(looks) / many.MIB:.0f} MiB of memory at most")
        assert max(looks) < MOST
        with pop3(house, ALICE) as raw:
            raw.say(b"STAT\r\n")
            _, count, octets = raw.line().split()[:3]
            assert int(count) == SENDERS
            assert int(octets) > SENDERS * _CHUNKS * len(_CHUNK)
