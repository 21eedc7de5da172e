"""The arguments of BDAT, VRFY, EXPN, XCLIENT and XFORWARD."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net.limits import SMTP_DOMAIN_OCTETS
from postroom.smtp.grammar import (
    XCLIENT,
    XFORWARD,
    Address,
    AddressFault,
    SyntaxFault,
    read_attributes,
    read_bdat,
    read_command,
    read_mailbox,
    read_wish,
    write_attributes,
    write_bdat,
)

# --- BDAT


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**20 - 1), st.booleans())
def test_a_chunk_reads_back(size: int, last: bool) -> None:
    verb, argument = read_command(write_bdat(size, last=last))
    assert verb == b"BDAT"
    assert read_bdat(argument) == (size, last)


@pytest.mark.parametrize("argument", [b"5 last", b"5  LAST", b"0005 Last"])
def test_a_chunk_may_be_written_so(argument: bytes) -> None:
    assert read_bdat(argument) == (5, True)


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"LAST",
        b"x",
        b"-1",
        b"+1",
        b"1_0",
        b"1.0",
        b"0x5",
        b"5LAST",
        b"5 MORE",
        b"5 LAST LAST",
        b"\xd9\xa1",
        b"9" * 21,
    ],
)
def test_what_is_no_chunk(argument: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_bdat(argument)


@pytest.mark.parametrize("size", [-1, 10**20])
def test_a_chunk_that_would_not_read_back_is_not_written(size: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        write_bdat(size)


# --- VRFY and EXPN


@pytest.mark.parametrize(
    ("argument", "wish", "utf8"),
    [
        (b"alice", b"alice", False),
        (b"alice SMTPUTF8", b"alice", True),
        (b"alice  smtputf8", b"alice", True),
        (b"SMTPUTF8", b"SMTPUTF8", False),
        (b"alice SMTPUTF8 x", b"alice SMTPUTF8 x", False),
    ],
)
def test_the_answer_may_go_beyond_ascii(argument: bytes, wish: bytes, utf8: bool) -> None:
    assert read_wish(argument) == (wish, utf8)


@pytest.mark.parametrize(
    ("wish", "address"),
    [
        (b"alice", Address("alice", "")),
        (b"<alice>", Address("alice", "")),
        (b"alice@example.test", Address("alice", "example.test")),
        (b"<alice@example.test>", Address("alice", "example.test")),
        (b'"al ice"', Address("al ice", "")),
        (b"j\xc3\xb6rg", Address("j\xf6rg", "")),
        (b"postmaster", Address("postmaster", "")),
    ],
)
def test_whom_one_may_ask_about(wish: bytes, address: Address) -> None:
    assert read_mailbox(wish) == address


@pytest.mark.parametrize("wish", [b"", b"<>", b"a b", b"a@", b"@a", b"<a", b"a>", b"a@b@c", b"\xff", b"a" * 65])
def test_what_names_nobody(wish: bytes) -> None:
    with pytest.raises(AddressFault):
        read_mailbox(wish)


# --- XCLIENT and XFORWARD


def test_the_example_of_the_readme() -> None:
    assert read_attributes(b"NAME=spike.porcupine.org ADDR=168.100.189.2", XCLIENT) == {
        "NAME": "spike.porcupine.org",
        "ADDR": "168.100.189.2",
    }
    assert read_attributes(b"name=spike.porcupine.org addr=168.100.189.2 proto=esmtp", XFORWARD) == {
        "NAME": "spike.porcupine.org",
        "ADDR": "168.100.189.2",
        "PROTO": "ESMTP",
    }


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        (b"ADDR=IPV6:2001:DB8:0::1", {"ADDR": "2001:db8::1"}),
        (b"ADDR=[UNAVAILABLE] NAME=[TempUnavail]", {"ADDR": "", "NAME": ""}),
        (b"PORT=0025 DESTPORT=65535", {"PORT": "25", "DESTPORT": "65535"}),
        (b"HELO=a+3Db.test", {"HELO": "a=b.test"}),
        (b"LOGIN=j+C3+B6rg@example.test", {"LOGIN": "j\xf6rg@example.test"}),
        (b"DESTADDR=127.0.0.1", {"DESTADDR": "127.0.0.1"}),
        (b"", {}),
    ],
)
def test_attributes_are_read(argument: bytes, told: dict[str, str]) -> None:
    assert read_attributes(argument, XCLIENT) == told


@pytest.mark.parametrize(
    "argument",
    [
        b"NAME",
        b"NAME=",
        b"=x",
        b"FOO=x",
        b"IDENT=x",
        b"NAME=a NAME=b",
        b"ADDR=300.1.1.1",
        b"ADDR=2001:db8::1",
        b"ADDR=IPV6:192.0.2.1",
        b"ADDR=[192.0.2.1]",
        b"PORT=65536",
        b"PORT=x",
        b"PORT=1_0",
        b"PORT=+1",
        b"PROTO=HTTP",
        b"HELO=+0D+0A",
        b"NAME=+00",
        b"NAME=+",
        b"NAME=a+20b",
        b"LOGIN=+0A",
        b"LOGIN=+FF",
        b"NAME=" + b"a" * (SMTP_DOMAIN_OCTETS + 1),
    ],
)
def test_what_a_proxy_may_not_tell(argument: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_attributes(argument, XCLIENT)


TOLD = st.fixed_dictionaries(
    {},
    optional={
        "NAME": st.from_regex(r"[!-~]{1,30}", fullmatch=True),
        "ADDR": st.ip_addresses().map(str),
        "PORT": st.integers(0, 65535).map(str),
        "PROTO": st.sampled_from(["SMTP", "ESMTP", ""]),
        "HELO": st.from_regex(r"[!-~]{1,30}", fullmatch=True),
        "LOGIN": st.text(min_size=1, max_size=20).filter(str.isprintable),
    },
)


@settings(max_examples=150, deadline=None)
@given(TOLD)
def test_attributes_read_back(told: dict[str, str]) -> None:
    assert read_attributes(write_attributes(told), XCLIENT) == told


@pytest.mark.parametrize("told", [{"NAME": "[Unavailable]"}, {"NAME": "a b"}, {"FOO": "x\n"}, {"ADDR": "::zz"}])
def test_attributes_that_would_not_read_back_are_not_written(told: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        write_attributes(told)
