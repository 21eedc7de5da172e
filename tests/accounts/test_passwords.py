"""Hashes and keys: known answers, foreign hashes, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.accounts import passwords
from postroom.accounts.passwords import (
    NoLibcrypt,
    check_password,
    hash_password,
    ready_hash,
    saslprep,
    scram_keys,
    spellings,
    verify,
)
from postroom.net.limits import HASH_OCTETS, PASSWORD_OCTETS, SHA_CRYPT_ROUNDS

READY = [
    "{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu",
    "{SHA512-CRYPT}$6$abc$rvqzMBuMVukmply9mZJpW0wJMdDfgUKLDrSNxf9l66h/ytQiKNAdqHSj5YPJpxWJpVjRXibQXRddCl9xYHQnd0",
    "{SHA256-CRYPT}$5$abc$6va2Z4O.keO7R84v9g0B9d2NkB7NOyTy0sMeQ5Z3LLA",
    "{CRYPT}$6$abc$rvqzMBuMVukmply9mZJpW0wJMdDfgUKLDrSNxf9l66h/ytQiKNAdqHSj5YPJpxWJpVjRXibQXRddCl9xYHQnd0",
    "{CRYPT}$1$abc$BXBqpb9BZcZhXLgbee.0s/",
    "{CRYPT}$y$j9T$abcdefgh$79JhsKZwfY/UU2qrk3QcffpHl7EyEEJK0pA5pD1wu73",
    "{CRYPT}abJnggxhB/yWI",
]
"""Of the word "password"."""


@pytest.mark.parametrize("marked", READY)
def test_a_ready_hash_opens_for_its_password_alone(marked: str) -> None:
    kept = ready_hash(marked)
    assert kept == marked
    assert verify(kept, b"password")
    assert not verify(kept, b"Password")
    assert not verify(kept, b"")


def test_a_ready_argon2id_hash() -> None:
    made = hash_password(b"secret")
    assert ready_hash(made) == made
    assert verify(made, b"secret")
    assert not verify(made, b"secrets")
    assert ready_hash(made.replace("ARGON2ID", "argon2id")) == made


@pytest.mark.parametrize(
    "marked",
    [
        "",
        "password",
        "{PLAIN}password",
        "{SSHA}abcd",
        "{CRYPT}",
        "{CRYPT}*0",
        "{CRYPT}!abJnggxhB/yWI",
        "{CRYPT}abJnggxhB/yW",
        "{CRYPT}$9$abc$def",
        "$6$abc$rvqzMBuMVukmply9mZJpW0wJMdDfgUKLDrSNxf9l66h",
        "{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2aw",
        "{BLF-CRYPT}$2b$03$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu",
        "{BLF-CRYPT}$2b$31$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu",
        "{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuvWG29KuyeAicPCJODk1zjyGvyQUU2awu",
        "{BLF-CRYPT}" + READY[1].partition("}")[2],
        "{SHA512-CRYPT}$6$rounds=999999999$abc$" + "x" * 86,
        "{SHA512-CRYPT}$6$abc$short",
        "{ARGON2ID}$argon2id$v=19$m=65536",
        "{ARGON2ID}$argon2id$v=19$m=99999999,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg",
        "{ARGON2ID}$argon2id$v=19$m=64,t=99999999,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg",
        "{ARGON2ID}$argon2i$v=19$m=64,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg",
        "{ARGON2ID}" + READY[0],
        READY[0] + "\n",
        READY[0] + " ",
        "{CRYPT}" + "a" * 5000,
    ],
)
def test_a_malformed_hash_is_refused_when_it_is_set(marked: str) -> None:
    with pytest.raises(ValueError):
        ready_hash(marked)


def test_the_refusal_names_the_known_forms() -> None:
    with pytest.raises(ValueError, match=r"\{ARGON2ID\}, \{BLF-CRYPT\}, \{SHA512-CRYPT\}.*\{CRYPT\}"):
        ready_hash("{PLAIN-MD5}5f4dcc3b5aa765d61d8327deb882cf99")


def test_limits_of_a_ready_hash() -> None:
    with pytest.raises(ValueError, match=str(HASH_OCTETS)):
        ready_hash("{CRYPT}$y$j9T$" + "a" * (HASH_OCTETS - 6))
    salt = f"$6$rounds={SHA_CRYPT_ROUNDS + 1}$abc$"
    with pytest.raises(ValueError, match="costs too much"):
        ready_hash("{SHA512-CRYPT}" + salt + "x" * 86)


@given(st.text(max_size=120))
@settings(max_examples=60, deadline=None)
def test_hostile_hash_text_raises_only_value_error(text: str) -> None:
    for marked in (text, "{CRYPT}" + text, "{ARGON2ID}$argon2id$" + text):
        try:
            ready_hash(marked)
        except ValueError:
            pass


def test_nul_never_shortens_a_password() -> None:
    assert not verify(READY[2], b"password\x00more")
    assert not verify(READY[2], b"password\x00")


def test_without_libcrypt_a_crypt_hash_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_crypt_r", None)
    with pytest.raises(NoLibcrypt, match="libcrypt"):
        ready_hash(READY[0])
    with pytest.raises(NoLibcrypt):
        verify(READY[0], b"password")


def test_two_hashes_of_one_password_differ() -> None:
    assert hash_password(b"x") != hash_password(b"x")


def test_scram_keys_are_rfc_7677s_example() -> None:
    keys = scram_keys(b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    assert keys is not None
    first, server = "n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"{first},{server},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,{server}".encode()
    signature = base64.b64encode(hmac.digest(keys.server_key, message, "sha256"))
    assert signature == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_signature = hmac.digest(keys.stored_key, message, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, client_signature, strict=True))
    assert hashlib.sha256(client_key).digest() == keys.stored_key


def test_scram_keys_use_a_new_salt_and_what_all_clients_compute() -> None:
    one, two = scram_keys(b"pencil"), scram_keys(b"pencil")
    assert one is not None and two is not None
    assert one.salt != two.salt and one.iterations == 0x10000


def test_no_scram_for_what_saslprep_refuses() -> None:
    assert scram_keys(b"\xff\xfe") is None
    assert scram_keys(b"a\x07b") is None


@pytest.mark.parametrize(
    ("given_text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
    ],
)
def test_saslprep_examples_of_rfc_4013_3(given_text: str, prepared: str) -> None:
    assert saslprep(given_text) == prepared


@pytest.mark.parametrize("refused", ["\u0007", "\u0627\u0031", "", "\u00ad"])
def test_saslprep_refuses(refused: str) -> None:
    with pytest.raises(ValueError):
        saslprep(refused)


@given(st.text(max_size=40))
@settings(max_examples=100)
def test_saslprep_is_idempotent_or_a_value_error(text: str) -> None:
    try:
        prepared = saslprep(text)
    except ValueError:
        return
    try:
        assert saslprep(prepared) == prepared
    except ValueError:
        pass  # compatibility forms may bring a right-to-left letter to an end where it is not allowed


def test_one_password_in_two_unicode_forms_is_one() -> None:
    composed, apart = "pässwörd".encode(), b"pa\xcc\x88sswo\xcc\x88rd"
    assert composed != apart
    assert verify(hash_password(apart), composed)
    assert verify(hash_password(composed), apart)


def test_octets_that_are_no_text_are_a_password_too() -> None:
    assert spellings(b"\xff") == (b"\xff",)
    assert verify(hash_password(b"\xff"), b"\xff")


@pytest.mark.parametrize("password", [b"", b"a\x00b", b"a\r", b"a\n", b"x" * (PASSWORD_OCTETS + 1)])
def test_passwords_that_no_mechanism_could_say(password: bytes) -> None:
    with pytest.raises(ValueError):
        check_password(password)


def test_the_longest_password() -> None:
    check_password(b"x" * PASSWORD_OCTETS)


def test_keys_do_not_show_in_a_repr() -> None:
    keys = scram_keys(b"pencil")
    assert keys is not None and keys.stored_key.hex() not in repr(keys) and repr(keys.stored_key) not in repr(keys)
