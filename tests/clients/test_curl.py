"""curl sends, and reads by POP3 and IMAP: in clear, by STARTTLS and within TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import append, drive, empty, fetched, hashes, needs, without_trace

WAYS = {
    "submission": ("smtp", []),
    "submission-starttls": ("smtp", ["--ssl-reqd", "-k"]),
    "submissions": ("smtps", ["-k"]),
}


def _port(house: House, way: str) -> int:
    return house.port(way.partition("-")[0])


@pytest.mark.parametrize("way", WAYS)
def test_curl_sends_each_letter(house: House, files: list[Path], carried: list[bytes], way: str) -> None:
    needs("curl")
    empty(house, BOB)
    scheme, options = WAYS[way]
    url = f"{scheme}://127.0.0.1:{_port(house, way)}"
    envelope = ["-u", f"{ALICE}:{PASSWORDS[ALICE]}", "--mail-from", ALICE, "--mail-rcpt", BOB]
    for file in files:
        drive(["curl", "-sS", url, *envelope, *options, "-T", str(file)])
    assert hashes(map(without_trace, fetched(house, BOB))) == hashes(carried)


@pytest.mark.parametrize(
    ("scheme", "way", "options"),
    [
        ("pop3", "pop3", []),
        ("pop3", "pop3", ["--ssl-reqd", "-k"]),
        ("pop3s", "pop3s", ["-k"]),
        ("imap", "imap", []),
        ("imap", "imap", ["--ssl-reqd", "-k"]),
        ("imaps", "imaps", ["-k"]),
    ],
)
def test_curl_reads_each_letter(
    house: House, carried: list[bytes], scheme: str, way: str, options: list[str]
) -> None:
    needs("curl")
    empty(house, ALICE)
    append(house, ALICE, carried)
    place = "INBOX;MAILINDEX={}" if scheme.startswith("imap") else "{}"
    urls = [f"{scheme}://127.0.0.1:{house.port(way)}/{place.format(n)}" for n in range(1, len(carried) + 1)]
    for url, letter in zip(urls, carried, strict=True):
        said = drive(["curl", "-sS", url, "-u", f"{ALICE}:{PASSWORDS[ALICE]}", *options])
        assert said == letter, url


def test_curl_fetches_a_part_and_a_header(house: House, carried: list[bytes]) -> None:
    needs("curl")
    empty(house, ALICE)
    append(house, ALICE, carried)
    login = ["-u", f"{ALICE}:{PASSWORDS[ALICE]}"]
    for number, letter in enumerate(carried, 1):
        url = f"imap://127.0.0.1:{house.port('imap')}/INBOX;MAILINDEX={number};SECTION="
        header, _, _ = letter.partition(b"\r\n\r\n")
        assert drive(["curl", "-sS", url + "HEADER", *login]) == header + b"\r\n\r\n"
        part = drive(["curl", "-sS", f"{url}TEXT;PARTIAL=3.5", *login])
        assert part == letter[len(header) + 4 :][3:8]
