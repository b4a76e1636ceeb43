"""Secrets do not get out, and texts are harmless to store and to show."""

from __future__ import annotations

import base64
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggernaut.domain.redact import MASK, Secret, clean, scrub, scrub_json, shorten

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
        CANARY.encode().hex(),
        base64.b64encode(CANARY.encode()).decode(),
        "FAKE-canary%2F%C3%A9%200123456789",
    ],
)
def test_a_known_value_is_found_in_every_form(form: str) -> None:
    """Plain, reversed, hex, base64, url-quoted."""
    found = scrub(f"before {form} after", [Secret(CANARY)])
    assert form not in found
    assert MASK in found


def test_a_short_value_blanks_nothing() -> None:
    """An empty or tiny secret does not destroy texts."""
    assert scrub("a text", [Secret(""), Secret("a")]) == "a text"


@pytest.mark.parametrize("token", SHAPES)
def test_token_shapes(token: str) -> None:
    """Unknown tokens are known by their shape."""
    assert token not in scrub(f"token={token};")


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("postgresql://bob:FAKEpassword@db:5432/x", "FAKEpassword"),
        ("https://user:FAKEpassword@host/", "FAKEpassword"),
        ("Authorization: Bearer FAKEFAKEFAKEFAKE", "FAKEFAKEFAKEFAKE"),
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
    """Whatever stands around it, unless the mask itself holds it."""
    if secret.strip() and secret not in MASK:
        found = scrub(f"{before}{secret}{after}", [Secret(secret)], limit=10_000)
        assert secret not in found.replace(MASK, "")
