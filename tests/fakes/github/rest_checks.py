"""REST: commit statuses, check runs, and the jobs and logs behind them."""

from __future__ import annotations

from typing import Any

from tests.fakes.github.answers import Answer, Json, Refused, not_found
from tests.fakes.github.moves import try_auto_merge
from tests.fakes.github.render_pulls import ACTIONS
from tests.fakes.github.routes import Call, on
from tests.fakes.github.state import CheckRun, CommitStatus, Repo

REPO = "/repos/{owner}/{repo}"
RUNS = f"{REPO}/check-runs"
STATES = frozenset({"error", "failure", "pending", "success"})
DESCRIPTION_CHARS = 140


@on("POST", f"{REPO}/statuses/{{sha}}", "statuses:write")
def create_status(call: Call) -> Answer:
    """Say something of a commit; the newest word of a context counts."""
    repo, sha = call.repo(), call.params["sha"]
    if not repo.bare.has(sha):
        raise Refused(422, f"No commit found for SHA: {sha}")
    said = call.require("state")
    description = call.body.get("description")
    if said not in STATES:
        raise Refused(422, "Validation Failed", [_wrong("state")])
    if description and len(description) > DESCRIPTION_CHARS:
        raise Refused(422, "Validation Failed", [_wrong("description")])
    status = CommitStatus(
        call.state.next_id(), sha, str(call.body.get("context", "default")), said, description,
        call.body.get("target_url"), call.caller.login, call.state.now(),
    )  # fmt: skip
    repo.statuses.append(status)
    try_auto_merge(call.state, repo)
    return Answer(201, call.render.status(repo, status))


def _wrong(name: str) -> Json:
    """Name a field of a status that is not allowed."""
    return {"resource": "Status", "code": "custom", "field": name, "message": f"{name} is invalid"}


@on("GET", f"{REPO}/commits/{{ref}}/statuses", "statuses:read")
def list_statuses(call: Call) -> Answer:
    """List everything that was said of a commit, the newest first."""
    repo = call.repo()
    sha = _commit(call, repo)
    found = [one for one in reversed(repo.statuses) if one.sha == sha]
    return call.page([call.render.status(repo, one) for one in found])


@on("GET", f"{REPO}/commits/{{ref}}/status", "statuses:read")
def combined_status(call: Call) -> Answer:
    """Give the newest word of each context and what they come to."""
    repo = call.repo()
    sha = _commit(call, repo)
    newest = {one.context: one for one in repo.statuses if one.sha == sha}
    states = {one.state for one in newest.values()}
    whole = "failure" if states & {"error", "failure"} else "pending"
    url = f"{call.render.repo_url(repo)}/commits/{sha}"
    body = {
        "state": "success" if states == {"success"} else whole,
        "statuses": [call.render.status(repo, one, simple=True) for one in newest.values()],
        "sha": sha,
        "total_count": len(newest),
        "repository": call.render.minimal(repo),
        "commit_url": url,
        "url": f"{url}/status",
    }
    return Answer(200, body)


@on("GET", f"{REPO}/commits/{{ref}}/check-runs", "checks:read")
def list_check_runs(call: Call) -> Answer:
    """List the check runs of a commit: the latest of each name, unless all are asked for."""
    repo = call.repo()
    sha = _commit(call, repo)
    found = [run for run in repo.checks if run.sha == sha]
    if call.query.get("filter", "latest") == "latest":
        found = list({(run.app, run.name): run for run in found}.values())
    for key, value in (("name", "check_name"), ("status", "status")):
        wanted = call.query.get(value)
        found = [run for run in found if not wanted or getattr(run, key) == wanted]
    return call.page([call.render.check_run(repo, run) for run in found], "check_runs")


