"""How repositories and API addresses are named, and what is refused."""

from __future__ import annotations

import pytest

from juggernaut.adapters.forges.github.names import Place, looks_remote
from juggernaut.domain.errors import ConfigError, InvalidInput


@pytest.mark.parametrize(
    "written",
    [
        "octo/app",
        "https://github.com/octo/app",
        "https://github.com/octo/app.git",
        "https://github.com/octo/app/",
        "git@github.com:octo/app.git",
    ],
)
def test_a_repository_has_one_name(written: str) -> None:
    """However a person writes it; and it is never taken for a path."""
    assert str(Place.of().repo(written)) == "octo/app"
    assert looks_remote(written)


@pytest.mark.parametrize(
    "written",
    [
        "octo",
        "octo/app/more",
        "octo/..",
        "-octo/app",
        "octo/a b",
        "https://evil.example/octo/app",
        "https://x:FAKE@github.com/octo/app",
        "git@evil.example:octo/app",
        "octo/app?x=1",
        "octo/ap\np",
    ],
)
def test_another_place_is_refused(written: str) -> None:
    """Options, other hosts, logins in an address."""
    with pytest.raises(InvalidInput, match="owner/name"):
        Place.of().repo(written)


def test_paths_stay_on_this_machine() -> None:
    """What begins with a slash or a dot belongs to the local forge."""
    assert not any(looks_remote(path) for path in ("/srv/app.git", "./app", "../a/b", "app"))


@pytest.mark.parametrize(
    ("api", "web"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://git.example.com/api/v3/", "https://git.example.com"),
        ("https://api.tenant.ghe.com", "https://tenant.ghe.com"),
        ("http://127.0.0.1:8080/api/v3", "http://127.0.0.1:8080"),
    ],
)
def test_git_lives_beside_the_api(api: str, web: str) -> None:
    """Of github.com, of an Enterprise server, of a tenant, of a test."""
    assert Place.of(api).web == web


@pytest.mark.parametrize(
    "api",
    [
        "http://git.example.com/api/v3",
        "ftp://api.github.com",
        "https://user:FAKE-word@git.example.com",
        "https://",
        "http://127.0.0.1.example.com",
    ],
)
def test_a_token_goes_over_https_only(api: str) -> None:
    """And the message does not repeat a password."""
    with pytest.raises(ConfigError, match="GITHUB_API_URL") as caught:
        Place.of(api)
    assert "FAKE-word" not in str(caught.value)
