from __future__ import annotations

import asyncio

import pytest

from postroom.intake.checks.junk_headers import junk_headers_check
from postroom.intake.envelope import PASSED, Junk, Verdict
from tests.intake.milter.filter import arrival

ROWS = ("X-Spam-Flag: YES", "X-Spam: Yes", "X-Level: ***", "X-Level: high")


def judged(letter: bytes) -> Verdict:
    check = junk_headers_check(ROWS)

    async def judge() -> Verdict:
        return await check(arrival(letter))

    return asyncio.run(judge())


@pytest.mark.parametrize(
    ("field", "sign"),
    [
        (b"X-Spam-Flag: YES", "x-spam-flag: yes"),
        (b"x-spam-flag:yes", "x-spam-flag: yes"),
        (b"X-SPAM-FLAG :\r\n\t YES", "x-spam-flag: yes"),
        (b"X-Spam: Yes, score=12.3", "x-spam: yes"),
        (b"X-Level: *****", "x-level: ***"),
        (b"X-Level: High", "x-level: high"),
        (b"X-Spam-Flag: NO\r\nX-Spam-Flag: YES", "x-spam-flag: yes"),
        (b"X-Spam-Flag: NO", ""),
        (b"X-Spam-Flags: YES", ""),
        (b"Not-X-Spam-Flag: YES", ""),
        (b"X-Level: *", ""),
        (b"X-Spam-Flag YES", ""),
        (b"Subject: X-Spam-Flag: YES\r\n X-Spam-Flag: YES", ""),
    ],
)
@pytest.mark.parametrize("before", [b"", b"Subject: x\r\n"])
def test_a_filters_word_sends_a_letter_to_junk(before: bytes, field: bytes, sign: str) -> None:
    assert judged(before + field + b"\r\n\r\nbody\r\n") == (Junk(sign) if sign else PASSED)


def test_a_body_is_not_looked_at() -> None:
    assert judged(b"Subject: x\r\n\r\nX-Spam-Flag: YES\r\n") == PASSED
