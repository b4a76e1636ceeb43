"""REST: an App, its installation and the tokens that it mints."""

from __future__ import annotations

from tests.fakes.github.access import mint
from tests.fakes.github.answers import Answer, Json, Refused, not_found
from tests.fakes.github.render import stamp
from tests.fakes.github.routes import Call, on
from tests.fakes.github.state import App

REPO = "/repos/{owner}/{repo}"


@on("GET", "/app")
def get_app(call: Call) -> Answer:
    """Say which App signed this."""
    return Answer(200, call.render.app(_app(call)))


@on("GET", f"{REPO}/installation")
def get_repo_installation(call: Call) -> Answer:
    """Find the installation of the calling App on a repository."""
    app = _app(call)
    if call.state.repo(f"{call.params['owner']}/{call.params['repo']}") is None:
        raise not_found()
    return Answer(200, _installation(call, app.installation_id))


@on("GET", "/app/installations/{installation_id}")
def get_installation(call: Call) -> Answer:
    """Read an installation of the calling App."""
    return Answer(200, _installation(call, _installed(call)))


def _app(call: Call) -> App:
    """Give the App that signed; a mere token is refused."""
    if call.caller.app is None:
        raise Refused(401, "A JSON web token could not be decoded")
    return call.caller.app


def _installed(call: Call) -> int:
    """Check the number of an installation."""
    number = _app(call).installation_id
    if call.params["installation_id"] != str(number):
        raise not_found()
    return number


def _installation(call: Call, number: int) -> Json:
    """Write an installation."""
    app, url = _app(call), f"{call.render.base}/app/installations/{number}"
    now = stamp(call.state.now())
    return {
        "id": number,
        "account": call.render.user("octo"),
        "access_tokens_url": f"{url}/access_tokens",
        "repositories_url": f"{call.render.base}/installation/repositories",
        "html_url": f"{call.render.web}/settings/installations/{number}",
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": call.state.person("octo").id,
        "target_type": "User",
        "permissions": app.permissions,
        "events": [],
        "repository_selection": "selected",
        "single_file_name": None,
        "suspended_at": None,
        "suspended_by": None,
        "created_at": now,
        "updated_at": now,
    }


@on("POST", "/app/installations/{installation_id}/access_tokens")
def create_installation_token(call: Call) -> Answer:
    """Mint a token for an hour."""
    _installed(call)
    names = call.body.get("repositories")
    token = mint(call.state, _app(call), names, call.body.get("permissions"))
    body = {
        "token": token.text,
        "expires_at": stamp(token.expires_at),
        "permissions": token.permissions,
        "repository_selection": "selected" if names else "all",
    }
    return Answer(201, body)
