"""Real filters on the running program: Debian's opendkim, and one on Debian's binding of libmilter itself."""

from __future__ import annotations

import contextlib
import os
import re
import smtplib
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.house import ALICE, BOB, PASSWORDS, PATIENCE, House
from tests.mailbag import drive, fetched, needs

DEBIAN_PYTHON = "/usr/bin/python3"
REFUSING = Path(__file__).with_name("milter_refusing.py")


def has_libmilter() -> bool:
    done = subprocess.run(
        [DEBIAN_PYTHON, "-c", "import Milter"], capture_output=True, check=False, timeout=PATIENCE
    )
    return done.returncode == 0


@contextlib.contextmanager
def filter(words: Sequence[str], socket: Path) -> Iterator[None]:
    """A filter's process, from when its socket is there."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            until = time.monotonic() + PATIENCE
            while not socket.exists():
                assert process.poll() is None and process.stdout is not None, (
                    process.stdout and process.stdout.read()
                )
                assert time.monotonic() < until
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def opendkim(folder: Path, name: str, settings: str) -> tuple[list[str], Path]:
    """The words that start one, and its socket."""
    socket, config = folder / f"{name}.sock", folder / f"{name}.conf"
    config.write_text(
        f"Socket local:{socket}\nBackground no\nSyslog no\nUMask 007\nUserID root\nRequireSafeKeys no\n{settings}"
    )
    return ["opendkim", "-f", "-x", str(config)], socket


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with two filters: one signs, the next one verifies."""
    needs("opendkim", "openssl")
    folder = tmp_path_factory.mktemp("dkim")
    key = folder / "key.pem"
    drive(["openssl", "genrsa", "-out", str(key), "2048"])
    public = drive(["openssl", "rsa", "-in", str(key), "-pubout"]).decode()
    record = "".join(public.splitlines()[1:-1])
    (folder / "public").write_text(f"s1._domainkey.example.test v=DKIM1; k=rsa; p={record}\n")
    (folder / "nobody").write_text("192.0.2.99\n")
    signer, signing = opendkim(folder, "signer", f"Mode s\nDomain example.test\nSelector s1\nKeyFile {key}\n")
    verifier, verifying = opendkim(
        folder,
        "verifier",
        f"Mode v\nTestPublicKeys {folder / 'public'}\nInternalHosts {folder / 'nobody'}\n"
        "AuthservID mx.example.test\nAlwaysAddARHeader yes\n",
    )
    with filter(signer, signing), filter(verifier, verifying):
        tables = f'[smtp]\nmilters = ["unix:{signing}", "local:{verifying}"]'
        with House(tmp_path_factory.mktemp("house"), tables=tables) as house:
            yield house


def results(letter: bytes) -> str:
    found = re.search(rb"^Authentication-Results: ([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", letter, re.MULTILINE)
    assert found is not None, letter
    return " ".join(found[1].decode().split())


