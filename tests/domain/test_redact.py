"""Secrets do not get out, and texts are harmless to store and to show."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggernaut.domain.limits import KNOWN_SECRETS
from juggernaut.domain.redact import MASK, Secret, clean, scrub, scrub_json, shorten
from juggernaut.domain.secret_forms import hides, remember, remembered

CANARY = "FAKE-canary/é 0123456789"
SHAPES = (
    "ghp_" + "FAKE" * 9,
    "gho_" + "FAKE" * 9,
    "github_pat_" + "FAKE_" * 6,
    "sk-ant-" + "FAKE-" * 6,
    "sk-or-v1-" + "FAKE" * 6,
    "sk-" + "FAKE" * 6,
    "AKIA" + "FAKE" * 4,
    "xoxb-" + "FAKE-" * 4,
    "AIza" + "FAKE" * 9,
)


def test_a_secret_does_not_show_itself() -> None:
    """Not by repr, str, format, JSON or pickle; only when asked."""
    secret = Secret(CANARY)
    assert CANARY not in f"{secret!r} {secret} {[secret]}"
    assert secret.reveal() == CANARY
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "form",
    [
        CANARY,
        CANARY[::-1],
        json.dumps(CANARY),
        CANARY.encode().hex(),
        CANARY.encode().hex().upper(),
        CANARY.encode().hex(" "),
        "FAKE-canary%2F%C3%A9%200123456789",
        "FAKE-canary%2f%c3%a9+0123456789",
        "".join(f"%{byte:02X}" for byte in CANARY.encode()),
        f"\x1b[01;31m\x1b[K{CANARY[:5]}\x1b[m\x1b[K{CANARY[5:]}",
        f"{CANARY[:5]}\x00\x07{CANARY[5:]}".replace("\x00", ""),
    ],
)
def test_a_known_value_is_found_in_every_form(form: str) -> None:
    """Plain, reversed, in JSON, hex, url-quoted, coloured by grep, with what is not shown in it."""
    found = scrub(f"before {form} after", [Secret(CANARY)])
    assert clean(form) not in found
    assert found.startswith("before ") and found.endswith(" after")
    assert MASK in found and "canary" not in found


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", [0, 1, 2, 3, 17])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_base64_is_found_at_every_place(
    encode: Callable[[bytes], bytes], before: int, after: int
) -> None:
    """A login `user:token` is one text in base64: the token begins at any of three places."""
    whole = encode(b"a" * before + CANARY.encode() + b"z" * after).decode()
    found = scrub(f"Basic {whole}", [Secret(CANARY)])
    assert MASK in found
    left = found.removeprefix("Basic ").replace(MASK, "")
    assert len(left) <= len(whole) - 4 * (len(CANARY.encode()) // 3) + 4


def test_lines_of_a_key_are_found_one_by_one() -> None:
    """A file that is shown with line numbers; a short line says nothing."""
    lines = ["FAKE" * 16, "EKAF" * 16, "x = 1"]
    found = scrub(
        "\n".join(f"{n}: {line}" for n, line in enumerate(lines)), [Secret("\n".join(lines))]
    )
    assert found == f"0: {MASK}\n1: {MASK}\n2: x = 1"


def test_what_the_process_knows_is_scrubbed_without_being_named() -> None:
    """Also where nobody hands the secrets on; forgotten with the block that knew them."""
    with remembered([CANARY]):
        remember("FAKE-newer-canary")
        assert scrub(f"{CANARY} FAKE-newer-canary") == f"{MASK} {MASK}"
    assert scrub(CANARY) == CANARY


def test_the_number_of_known_secrets_is_bounded() -> None:
    """The newest are kept."""
    with remembered(f"FAKE-canary-{number:04}" for number in range(KNOWN_SECRETS + 9)):
        assert scrub("FAKE-canary-0000") == "FAKE-canary-0000"
        assert scrub(f"FAKE-canary-{KNOWN_SECRETS + 8:04}") == MASK


def test_a_short_value_blanks_nothing() -> None:
    """An empty or tiny secret does not destroy texts."""
    assert scrub("a text", [Secret(""), Secret("a")]) == "a text"


@pytest.mark.parametrize("token", SHAPES)
def test_token_shapes(token: str) -> None:
    """Unknown tokens are known by their shape, whatever ends right before them."""
    signs = ("token=", "\x1b[31m", "\x1b[0;1m\x1b[K", "[31m", "[K", "TOKEN_", "\\n", "\x1b]0;t\x07")
    for before in signs:
        assert token not in scrub(f"{before}{token};"), before
    assert token not in scrub(f"{token[:3]}\x1b[0m{token[3:]}")


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("postgresql://bob:FAKEpassword@db:5432/x", "FAKEpassword"),
        ("https://user:FAKEpassword@host/", "FAKEpassword"),
        ("\x1b[31mpostgresql://bob:FAKEpassword@db:5432/x", "FAKEpassword"),
        ("[0mpostgresql://bob:FAKEpassword@db:5432/x", "FAKEpassword"),
        ("Authorization: Bearer FAKEFAKEFAKEFAKE", "FAKEFAKEFAKEFAKE"),
        ("\x1b[1mBearer FAKEFAKEFAKEFAKE", "FAKEFAKEFAKEFAKE"),
        ("AUTHORIZATION: basic RkFLRS1jYW5hcnk=".title(), "Rkflrs1Jyw5Hcnk"),
        ("-----BEGIN RSA PRIVATE KEY-----\nFAKE\n-----END RSA PRIVATE KEY-----", "FAKE"),
        ("-----BEGIN PRIVATE KEY-----\nFAKE cut off", "FAKE"),
    ],
)
def test_places_where_secrets_stand(text: str, gone: str) -> None:
    """Passwords in URLs, bearer tokens, private keys, also one that is cut off."""
    assert gone not in scrub(text)


def test_ordinary_code_stays_as_it_is() -> None:
    """An edit by exact text must still find its place."""
    code = 'def sk(task-id):\n\ttoken = request["token"]  # sk-1, https://a.b/c:d@e\r\n'
    code += "task-management-of-everything = desk-lamp-and-something-else; Basic authentication\n"
    assert scrub(code) == code


def test_json_is_scrubbed_by_key_and_by_value() -> None:
    """A text under a telling key goes; a count under a similar key stays."""
    value = {
        "password": "FAKEhunter2",
        "github_token": "FAKEtoken",
        "input_tokens": 7,
        "list": [CANARY, {"note": CANARY}],
    }
    found = scrub_json(value, [Secret(CANARY)])
    assert found == {
        "password": MASK,
        "github_token": MASK,
        "input_tokens": 7,
        "list": [MASK, {"note": MASK}],
    }


def test_hidden_marks_are_shown() -> None:
    """Bidi marks cannot turn a text round; control characters and NUL are gone."""
    assert clean("a\u202eb") == "a<U+202E>b"
    assert clean("a\x00\x1b[31mb\x07\n\tc\ud800") == "a\ufffd[31mb\n\tc\ufffd"


def test_a_long_text_loses_its_middle() -> None:
    """The end of an output says most."""
    text = "start " + "x" * 1_000 + " 3 failed"
    found = shorten(text, 200)
    assert len(found) <= 200
    assert found.startswith("start")
    assert found.endswith("3 failed")
    assert "characters cut" in found


@given(st.text(), st.integers(min_value=0, max_value=300))
def test_any_text_can_be_stored(text: str, limit: int) -> None:
    """UTF-8, no NUL, no longer than the limit."""
    found = scrub(text, limit=limit)
    found.encode("utf-8")
    assert "\x00" not in found
    assert len(found) <= limit


@given(st.text(alphabet=st.characters(codec="ascii"), min_size=6), st.text(), st.text())
def test_a_secret_never_survives(secret: str, before: str, after: str) -> None:
    """Whatever stands around it, unless it is a plain word or the mask itself holds it."""
    if hides(secret) and secret.strip() and secret not in MASK:
        found = scrub(f"{before}{secret}{after}", [Secret(secret)], limit=10_000)
        assert secret not in found.replace(MASK, "")


@pytest.mark.parametrize("word", ["postgres", "password", "Juggernaut"])
def test_a_plain_word_is_no_secret_that_can_be_hidden(word: str) -> None:
    """As a password it is worth nothing, and the code that says it must not change."""
    assert scrub(f"import {word}", [Secret(word)]) == f"import {word}"
    assert MASK in scrub(f"{word}7 it is", [Secret(f"{word}7")])
