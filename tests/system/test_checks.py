"""The checks on the running program: switched on by its configuration, told in log, trace and story."""

from __future__ import annotations

import asyncio
import contextlib
import json
import smtplib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ALICE, BOB, PASSWORDS, PATIENCE, House
from tests.intake.checks.nameserver import Nameserver, serving
from tests.mailbag import drive, fetched, needs

LETTER = b"Subject: x\r\n\r\nbody\r\n"


def a_house(folder: Path, checks: str, *, tables: str = "", workers: int = 1, exempt: str = "") -> House:
    """One whose clients on loopback are strangers, but those of `exempt`."""
    house = House(folder, tables=f"[checks]\n{checks}\n{tables}", workers=workers)
    text = house.config_path.read_text()
    assert 'exempt_networks = ["127.0.0.0/8"]' in text
    house.config_path.write_text(text.replace('["127.0.0.0/8"]', f"[{exempt}]"))
    return house


@contextlib.contextmanager
def client(house: House, hello: str = "client.test", source: str = "127.0.0.1") -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", house.port("smtp"), hello, source_address=(source, 0)) as smtp:
        yield smtp


def mail(smtp: smtplib.SMTP, sender: str = "jo@other.test") -> tuple[int, bytes]:
    smtp.ehlo_or_helo_if_needed()
    return smtp.mail(sender)


@contextlib.contextmanager
def name_server(server: Nameserver) -> Iterator[Nameserver]:
    """In a thread, for a program of its own."""
    ready, done = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with serving(server):
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(PATIENCE)
        loop.close()