@on("POST", RUNS, "checks:write")
def create_check_run(call: Call) -> Answer:
    """Begin or record a check run; only Apps may."""
    repo = call.repo()
    if call.caller.kind != "installation" or call.state.app is None:
        raise Refused(403, "You must authenticate via a GitHub App.")
    sha, name = str(call.require("head_sha")), str(call.require("name"))
    if not repo.bare.has(sha):
        raise Refused(422, f"No commit found for SHA: {sha}")
    now = call.state.now()
    run = CheckRun(
        call.state.next_id(), sha, name, "queued", None, call.state.app.slug,
        call.state.next_id(), now,
    )  # fmt: skip
    _apply(call, run)
    repo.checks.append(run)
    try_auto_merge(call.state, repo)
    return Answer(201, call.render.check_run(repo, run))


@on("GET", f"{RUNS}/{{check_run_id}}", "checks:read")
def get_check_run(call: Call) -> Answer:
    """Read a check run."""
    repo = call.repo()
    return Answer(200, call.render.check_run(repo, _run(call, repo, "check_run_id")))


@on("PATCH", f"{RUNS}/{{check_run_id}}", "checks:write")
def update_check_run(call: Call) -> Answer:
    """Change a check run; only the App that made it may."""
    repo = call.repo()
    run = _run(call, repo, "check_run_id")
    app = call.state.app
    if call.caller.kind != "installation" or app is None or run.app != app.slug:
        raise Refused(403, "Invalid app_id `%s` - check run can only be modified by the GitHub App"
                           " that created it." % (app.id if app else ""))  # fmt: skip
    _apply(call, run)
    try_auto_merge(call.state, repo)
    return Answer(200, call.render.check_run(repo, run))


def _apply(call: Call, run: CheckRun) -> None:
    """Take over what a body says of a check run; a conclusion completes it."""
    body = call.body
    run.status = str(body.get("status", run.status))
    if body.get("conclusion"):
        run.status, run.conclusion = "completed", str(body["conclusion"])
        run.completed_at = call.state.now()
    elif run.status == "completed" and run.conclusion is None:
        raise Refused(422, 'Invalid request.\n\n"conclusion" wasn\'t supplied.')
    output: dict[str, Any] = body.get("output") or {}
    run.output.update({key: output[key] for key in ("title", "summary", "text") if key in output})
    run.details_url = body.get("details_url", run.details_url)
    run.external_id = body.get("external_id", run.external_id)


@on("GET", f"{REPO}/actions/jobs/{{job_id}}", "actions:read")
def get_job(call: Call) -> Answer:
    """Read a job."""
    repo = call.repo()
    return Answer(200, call.render.job(repo, _job(call, repo)))


@on("GET", f"{REPO}/actions/runs/{{run_id}}/jobs", "actions:read")
def list_jobs(call: Call) -> Answer:
    """List the jobs of a run."""
    repo = call.repo()
    jobs = [run for run in repo.checks if str(run.run_id) == call.params["run_id"]]
    return call.page([call.render.job(repo, run) for run in jobs if run.app == ACTIONS], "jobs")


@on("GET", f"{REPO}/actions/jobs/{{job_id}}/logs", "actions:read")
def get_job_log(call: Call) -> Answer:
    """Send the client to where the log lies for a minute."""
    repo = call.repo()
    run = _job(call, repo)
    if run.log is None:
        raise not_found()
    where = f"{call.render.base}/_logs/{run.id}?sig=fake"
    return Answer(302, None, {"Location": where})


@on("GET", "/_logs/{job_id}")
def get_log_text(call: Call) -> Answer:
    """Give a log as plain text."""
    for repo in call.state.repos.values():
        for run in repo.checks:
            if str(run.id) == call.params["job_id"] and run.log is not None:
                return Answer(200, None, {"Content-Type": "text/plain"}, run.log.encode())
    raise not_found()


def _commit(call: Call, repo: Repo) -> str:
    """Give the commit of the path."""
    sha = repo.bare.resolve(call.params["ref"])
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {call.params['ref']}")
    return sha


def _run(call: Call, repo: Repo, name: str) -> CheckRun:
    """Give the check run of the path."""
    for run in repo.checks:
        if str(run.id) == call.params[name]:
            return run
    raise not_found()


def _job(call: Call, repo: Repo) -> CheckRun:
    """Give the job of the path; check runs of other Apps have none."""
    run = _run(call, repo, "job_id")
    if run.app != ACTIONS:
        raise not_found()
    return run
