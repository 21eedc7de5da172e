from __future__ import annotations

import asyncio

from postroom.net.conversation import Kind
from tests.smtp.office import BEGUN, HELLO, OFFERED, Office


def test_starttls_forgets_what_was_said_in_clear() -> None:
    talked = Office().talk(f"""
        {BEGUN}
        C: STARTTLS
        S: 220 2.0.0 Go ahead with TLS
        C! tls
        C: MAIL FROM:<jo@other.test>
        S: 503 5.5.1 Send EHLO first
        C: EHLO client.test
        {OFFERED}
        C: RCPT TO:<bob@example.test>
        S: 503 5.5.1 Send MAIL first
        C: STARTTLS
        S: 503 5.5.1 TLS is already on
    """)
    assert any(row.kind is Kind.NOTE for row in talked.conversations[1].rows)


def test_nothing_said_in_clear_is_run_within_tls() -> None:
    # CVE-2011-0411
    Office().talk(f"""
        {HELLO}
        C< STARTTLS\\r\\nMAIL FROM:<evil@other.test>\\r\\nRCPT TO:<alice@example.test>\\r\\n
        S: 220 2.0.0 Go ahead with TLS
        C! tls
        C: NOOP
        S: 250 2.0.0 Ok
        C: EHLO client.test
        {OFFERED}
        C: RCPT TO:<alice@example.test>
        S: 503 *
    """)


def test_starttls_needs_a_greeting_and_takes_no_argument() -> None:
    Office().talk("""
        S: 220 *
        C: STARTTLS
        S: 503 5.5.1 Send EHLO first
        C: HELO client.test
        S: 250 *
        C: STARTTLS now
        S: 501 5.5.4 *
    """)


def test_starttls_without_a_certificate() -> None:
    Office().talk(f"{HELLO}\nC: STARTTLS\nS: 502 5.5.1 *\nC: NOOP\nS: 250 *", without_tls=True)


def test_no_word_in_clear_follows_the_go_ahead() -> None:
    async def go() -> None:
        async with Office().session() as client:
            await client.line()
            await client.send("HELO client.test", "STARTTLS")
            assert (await client.lines(b"220"))[-1] == b"220 2.0.0 Go ahead with TLS"
            client.stream.abort()

    asyncio.run(go())