def notes(house: House) -> list[str]:
    """All that the tap has noted of SMTP's sessions, in order."""
    shown = house.run("trace", "--protocol", "smtp", "--last", "1000", "--json").stdout
    rows = [row for line in shown.splitlines() for row in json.loads(line)["rows"]]
    return [row[3] for row in rows if row[2] == "note"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with a_house(tmp_path_factory.mktemp("house"), 'junk_headers = ["X-Spam-Flag: YES", "X-Bulk: 9"]') as house:
        yield house


def test_by_default_this_machines_programs_come_in_and_an_address_of_others_does_not(plain: House) -> None:
    needs("curl", "swaks")
    for hello in (None, "localhost", "laptop", "[127.0.0.1]", "mx.example.test"):
        with smtplib.SMTP("127.0.0.1", plain.port("smtp"), hello) as smtp:
            smtp.sendmail("jo@other.test", [ALICE], LETTER)
    port = plain.port("smtp")
    words = ["curl", "-sS", f"smtp://127.0.0.1:{port}", "--mail-from", "jo@other.test", "--mail-rcpt", ALICE]
    drive([*words, "-T", "-"], input=LETTER)
    drive(["swaks", "--server", f"127.0.0.1:{port}", "--to", ALICE, "--from", "jo@other.test"])
    before = len(fetched(plain, ALICE))
    assert before >= 7
    with client(plain, "[192.0.2.9]") as smtp:
        assert smtp.ehlo() == (550, b"5.7.1 That name or address of HELO isn't yours")
        assert smtp.ehlo("client.test")[0] == 250
        assert smtp.sendmail("jo@other.test", [ALICE], LETTER) == {}
    assert "check hello: rejected, 550 5.7.1 That name or address of HELO isn't yours" in notes(plain)
    assert "checks: hello passed, loop passed, junk_headers passed" in notes(plain)
    log = plain.log()
    assert " intake.turned-away " in log and " stage=hello check=hello hello=[192.0.2.9] " in log
    assert " checks=hello,loop,junk_headers" in log


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    checks = 'hello = "strict"\nrate_per_minute = 3'
    with a_house(tmp_path_factory.mktemp("house"), checks, workers=2, exempt='"127.0.0.8/32"') as house:
        yield house


def test_strict_wants_a_full_domain_name_and_exempt_networks_need_none(strict: House) -> None:
    with client(strict) as smtp:
        assert smtp.ehlo("laptop")[0] == 501
        assert smtp.helo("127.0.0.1")[0] == 501
        assert smtp.ehlo("[127.0.0.1]")[0] == 250
    with client(strict, "laptop", "127.0.0.8") as smtp:
        assert mail(smtp)[0] == 250
    with smtplib.SMTP("127.0.0.1", strict.port("submission"), "laptop") as smtp:
        smtp.login(BOB, PASSWORDS[BOB])
        assert smtp.sendmail(BOB, [ALICE], LETTER) == {}


def test_too_many_letters_in_a_minute_are_put_off_whichever_worker_they_come_to(strict: House) -> None:
    said = []
    for _ in range(6):
        with client(strict) as smtp:
            said.append(mail(smtp)[0])
    assert said == [250] * 3 + [450] * 3
    with client(strict) as smtp:
        assert mail(smtp) == (450, b"4.7.1 Too many letters from you in this minute, try again later")
        assert mail(smtp, "ann@other.test")[0] == 250
    with client(strict, source="127.0.0.8") as smtp:
        for _ in range(10):
            assert mail(smtp)[0] == 250
            smtp.rset()
    assert " check=rate " in strict.log()


def test_a_first_try_is_put_off_and_comes_in_later_also_after_a_restart(tmp_path: Path) -> None:
    house = a_house(tmp_path, 'greylist = true\ngreylist_delay = "1s"')
    with house, client(house) as smtp:
        mail(smtp)
        assert smtp.rcpt(ALICE) == (450, b"4.7.1 Greylisted, try again later")
        assert smtp.rcpt("postmaster@example.test")[0] == 250
    with house:
        until = time.monotonic() + PATIENCE
        with client(house) as smtp:
            mail(smtp)
            while smtp.rcpt(ALICE)[0] != 250:
                assert time.monotonic() < until
                time.sleep(0.1)
            assert smtp.data(LETTER)[0] == 250
        assert len(fetched(house, ALICE)) == 1
        assert "checks: hello passed, greylist passed, loop passed, junk_headers passed" in notes(house)
        assert " check=greylist " in house.log()


def test_a_client_on_a_blocklist_is_refused_with_its_reason(tmp_path: Path) -> None:
    listed = "1.0.0.127.bl.test"
    server = Nameserver(a={listed: ["127.0.0.2"]}, txt={listed: ["a test"]}, failing={"broken.test"})
    with name_server(server):
        tables = f'[dns]\nresolver = ["127.0.0.1:{server.port}"]'
        with a_house(tmp_path, 'blocklists = ["broken.test", "bl.test"]', tables=tables) as house:
            with client(house) as smtp:
                mail(smtp)
                assert smtp.rcpt(ALICE) == (554, b"5.7.1 [127.0.0.1] is listed by bl.test: a test")
                assert smtp.rcpt("postmaster@example.test")[0] == 250
            with client(house, source="127.0.0.8") as smtp:
                assert smtp.sendmail("jo@other.test", [ALICE], LETTER) == {}
            with smtplib.SMTP("127.0.0.1", house.port("submission")) as smtp:
                smtp.login(BOB, PASSWORDS[BOB])
                assert smtp.sendmail(BOB, [ALICE], LETTER) == {}
            assert " check=blocklist " in house.log() and "zone=broken.test reason=NoNameservers" in house.log()


def test_a_letter_that_a_filter_marked_comes_into_junk(plain: House) -> None:
    junk, before = plain, len(fetched(plain, ALICE))
    with client(junk) as smtp:
        smtp.ehlo()
        smtp.mail("jo@other.test")
        smtp.rcpt(ALICE)
        code, said = smtp.data(b"X-Spam-Flag: YES\r\n" + LETTER)
        smtp.sendmail("jo@other.test", [ALICE, BOB], b"X-Bulk: 95\r\n" + LETTER)
        smtp.sendmail("jo@other.test", [ALICE], b"X-Spam-Flag: NO\r\n" + LETTER)
    assert code == 250
    assert len(fetched(junk, ALICE, "Junk")) == 2 and len(fetched(junk, BOB, "Junk")) == 1
    assert len(fetched(junk, ALICE)) == before + 1 and fetched(junk, BOB) == []
    assert ' junk="x-spam-flag: yes"' in junk.log()
    story = junk.run("story", said.split()[-1].decode()).stdout
    assert "checks=hello,loop,junk_headers:junk" in story


def test_a_refused_letter_leaves_a_record_of_the_check(strict: House) -> None:
    with client(strict, source="127.0.0.9") as smtp:
        said = [mail(smtp, "fast@other.test")[0]]
        for _ in range(3):
            smtp.rset()
            said.append(mail(smtp, "fast@other.test")[0])
    assert said == [250, 250, 250, 450]
    until = time.monotonic() + PATIENCE
    while "fast@other.test" not in (shown := strict.run("story", "--refused").stdout):
        assert time.monotonic() < until, shown
        time.sleep(0.2)
    assert "rate" in shown and "450 4.7.1" in shown
