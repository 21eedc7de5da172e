"""`postroom reload` and SIGHUP on the real program: nobody is refused, no session dropped, no fault let in."""

from __future__ import annotations

import os
import shutil
import signal
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postroom.net.tls import KeyPair, make_self_signed
from tests.house import ALICE, BOB, PASSWORDS, PATIENCE, House
from tests.mailbag import fetched
from tests.scale import scaled
from tests.system.raw import Raw, trusting

_TLS = """
[tls.names]
"other.test" = { certificate = "other.pem", key = "other.key" }
"""


def _make(folder: Path, name: str) -> bytes:
    """A new certificate under a name; in DER."""
    pair = KeyPair(folder / f"{name}.pem", folder / f"{name}.key")
    make_self_signed(pair, f"{name}.test")
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One server for all: each test goes on from what the one before has left."""
    house = House(tmp_path_factory.mktemp("house"), workers=2, tables=_TLS)
    for name in ("own", "other"):
        _make(house.folder, name)
    _change(house, "[tls]\n", '[tls]\ncertificate = "own.pem"\nkey = "own.key"\n')
    with house:
        yield house


def _change(house: House, old: str, new: str) -> None:
    text = house.config_path.read_text()
    assert old in text
    house.config_path.write_text(text.replace(old, new, 1))


def _hang_up(house: House) -> None:
    assert house.process is not None
    house.process.send_signal(signal.SIGHUP)


def _until_logged(house: House, words: str, times: int = 1) -> None:
    until = time.monotonic() + PATIENCE
    while house.log().count(words) < times:
        assert time.monotonic() < until, house.log()
        time.sleep(0.02)


def _logged_in(house: House) -> Raw:
    raw = Raw(house, "imap")
    assert raw.answer(b"LOGIN %b %b" % (ALICE.encode(), PASSWORDS[ALICE].encode()))[0].startswith(b"OK")
    return raw


def _shown(house: House, name: str) -> bytes:
    raw = Raw(house, "imaps", greeted=False, tls=False)
    with raw, trusting().wrap_socket(raw.sock, server_hostname=name) as sock:
        certificate = sock.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def test_new_certificates_are_shown_and_no_session_is_dropped(house: House) -> None:
    with _logged_in(house) as session, Raw(house, "imaps") as secure:
        old = _shown(house, "mx.example.test"), _shown(house, "other.test")
        new = _make(house.folder, "own"), _make(house.folder, "other")
        assert (_shown(house, "mx.example.test"), _shown(house, "other.test")) == old
        session.say(b"x IDLE\r\n")
        assert session.line().startswith(b"+ ")
        _hang_up(house)
        _until_logged(house, " reloaded what=certificates ")
        for _ in range(4):  # both workers
            assert (_shown(house, "mx.example.test"), _shown(house, "other.test")) == new
        with Raw(house, "imap") as raw:
            raw.say(b"s STARTTLS\r\n")
            assert raw.line().startswith(b"s OK")
            raw.shake()
            assert isinstance(raw.sock, ssl.SSLSocket) and raw.sock.getpeercert(binary_form=True) == new[0]
        assert secure.answer(b"NOOP")[0].startswith(b"OK")
        session.say(b"DONE\r\n")
        assert session.line().startswith(b"x OK")


def test_a_certificate_that_does_not_fit_is_refused_in_one_line_and_the_old_one_stays(house: House) -> None:
    good = _shown(house, "mx.example.test"), _shown(house, "other.test")
    key = (house.folder / "other.key").read_bytes()
    shutil.copy(house.folder / "own.key", house.folder / "other.key")
    before = house.log()
    ended = house.run("reload")
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr.count("\n") == 1 and "tls.names.other.test" in ended.stderr
    _hang_up(house)
    _until_logged(house, " reload-refused ", 2)
    assert [" reload-refused " in line for line in house.log().removeprefix(before).splitlines()].count(True) == 2
    assert (_shown(house, "mx.example.test"), _shown(house, "other.test")) == good
    (house.folder / "other.key").write_bytes(key)


def test_a_wrong_configuration_means_nothing_to_those_who_serve(house: House) -> None:
    text = house.config_path.read_text()
    _change(house, "workers = 2", "workers = 3")
    ended = house.run("reload")
    assert ended.returncode == 1 and "workers: a change of it takes a restart" in ended.stderr
    _change(house, "workers = 3", "workers = 2\nno_such_setting = true")
    ended = house.run("reload")
    assert ended.returncode == 2 and "no_such_setting: unknown setting" in ended.stderr
    _hang_up(house)
    _until_logged(house, "no_such_setting: unknown setting")
    # Nor to the successor of one that is killed.
    pid = house.pids()["worker-0"]
    os.kill(pid, signal.SIGKILL)
    house.wait_for_successor("worker-0", pid)
    with _logged_in(house) as raw:
        assert raw.answer(b"NOOP")[0].startswith(b"OK")
    house.config_path.write_text(text)


def test_under_load_a_reload_refuses_and_loses_nobody(house: House) -> None:
    stop, sent, faults = threading.Event(), list[str](), list[Exception]()

    def send(sender: int) -> None:
        number = 0
        while not stop.is_set():
            subject = f"{sender}-{number}"
            number += 1
            try:
                with smtplib.SMTP("127.0.0.1", house.port("smtp"), timeout=PATIENCE) as client:
                    client.sendmail("x@elsewhere.test", [BOB], f"Subject: {subject}\r\n\r\nbody\r\n")
                sent.append(subject)
            except (OSError, smtplib.SMTPException) as fault:
                faults.append(fault)

    with _logged_in(house) as session:
        senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for sender in senders:
            sender.start()
        # Those who come now have no patience with their sessions, once they are replaced.
        _change(house, "[limits]\n", '[limits]\nreload_patience = "0s"\n')
        for number in range(scaled(1, 30)):
            _change(house, 'hostname = "mx', f'hostname = "mx{number % 10}')
            ended = house.run("reload")
            assert (ended.returncode, ended.stdout) == (0, "Reloaded: 2 new workers.\n"), ended
            with Raw(house, "smtp") as raw:
                assert raw.greeting.startswith(b"220 mx%d" % (number % 10))
            if number < 3:  # later it is ended, in one of those that were replaced long ago
                assert session.answer(b"NOOP")[0].startswith(b"OK")
        stop.set()
        for sender in senders:
            sender.join()
    assert not faults
    letters = fetched(house, BOB)
    subjects = sorted(letter.partition(b"Subject: ")[2].split(b"\r\n")[0].decode() for letter in letters)
    assert subjects == sorted(sent) and len(sent) > 4


def test_sessions_of_replaced_workers_are_asked_to_end_in_time(house: House) -> None:
    with _logged_in(house) as session:
        _change(house, 'reload_patience = "0s"\n', "")
        assert house.run("reload", "--json").stdout.startswith('{"reloaded": "everything", "workers": 2')
        assert session.rest().startswith(b"* BYE ")


def test_replaced_workers_end_with_the_server(house: House) -> None:
    with _logged_in(house) as session:
        _change(house, "[limits]\n", "[limits]\nconnections = 500\n")
        assert house.run("reload").returncode == 0
        assert session.answer(b"NOOP")[0].startswith(b"OK")
        assert house.stop() == 0
        assert session.rest().startswith(b"* BYE ")


def test_without_a_server_there_is_nothing_to_reload(tmp_path: Path) -> None:
    ended = House(tmp_path).run("reload")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1) and "no server runs here" in ended.stderr
