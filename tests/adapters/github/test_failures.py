"""What refusals, limits, lost answers and outages become."""

from __future__ import annotations

import time

import pytest

from juggernaut.adapters.forges.github.failures import Refused, failure, wait_of
from juggernaut.adapters.forges.github.wire import Reply
from juggernaut.domain.errors import (
    ForgeBusy,
    ForgeError,
    ForgeUnauthorized,
    ForgeUnreachable,
    HeadMoved,
    InvalidInput,
    PullClosed,
    PullConflict,
)
from juggernaut.domain.limits import FORGE_BUSY_CAP_SECONDS, FORGE_BUSY_SECONDS
from tests.adapters.github.conftest import BRANCH, CHECK, REPO, Bench
from tests.fakes.github.answers import Answer
from tests.fakes.github.faults import Fault

PULLS = f"/repos/{REPO}/pulls"


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (401, {}, ForgeUnauthorized),
        (403, {}, ForgeUnauthorized),
        (403, {"retry-after": "7"}, ForgeBusy),
        (429, {}, ForgeBusy),
        (301, {}, InvalidInput),
        (404, {}, Refused),
        (409, {}, Refused),
        (422, {}, Refused),
        (500, {}, ForgeUnreachable),
        (503, {"retry-after": "7"}, ForgeUnreachable),
    ],
)
def test_each_status_has_its_error(status: int, headers: dict[str, str], kind: type) -> None:
    """And its message names the request, the status and the reason."""
    error = failure("PUT", "/a/path", Reply(status, headers, {"message": "because"}))
    assert type(error) is kind
    assert all(word in str(error) for word in ("PUT /a/path", str(status), "because"))


def test_only_a_person_can_help_with_a_credential() -> None:
    """401 is not retried; a limit and an outage are."""
    codes = {"forge_unauthorized": False, "forge_busy": True, "forge_unreachable": True}
    kinds = (ForgeUnauthorized, ForgeBusy, ForgeUnreachable)
    assert {kind.code: kind.retryable for kind in kinds} == codes


def test_how_long_to_wait() -> None:
    """What the headers say, a minute without them, an hour at most."""
    reset = str(int(time.time()) + 100)
    gone = {"x-ratelimit-remaining": "0"}
    told = {
        95 < (wait_of(Reply(403, {**gone, "x-ratelimit-reset": reset}, None)) or 0) <= 100,
        wait_of(Reply(403, {**gone, "x-ratelimit-reset": "5"}, None)) == 1.0,
        wait_of(Reply(403, {"retry-after": "999999"}, None)) == FORGE_BUSY_CAP_SECONDS,
        wait_of(Reply(403, {}, {"message": "a secondary Rate Limit"})) == FORGE_BUSY_SECONDS,
        wait_of(Reply(403, {"x-ratelimit-remaining": "7"}, {"message": "no"})) is None,
    }
    assert told == {True}


@pytest.mark.parametrize("status", [403, 429])
async def test_a_primary_limit_closes_the_door(bench: Bench, status: int) -> None:
    """After it nothing more is sent until the reset, by anybody in this process."""
    bench.double.faults.primary_limit("GET", f"{PULLS}*", reset_seconds=50, status=status)
    with pytest.raises(ForgeBusy) as caught:
        await bench.forge.find_pull(REPO, BRANCH)
    assert 30 < caught.value.retry_after_seconds <= 50
    sent = bench.double.journal.rest_calls
    for ask in (bench.forge.branch_head(REPO, None), bench.forge.promises(REPO)):
        with pytest.raises(ForgeBusy, match="are left"):
            await ask
    assert bench.double.journal.rest_calls == sent


async def test_a_secondary_limit_at_a_write(bench: Bench) -> None:
    """Nothing was done, and the wish of GitHub is handed on."""
    bench.double.human.push(REPO, BRANCH, {"app.py": "x\n"})
    bench.double.faults.secondary_limit("POST", PULLS, retry_after=13)
    with pytest.raises(ForgeBusy) as caught:
        await bench.forge.open_pull(REPO, BRANCH, "T", "B")
    assert caught.value.retry_after_seconds == 13
    assert bench.count("POST", PULLS) == 1


@pytest.mark.parametrize("fault", ["lose_reply", "fail_after"])
async def test_a_lost_answer_is_looked_up_and_not_repeated(bench: Bench, fault: str) -> None:
    """Opening, merging, saying, closing: each went out once, and each is known to have happened."""
    break_once = getattr(bench.double.faults, fault)
    bench.double.human.push(REPO, BRANCH, {"app.py": "x\n"})
    break_once("POST", PULLS)
    pull = await bench.forge.open_pull(REPO, BRANCH, "T", "B")
    assert (pull.number, bench.count("POST", PULLS)) == (1, 1)

    comments = f"/repos/{REPO}/issues/1/comments"
    break_once("POST", comments)
    said = await bench.forge.say(REPO, 1, "hello", "Hello")
    assert said == await bench.forge.say(REPO, 1, "hello", "Hello again")
    assert bench.count("POST", comments) == 1

    await bench.forge.post_check(REPO, pull.head_sha, CHECK, True, "passed")
    break_once("PUT", f"{PULLS}/1/merge")
    merged = await bench.merge(pull)
    assert (merged.state, bench.count("PUT", f"{PULLS}/1/merge")) == ("merged", 1)

    again = await bench.opened("feature/task-2")
    break_once("PATCH", f"{PULLS}/{again.number}")
    closed = await bench.forge.close_pull(REPO, again.number, "not needed")
    assert (closed.state, closed.ended_by) == ("closed", "juggernaut-bot")
    assert bench.count("PATCH", f"{PULLS}/{again.number}") == 1

    break_once("POST", "*/git-receive-pack")
    assert await bench.forge.delete_branch(REPO, "feature/task-2", again.head_sha)
    assert await bench.forge.branch_head(REPO, "feature/task-2") is None


