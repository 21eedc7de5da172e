from __future__ import annotations

import pytest

from tests.pop3.post import LOGIN, Post
from tests.talk import talk

HELLO = "S: +OK *\n"
CYRILLIC = "Subject: \N{CYRILLIC CAPITAL LETTER YA}"


def test_the_languages_are_listed_and_one_may_be_chosen_in_any_state(post: Post) -> None:
    for start in (HELLO, LOGIN):
        talk(
            post.handler,
            start
            + """
            C: LANG
            S: +OK Language listing follows:
            S: en English
            S: i-default English
            S: .
            C: LANG en
            S: +OK en Language changed
            C: LANG I-DEFAULT
            S: +OK i-default Language changed
            C: lang *
            S: +OK en Language changed
            C: LANG en-GB-oxendict
            S: +OK en Language changed
            """,
        )


@pytest.mark.parametrize("wanted", ["MUL", "uga", "e", "english", "enx", "i", "de-en"])
def test_a_language_that_there_is_not_is_refused_without_being_repeated(post: Post, wanted: str) -> None:
    talk(post.handler, HELLO + f"C: LANG {wanted}\nS: -ERR No such language, see LANG\nC: NOOP\nS: -ERR *")


@pytest.mark.parametrize("wanted", ["en GB", "**", "-en", "en-", "en--GB", "e" * 9, "en-\u00e9", "1", "en\t"])
def test_what_is_no_language_range_is_a_bad_argument(post: Post, wanted: str) -> None:
    said = talk(post.handler, HELLO + f"C: LANG {wanted}\nS: {{said}}").names["said"]
    assert said in ("-ERR Bad argument", "-ERR Not a command of POP3")


def test_utf8_comes_before_the_login_and_behind_stls(post: Post) -> None:
    talk(
        post.handler,
        HELLO + "C: UTF8\nS: +OK UTF-8 mode\nC: UTF8\nS: +OK *\nC: STLS\nS: -ERR STLS comes before UTF8",
    )
    talk(post.handler, HELLO + "C: STLS\nS: +OK *\nC! tls\nC: STLS\nS: -ERR TLS is already on\nC: UTF8\nS: +OK *")
    talk(post.handler, LOGIN + "C: UTF8\nS: -ERR Already logged in")


@pytest.mark.parametrize("mode", ["", "C: UTF8\nS: +OK *\n"])
def test_a_letter_with_utf8_in_its_header_comes_as_it_is_in_either_mode(post: Post, mode: str) -> None:
    letter = f"{CYRILLIC}\r\n\r\nbody\r\n".encode()
    post.shelf.put(letter, prefix=b"")
    login = mode + LOGIN.strip().partition("\n")[2]
    talk(
        post.handler,
        HELLO
        + login
        + f"\nC: LIST 1\nS: +OK 1 {len(letter)}\nC: RETR 1\nS: +OK {len(letter)} octets\n"
        + f"S: {CYRILLIC}\nS:\nS: body\nS: .\nC: TOP 1 0\nS: +OK *\nS: {CYRILLIC}\nS:\nS: .",
    )
