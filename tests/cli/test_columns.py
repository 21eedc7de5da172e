from __future__ import annotations

import time
from datetime import datetime

import click
import pytest

from postroom.cli.columns import count, local_time, moment, plain, size, utc_time


def test_a_time_ago() -> None:
    for text, seconds in (("30s", 30), ("2m", 120), ("4h", 14400), ("3d", 259200), ("2w", 1209600)):
        assert abs(moment(text) - (time.time() - seconds)) <= 2


def test_a_date_is_its_first_second_here_or_the_first_behind_it() -> None:
    day = int(datetime(2026, 11, 20).timestamp())
    assert moment("2026-11-20") == day
    assert moment("2026-11-20", end=True) == int(datetime(2026, 11, 21).timestamp())


def test_iso_times_with_and_without_a_zone() -> None:
    assert moment("2023-11-14T22:13:20Z") == moment("2023-11-14T23:13:20+01:00", end=True) == 1_700_000_000
    assert moment("2023-11-14 22:13") == int(datetime(2023, 11, 14, 22, 13).timestamp())


@pytest.mark.parametrize(
    "text", ["", "d", "-3d", "3y", "99999999999d", "yesterday", "2026-13-01", "٣d", "0000-01-01"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time"):
        moment(text)


def test_times_are_shown_here_or_for_scripts() -> None:
    assert local_time(1_700_000_000) == datetime.fromtimestamp(1_700_000_000).strftime("%Y-%m-%d %H:%M:%S")
    assert utc_time(1_700_000_000) == "2023-11-14T22:13:20+00:00"


def test_sizes_and_counts() -> None:
    assert [size(each) for each in (0, 1, 1023, 1024, 10 * 2**30, 5 * 2**50)] == [
        "0 octets",
        "1 octets",
        "1023 octets",
        "1.0 KiB",
        "10.0 GiB",
        "5120.0 TiB",
    ]
    assert [count(each, "letter") for each in (0, 1, 2)] == ["0 letters", "1 letter", "2 letters"]


@pytest.mark.parametrize("text", ["a\r\nb", "\x1b[31m", "\u202edrow", "\x7f", "\u2028"])
def test_what_could_play_tricks_on_a_terminal_is_replaced(text: str) -> None:
    assert plain(text).isprintable()
    assert "?" in plain(text)


def test_letters_of_all_languages_stay() -> None:
    assert plain("Grüße 你好 ✉") == "Grüße 你好 ✉"