async def test_a_lost_request_is_not_repeated_either(bench: Bench) -> None:
    """Nobody knows whether it came in: the next attempt looks and asks again."""
    bench.double.human.push(REPO, BRANCH, {"app.py": "x\n"})
    bench.double.faults.lose_request("POST", PULLS)
    with pytest.raises(ForgeUnreachable):
        await bench.forge.open_pull(REPO, BRANCH, "T", "B")
    assert bench.count("POST", PULLS) == 1
    assert (await bench.forge.open_pull(REPO, BRANCH, "T", "B")).number == 1

    pull = await bench.forge.find_pull(REPO, BRANCH)
    assert pull is not None
    await bench.forge.post_check(REPO, pull.head_sha, CHECK, True, "passed")
    bench.double.faults.lose_request("PUT", f"{PULLS}/1/merge")
    with pytest.raises(ForgeUnreachable):
        await bench.merge(pull)
    assert (await bench.merge(pull)).state == "merged"


async def test_a_read_is_repeated_once(bench: Bench) -> None:
    """One cut connection is not worth an attempt; two are."""
    bench.double.faults.lose_request("GET", PULLS)
    assert await bench.forge.find_pull(REPO, BRANCH) is None
    bench.double.faults.lose_request("GET", PULLS, times=2)
    with pytest.raises(ForgeUnreachable, match="ConnectionError"):
        await bench.forge.find_pull(REPO, BRANCH)


async def test_an_answer_that_never_comes(bench: Bench) -> None:
    """A call ends by its own bound, and the forge goes on with the next."""
    bench.wire._call_seconds = 0.2
    held = bench.double.faults.hold("GET", PULLS)
    again = bench.double.faults.hold("GET", PULLS, nth=2)
    with pytest.raises(ForgeUnreachable, match=r"no answer to GET .* in 0\.2 s"):
        await bench.forge.find_pull(REPO, BRANCH)
    held.set()
    again.set()
    bench.wire._call_seconds = 10.0
    assert await bench.forge.find_pull(REPO, BRANCH) is None


async def test_nobody_listens(bench: Bench) -> None:
    """A port without a server is an outage, not a crash."""
    bench.wire._api = "http://127.0.0.1:9"
    with pytest.raises(ForgeUnreachable):
        await bench.forge.branch_head(REPO, None)


async def test_what_a_refused_merge_means(bench: Bench) -> None:
    """A moved head, a conflict, a close, a red check: each by its own error."""
    pull = await bench.verified()
    put = f"{PULLS}/1/merge"
    bench.double.faults.before(
        "PUT", put, lambda: bench.double.human.push(REPO, BRANCH, {"app.py": "late\n"})
    )
    with pytest.raises(HeadMoved, match="verify it again"):
        await bench.merge(pull)

    second = await bench.verified("feature/task-2")
    bench.double.human.push(REPO, "main", {"app.py": "theirs\n"})
    with pytest.raises(PullConflict, match="does not apply to main"):
        await bench.merge(second)

    third = await bench.verified("feature/task-3")
    path = f"{PULLS}/{third.number}/merge"
    bench.double.faults.before(
        "PUT", path, lambda: bench.double.human.close(REPO, third.number, "ann")
    )
    with pytest.raises(PullClosed, match="closed by ann"):
        await bench.merge(third)

    fourth = await bench.opened("feature/task-4")
    with pytest.raises(ForgeError, match="is missing"):
        await bench.merge(fourth)
    await bench.forge.post_check(REPO, fourth.head_sha, CHECK, False, "1 failed")
    with pytest.raises(ForgeError, match="is red"):
        await bench.merge(fourth)
    assert bench.count("PUT", f"{PULLS}/{fourth.number}/merge") == 0


async def test_a_repository_that_cannot_be_seen(bench: Bench) -> None:
    """GitHub says 404 for both; so does the message."""
    for ask in (bench.forge.branch_head("octo/none", None), bench.forge.promises("octo/none")):
        with pytest.raises(InvalidInput, match="not at GitHub, or the token may not see it"):
            await ask


async def test_a_page_in_between_is_no_answer(bench: Bench) -> None:
    """A portal that answers 200 with HTML is an outage."""
    page = Answer(200, raw=b"<html>log in</html>")
    bench.double.faults.add("GET", "*", Fault(instead=page), times=9)
    with pytest.raises(ForgeUnreachable, match="no JSON"):
        await bench.forge.find_pull(REPO, BRANCH)
