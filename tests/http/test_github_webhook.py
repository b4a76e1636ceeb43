"""The door for GitHub's deliveries, over real HTTP, with the real database behind it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from httpx2 import AsyncClient, Response

from juggernaut.domain.errors import ConfigError, DatabaseUnreachable
from juggernaut.domain.limits import WEBHOOK_BYTES
from juggernaut.http.github_webhook import EVENTS, PATH, github_door, signed
from juggernaut.http.serving import bind, serve
from tests.flow.pull_people import CI, LocalPeople, parked
from tests.roles.bench import Bench
from tests.roles.conftest import bench

__all__ = ["bench"]

SECRET = "FAKE-" + "webhook-secret"
REPOSITORY = {"full_name": "octo/app"}


@dataclass(slots=True)
class Door:
    """The door as GitHub sees it, and what came through it."""

    client: AsyncClient
    hurried: list[tuple[str, int]] = field(default_factory=list)
    away: bool = False

    async def hurry(self, repo: str, number: int) -> bool:
        """Keep a hint, as the store would."""
        if self.away:
            raise DatabaseUnreachable("no answer")
        self.hurried.append((repo, number))
        return True

    async def send(
        self, body: bytes | object, event: str = "pull_request", secret: str = SECRET
    ) -> Response:
        """Send a delivery, signed."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"x-github-event": event, "x-hub-signature-256": f"sha256={signature}"}
        return await self.client.post(PATH, content=raw, headers=headers)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Serve the door on a free port."""
    place = bind("127.0.0.1", 0)
    async with AsyncClient(base_url=f"http://127.0.0.1:{place.getsockname()[1]}") as client:
        found = Door(client)
        app = github_door(lambda: SECRET, lambda repo, number: found.hurry(repo, number))
        serving = asyncio.create_task(serve(app, place))
        yield found
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        place.close()


def about(**more: object) -> dict[str, object]:
    """Write a delivery, with more in it than is read."""
    return {"action": "whatever", "repository": {**REPOSITORY, "private": True}, **more}


@pytest.mark.parametrize(
    ("event", "more", "numbers"),
    [
        ("pull_request", {"pull_request": {"number": 7}, "number": 7}, [7]),
        ("pull_request_review", {"pull_request": {"number": 7}}, [7]),
        ("issue_comment", {"issue": {"number": 8}}, [8]),
        ("check_run", {"check_run": {"pull_requests": [{"number": 2}, {"number": 1}]}}, [1, 2]),
        ("check_suite", {"check_suite": {"pull_requests": []}}, []),
        ("push", {"pull_request": {"number": 7}}, []),
        ("ping", {}, []),
    ],
)
async def test_a_delivery_hurries_what_it_names(
    door: Door, event: str, more: dict[str, object], numbers: list[int]
) -> None:
    """A known event, each pull request in it once; what is unknown is taken and forgotten."""
    assert (await door.send(about(**more), event)).status_code == 202
    assert door.hurried == [("octo/app", number) for number in numbers]


async def test_what_is_not_a_delivery_is_refused(door: Door) -> None:
    """Unsigned, wrongly signed, altered, too large, of another form, or for another door."""
    good = about(pull_request={"number": 7})
    raw = json.dumps(good).encode()
    unsigned = await door.client.post(PATH, content=raw, headers={"x-github-event": "ping"})
    assert unsigned.status_code == 401
    assert (await door.send(good, secret="FAKE-another-secret")).status_code == 401
    assert (await door.send(b" " * (WEBHOOK_BYTES + 1))).status_code == 413
    wrong: list[object] = [b"{", [], {}, about(pull_request={"number": "x"})]
    wrong += [{**good, "repository": {"full_name": "../x/y"}}, about(pull_request={"number": -1})]
    wrong += [about(check_run={"pull_requests": [{"number": n} for n in range(1, 30)]})]
    for body in wrong:
        assert (await door.send(body)).status_code == 400, body
    assert (await door.client.get(PATH)).status_code == 405
    assert (await door.client.get("/docs")).status_code == 404
    assert door.hurried == []
    door.away = True
    assert (await door.send(good)).status_code == 503


def test_a_signature_needs_the_secret() -> None:
    """No secret signs nothing, and text that is no ASCII is no signature."""
    empty = "sha256=" + hmac.new(b"", b"body", hashlib.sha256).hexdigest()
    assert not signed("", b"body", empty)
    assert not signed(SECRET, b"body", "sha256=\u00e9")
    assert "status" not in EVENTS


async def test_a_hint_moves_the_next_look_and_nothing_else(bench: Bench) -> None:
    """However the task names the repository; a repeat, or another number, changes nothing."""
    people = LocalPeople(bench)
    await people.protect((CI,))
    task = await parked(bench)
    number = (await people.pull(task)).number
    store, watches = bench.services.store, "juggernaut.pull_watches"
    for name in ("octo/App", "https://github.com/octo/app.git", "git@github.com:Octo/app"):
        later = "next_look_at = now() + interval '4 minutes'"
        await bench.operator.execute(f"UPDATE {watches} SET {later}, repo = $1", name)
        assert not await store.hurry_pull("octo/app", number + 1)
        assert not await store.hurry_pull("octo/apple", number)
        assert await store.hurry_pull("octo/app", number), name
        assert not await store.hurry_pull("octo/app", number), "it is due already"
    due = await bench.rows(f"SELECT next_look_at <= now() AS due FROM {watches}")
    assert [row["due"] for row in due] == [True]
    assert (await bench.task(task))["status"] == "awaiting_merge"


def test_a_place_that_is_taken_is_said_so() -> None:
    """At the start, with the setting's name."""
    with bind("127.0.0.1", 0) as place:
        port = place.getsockname()[1]
        with pytest.raises(ConfigError, match=f"PORT {port} at 127.0.0.1"):
            bind("127.0.0.1", port)
