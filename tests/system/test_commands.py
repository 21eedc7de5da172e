"""The `postroom` command as a new user meets it: help, errors in one line, exit statuses, accounts, traces."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import imap


def _postroom(*words: str, cwd: Path | None = None, input: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "postroom", *words],
        cwd=cwd,
        input=input,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def _one_line(said: str) -> bool:
    return said.endswith("\n") and said.count("\n") == 1 and "Traceback" not in said


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["serve"],
        ["demo"],
        ["account"],
        ["account", "add"],
        ["alias", "add"],
        ["trace"],
        ["fsck"],
        ["check-config"],
    ],
)
def test_every_command_has_a_help_that_teaches(words: list[str]) -> None:
    done = _postroom(*words, "--help")
    assert done.returncode == 0
    assert "Usage: postroom" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(shell: str) -> None:
    done = _postroom("completion", shell)
    assert done.returncode == 0
    assert "_POSTROOM_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("hostnam = 'x'", "hostnam"),
        ("workers = -1", "workers"),
        ("workers = [", "TOML"),
        ("[smtp]\nmax_message_size = 'big'", "smtp.max_message_size"),
        ("[listen]\nsmtp = ['nowhere']", "listen.smtp"),
        ("[tls]\ncertificate = 'gone.pem'\nkey = 'gone.key'", "tls.certificate"),
        ("store = 'postgresql://db'", "store"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_wrong_configuration_is_one_line_and_exit_2(
    tmp_path: Path, command: str, settings: str, key: str
) -> None:
    (tmp_path / "postroom.toml").write_text(settings)
    done = _postroom(command, cwd=tmp_path)
    assert done.returncode == 2
    assert key in done.stderr
    assert _one_line(done.stderr), done.stderr


@pytest.mark.parametrize("settings", ["store = 'postgresql://db'", "[tls]\ncertificate = 'a.pem'\nkey = 'a.key'"])
@pytest.mark.parametrize("command", [["account", "list"], ["alias", "list"]])
def test_accounts_of_a_site_that_can_not_be_served_are_one_line_and_exit_2(
    tmp_path: Path, command: list[str], settings: str
) -> None:
    (tmp_path / "postroom.toml").write_text(settings)
    done = _postroom(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert _one_line(done.stderr), done.stderr


def test_no_configuration_is_said_so(tmp_path: Path) -> None:
    done = _postroom("serve", cwd=tmp_path)
    assert done.returncode == 2
    assert _one_line(done.stderr)


def test_serve_says_ready_and_ends_on_sigterm(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    assert set(house.ports) == {"smtp", "submission", "submissions", "pop3", "pop3s", "imap", "imaps"}
    pid = int((house.data / "run" / "postroom.pid").read_text())
    assert house.process is not None
    assert pid == house.process.pid
    client = imap(house, ALICE)
    assert house.stop() == 0
    client.shutdown()


def test_a_listener_that_is_not_built_yet_is_one_warning(tmp_path: Path) -> None:
    with House(tmp_path, tables="") as house:
        pass
    config = house.config_path.read_text().replace("[listen]", '[listen]\nftp = ["127.0.0.1:0"]')
    house.config_path.write_text(config)
    house.start()
    assert house.stop() == 0
    assert len(re.findall(r"listener=ftp", house.log())) == 1


def test_a_second_server_refuses_the_same_data(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        done = house.run("serve")
        assert done.returncode == 1
        assert "already runs" in done.stderr
        assert imap(house, ALICE).logout()[0] == "BYE"


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with House(tmp_path / "a") as house:
        second = House(tmp_path / "b")
        text = second.config_path.read_text()
        second.config_path.write_text(
            text.replace('smtp = ["127.0.0.1:0"]', f'smtp = ["127.0.0.1:{house.port("smtp")}"]')
        )
        done = second.run("serve")
        assert done.returncode == 1
        assert str(house.port("smtp")) in done.stderr
        assert _one_line(done.stderr), done.stderr


@pytest.mark.parametrize("up", [False, True])
def test_accounts_and_aliases_with_the_server_up_or_down(tmp_path: Path, up: bool) -> None:
    house = House(tmp_path)
    if up:
        house.start()
    carol = "carol@example.test"
    assert house.run("account", "add", carol, "--password-stdin", input="pw one\n").returncode == 0
    again = house.run("account", "add", carol, "--password-stdin", input="pw one\n")
    assert again.returncode == 1
    assert _one_line(again.stderr), again.stderr
    assert house.run("account", "passwd", carol, "--password-stdin", input="pw two\n").returncode == 0
    listed = json.loads(house.run("account", "list", "--json").stdout)
    assert carol in [row["address"] for row in listed]
    assert house.run("alias", "add", "Info.Desk@example.test", carol).returncode == 0
    assert json.loads(house.run("alias", "list", "--json").stdout) == [
        {"name": "Info.Desk@example.test", "targets": [carol]}
    ]
    if not up:
        house.start()
    with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
        client.sendmail("x@elsewhere.test", ["Info.Desk@example.test"], b"Subject: hi\r\n\r\nto carol\r\n")
    with smtplib.SMTP("127.0.0.1", house.port("submission")) as client:
        client.login(carol, "pw two")
    assert house.run("account", "disable", carol).returncode == 0
    with (
        smtplib.SMTP("127.0.0.1", house.port("submission")) as client,
        pytest.raises(smtplib.SMTPAuthenticationError),
    ):
        client.login(carol, "pw two")
    assert house.run("account", "enable", carol).returncode == 0
    assert house.run("alias", "remove", "Info.Desk@example.test").returncode == 0
    assert house.run("account", "remove", carol).returncode == 0
    missing = house.run("account", "passwd", carol, "--password-stdin", input="x\n")
    assert missing.returncode == 1
    assert _one_line(missing.stderr)
    assert house.stop() == 0


def test_a_changed_password_ends_sessions_and_ready_hashes_log_in(tmp_path: Path) -> None:
    with House(tmp_path, workers=2) as house:
        client = imap(house, BOB)
        client.select("INBOX")
        changed = house.run("account", "passwd", BOB, "--password-stdin", input="another\n")
        assert changed.returncode == 0, changed.stderr
        assert b"BYE" in client.file.readline()
        client.shutdown()
        with pytest.raises(Exception, match="AUTHENTICATIONFAILED"):
            imap(house, BOB)
        assert imap(house, ALICE).logout()[0] == "BYE"


def test_trace_shows_a_conversation_and_no_secret(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        with smtplib.SMTP("127.0.0.1", house.port("submission")) as client:
            client.login(ALICE, PASSWORDS[ALICE])
            client.sendmail(ALICE, [BOB], b"Subject: secret plans\r\n\r\nthe letter's body\r\n")
            session = imap(house, BOB)
            shown = house.run("trace")
            session.logout()
        assert shown.returncode == 0, shown.stderr
        assert "MAIL" in shown.stdout.upper()
        assert "─▶" in shown.stdout
        assert "octets]" in shown.stdout
        for secret in (PASSWORDS[ALICE], PASSWORDS[BOB], "secret plans", "letter's body", "AGFsaWNl"):
            assert secret not in shown.stdout
            assert secret not in house.log()
        one = re.search(r"^(\S+)  imap ", shown.stdout, re.MULTILINE)
        assert one is not None
        only = house.run("trace", "--session", one[1])
        assert "submission" not in only.stdout
        assert only.returncode == 0
        rows = house.run("trace", "--json", "--protocol", "submission").stdout.splitlines()
        assert [json.loads(row)["protocol"] for row in rows] == ["submission"]
        assert house.run("trace", "--session", "nosuch").returncode == 1


def test_trace_follows_what_is_said(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        follower = subprocess.Popen(
            house.command("trace", "--follow"), stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert follower.stdout is not None
        try:
            said = ""
            while "220 mx.example.test" not in said:
                with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
                    client.noop()
                if _readable(follower):
                    said += follower.stdout.readline() + follower.stdout.readline()
        finally:
            follower.send_signal(signal.SIGINT)
            assert follower.wait(20) == 130
            follower.stdout.close()


def _readable(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0.5)[0])


def test_fsck_says_that_all_is_well_beside_a_live_server(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
            client.sendmail("x@elsewhere.test", [ALICE, BOB], b"Subject: hi\r\n\r\nletter\r\n")
        done = house.run("fsck")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "sound" in done.stdout
    segment = next(iter((house.data / "segments").iterdir()))
    with segment.open("r+b") as file:
        file.seek(os.path.getsize(segment) // 2)
        octet = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([octet[0] ^ 1]))
    done = house.run("fsck")
    assert done.returncode == 1
    assert "problem" in done.stdout