@pytest.mark.parametrize("octets", [20, 1_000_000])
def test_opendkim_signs_and_the_next_opendkim_finds_the_signature_good(signed: House, octets: int) -> None:
    letter = (
        b"From: Alice <alice@example.test>\r\nTo: bob@example.test\r\nSubject: a\r\n folded  one\r\n"
        b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@example.test>\r\n\r\n"
        b"..dots\r\n" + b"x" * 70 + b"\r\n" * 3 + (b"y" * 78 + b"\r\n") * (octets // 80)
    )
    before = len(fetched(signed, BOB))
    with smtplib.SMTP("127.0.0.1", signed.port("submission")) as smtp:
        smtp.login(ALICE, PASSWORDS[ALICE])
        assert smtp.sendmail(ALICE, [BOB], letter) == {}
    kept = fetched(signed, BOB)[before]
    assert "dkim=pass" in results(kept), results(kept)
    assert b"\r\nDKIM-Signature: v=1; a=rsa-sha256; c=" in kept and b" s=s1;" in kept
    assert kept.endswith(letter)
    assert ":changed" in signed.log()


def test_opendkim_tells_of_a_strangers_letter_that_nobody_signed(signed: House) -> None:
    before = len(fetched(signed, ALICE))
    letter = b"From: jo@other.test\r\nTo: alice@example.test\r\nSubject: x\r\n\r\nbody\r\n"
    with smtplib.SMTP("127.0.0.1", signed.port("smtp")) as smtp:
        assert smtp.sendmail("jo@other.test", [ALICE], letter) == {}
    kept = fetched(signed, ALICE)[before]
    assert results(kept).startswith("mx.example.test; dkim=none") and b"DKIM-Signature" not in kept
    assert kept.endswith(letter)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if not has_libmilter():
        assert os.environ.get("CI") != "true", "missing in CI: python3-milter"
        pytest.skip("not installed: python3-milter")
    socket = tmp_path_factory.mktemp("filter") / "filter.sock"
    made = House(tmp_path_factory.mktemp("house"), tables=f'[smtp]\nmilters = ["unix:{socket}"]')
    with filter([DEBIAN_PYTHON, str(REFUSING), str(socket)], socket), made as house:
        yield house


def letter(subject: str) -> bytes:
    return f"Subject: {subject}\r\n\r\n".encode() + b"x" * 100_000 + b"\r\n"


def test_a_filter_on_libmilter_refuses_senders_recipients_and_letters(refusing: House) -> None:
    with smtplib.SMTP("127.0.0.1", refusing.port("smtp")) as smtp:
        smtp.ehlo()
        assert smtp.mail("banned@other.test") == (550, b"5.7.1 banned is banned, 100%")
        assert smtp.mail("jo@other.test")[0] == 250
        assert smtp.rcpt(BOB) == (450, b"4.2.1 Bob is out")
        assert smtp.rcpt(ALICE)[0] == 250
        assert smtp.data(letter("refuse")) == (550, b"5.7.1 Refused by a filter")
        assert smtp.sendmail("jo@other.test", [ALICE], letter("fine")) == {}
    (kept,) = fetched(refusing, ALICE)
    assert re.search(rb"\r\nX-Filter: 127\.0\.0\.1 [0-9a-z]+\.[0-9]+ 100002\r\n", kept)
    assert kept.endswith(letter("fine"))
    log = refusing.log()
    assert "stage=rcpt check=milter[unix:" in log and "stage=mail check=milter[unix:" in log
    assert ":rejected: 550 5.7.1 Refused by a filter" in refusing.run("trace", "--protocol", "smtp").stdout


def test_a_filter_on_libmilter_discards_quarantines_and_changes_letters(refusing: House) -> None:
    before = len(fetched(refusing, ALICE))
    with smtplib.SMTP("127.0.0.1", refusing.port("smtp")) as smtp:
        for subject in ("discard", "quarantine", "body"):
            assert smtp.sendmail("jo@other.test", [ALICE], letter(subject)) == {}
    (body,) = fetched(refusing, ALICE)[before:]
    assert body.endswith(b"\r\nSubject: body\r\n\r\nanother body\r\n")
    (junk,) = fetched(refusing, ALICE, "Junk")
    assert b"\r\nSubject: quarantine\r\n" in junk
    assert ' junk="quarantined: a test"' in refusing.log() and " intake.discarded " in refusing.log()


def test_a_filter_that_is_not_there_puts_letters_off_and_is_told_of_once(tmp_path: Path) -> None:
    with House(tmp_path, tables='[smtp]\nmilters = ["inet:9@127.0.0.1", "unix:nowhere.sock"]') as house:
        with smtplib.SMTP("127.0.0.1", house.port("smtp")) as smtp:
            for _ in range(5):
                smtp.ehlo()
                assert smtp.mail("jo@other.test") == (451, b"4.7.1 The filter isn't there now, try again later")
        assert house.log().count(" milter.failed milter=inet:127.0.0.1:9 ") == 1
        assert house.log().count(" milter.failed ") == 2


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('[smtp]\nmilters = ["mail.example"]', "smtp.milters: "),
        ('[smtp]\nmilters = ["inet:host:0"]', "smtp.milters: "),
        ('[checks]\njunk_headers = ["X-Spam"]', "checks.junk_headers: "),
        ('[dns]\nresolver = ["ns.example:53"]', "dns.resolver: "),
    ],
)
def test_a_place_that_is_none_is_told_of_at_the_start(tmp_path: Path, line: str, complaint: str) -> None:
    done = House(tmp_path, tables=line).run("check-config")
    assert done.returncode == 2
    assert complaint in done.stderr and "Traceback" not in done.stderr
