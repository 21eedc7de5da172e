"""swaks, msmtp and Perl's Net::SMTP submit letters: TLS and a login, as a user's machine does."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from postroom.smtp.stuffing import stuff
from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import drive, empty, fetched, hashes, needs, without_trace


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_submits_each_letter(house: House, carried: list[bytes], tmp_path: Path, mechanism: str) -> None:
    needs("swaks")
    empty(house, BOB)
    # Half of the letters by each mechanism: swaks takes a third of a second to start.
    half = slice(0, None, 2) if mechanism == "PLAIN" else slice(1, None, 2)
    words = [
        "swaks",
        "--server",
        "127.0.0.1",
        "--port",
        str(house.port("submission")),
        "--tls",
        "--auth",
        mechanism,
    ]
    words += ["--auth-user", ALICE, "--auth-password", PASSWORDS[ALICE], "--from", ALICE, "--to", BOB]
    words += ["--silent", "2"]
    for number in range(len(carried))[half]:
        # Without this option swaks adds an empty line of its own at the end.
        data = tmp_path / "data"
        data.write_bytes(stuff(carried[number]).removesuffix(b"\r\n"))
        drive([*words, "--no-data-fixup", "--data", f"@{data}"])
    assert hashes(map(without_trace, fetched(house, BOB))) == hashes(carried[half])


@pytest.mark.parametrize("way", ["submission", "submissions"])
def test_msmtp_submits_each_letter(house: House, files: list[Path], carried: list[bytes], way: str) -> None:
    needs("msmtp")
    empty(house, BOB)
    starttls = "on" if way == "submission" else "off"
    words = ["msmtp", "--host=127.0.0.1", f"--port={house.port(way)}", "--tls=on", f"--tls-starttls={starttls}"]
    words += ["--tls-certcheck=off", "--auth=plain", f"--user={ALICE}", f"--passwordeval=echo {PASSWORDS[ALICE]}"]
    words += [f"--from={ALICE}", "--set-date-header=off", "--set-from-header=off", "--set-msgid-header=off", BOB]
    for file in files:
        drive(words, input=file.read_bytes().replace(b"\r\n", b"\n"))
    assert hashes(map(without_trace, fetched(house, BOB))) == hashes(carried)


NET_SMTP: Final = r"""
use strict;
use warnings;
use Net::SMTP;
my ($port, $tls, $user, $password, $to, @files) = @ARGV;
my $smtp = Net::SMTP->new("127.0.0.1", Port => $port, Hello => "client.test", SSL => $tls, SSL_verify_mode => 0)
    or die "no connection: $@";
$tls or $smtp->starttls(SSL_verify_mode => 0) or die $smtp->message;
$smtp->auth($user, $password) or die $smtp->message;
for my $file (@files) {
    open my $in, "<:raw", $file or die $!;
    my $letter = do { local $/; <$in> };
    $smtp->mail($user) && $smtp->to($to) && $smtp->data && $smtp->datasend($letter) && $smtp->dataend
        or die $smtp->message;
}
$smtp->quit or die $smtp->message;
"""


@pytest.mark.parametrize("way", ["submission", "submissions"])
def test_net_smtp_submits_each_letter(house: House, files: list[Path], carried: list[bytes], way: str) -> None:
    needs("perl")
    empty(house, BOB)
    tls = "1" if way == "submissions" else "0"
    words = ["perl", "-e", NET_SMTP, str(house.port(way)), tls, ALICE, PASSWORDS[ALICE], BOB]
    drive([*words, *map(str, files)])
    assert hashes(map(without_trace, fetched(house, BOB))) == hashes(carried)
