"""Which form the writer has, and a site whose changes go through the keeper."""

from __future__ import annotations

import logging
import os
import signal
import smtplib
import time
from pathlib import Path

import pytest

from postroom.config import Config, parse
from postroom.site import form as module
from postroom.site.form import KEEPER_SYNC_SECONDS, sync_seconds, wants_keeper
from tests.house import ALICE, House


def _config(folder: Path, writer: str) -> Config:
    config = parse(f'writer = "{writer}"', folder / "postroom.toml")
    config.root.mkdir()
    return config


@pytest.mark.parametrize(
    ("seconds", "form"),
    [(0.0, "inline"), (KEEPER_SYNC_SECONDS, "inline"), (KEEPER_SYNC_SECONDS * 1.01, "keeper"), (1.0, "keeper")],
)
def test_a_slow_disk_gets_a_keeper_by_itself_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seconds: float, form: str
) -> None:
    monkeypatch.setattr(module, "sync_seconds", lambda _: seconds)
    with caplog.at_level(logging.INFO):
        assert wants_keeper(_config(tmp_path, "auto")) is (form == "keeper")
    assert [record.getMessage() for record in caplog.records] == [
        f"writer form={form} sync_ms={seconds * 1000:.2f}"
    ]


@pytest.mark.parametrize("writer", ["inline", "keeper"])
def test_a_form_that_is_asked_for_is_taken_without_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    monkeypatch.setattr(module, "sync_seconds", lambda _: 1 / 0)
    assert wants_keeper(_config(tmp_path, writer)) is (writer == "keeper")


def test_a_sync_s_cost_is_the_median_of_some_that_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.001] * 7 + [0.0, 0.5] * 7 + [0.0, 0.003])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert sync_seconds(tmp_path) == 0.003
    assert next(clock, None) is None
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_can_t_be_measured_stops_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    assert wants_keeper(_config(tmp_path, "auto")) is False
    assert "No space left" in caplog.text


def _letter(number: int) -> bytes:
    return b"Subject: %d\r\n\r\n" % number + b"x" * 300_000 * (number % 2) + b"\r\n"


def test_a_site_with_a_keeper_takes_letters_and_goes_on_when_it_is_killed(tmp_path: Path) -> None:
    with House(tmp_path, settings='writer = "keeper"') as house:
        for round_ in range(2):
            with smtplib.SMTP("127.0.0.1", house.port("smtp")) as client:
                for number in range(4):
                    client.sendmail("x@elsewhere.test", ALICE, _letter(number))
            pid = house.pids()["keeper"]
            os.kill(pid, signal.SIGKILL)
            house.wait_for_successor("keeper", pid)
            assert house.log().count("role-died role=keeper") == round_ + 1
        assert "setting-not-used" not in house.log()
        assert "writer form=keeper" in house.log()
        assert house.stop() == 0
        checked = house.run("fsck")
        assert checked.returncode == 0, checked.stdout
