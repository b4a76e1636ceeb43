"""GraphQL: the few mutations and the one question that REST has no words for.

It understands one operation with one field, whose arguments are literals or variables. Like
GitHub it answers with exactly what was selected, and puts errors into an answer of status 200.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.fakes.github import moves
from tests.fakes.github.answers import Answer, Json
from tests.fakes.github.routes import Call, on
from tests.fakes.github.rules import missing, settled
from tests.fakes.github.state import PullRecord, Repo

FIELD = re.compile(r"\b(?P<name>\w+)\s*\(\s*(?P<arguments>(?:input|id)\s*:[^)]*)\)")
PAIR = re.compile(r'(\w+)\s*:\s*(\$\w+|"[^"]*"|\w+)')
SELECTION = re.compile(
    r"\b(?P<name>pullRequest|mergeQueueEntry|PullRequest)\s*\{(?P<fields>[^{}]*)"
)


class GraphRefused(Exception):
    """An error of GraphQL: its type and its words."""

    def __init__(self, kind: str, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.kind = kind


@on("POST", "/graphql")
def graphql(call: Call) -> Answer:
    """Answer one operation."""
    call.caller.check_known()
    text = str(call.body.get("query", ""))
    try:
        found = FIELD.search(text)
        if found is None:
            raise GraphRefused("undefinedField", f"the double does not understand {text[:120]!r}")
        data = _field(call, found["name"], found["arguments"], text)
    except GraphRefused as refused:
        error = {"type": refused.kind, "message": str(refused)}
        return Answer(200, {"data": None, "errors": [error]})
    return Answer(200, {"data": {found["name"]: data}})


def _field(call: Call, name: str, written: str, text: str) -> Json:
    """Carry one field out and give what was selected of it."""
    given = _arguments(written, call.body.get("variables") or {})
    known = call.state.pull_by_node(str(given.get("pullRequestId", given.get("id", ""))))
    if known is None:
        raise GraphRefused("NOT_FOUND", "Could not resolve to a node with the global id")
    repo, pull = known
    call.caller.check(repo, "pull_requests:read" if name == "node" else "pull_requests:write")
    if name != "node":
        if name not in MUTATIONS:
            raise GraphRefused("undefinedField", f"Field '{name}' doesn't exist on type 'Mutation'")
        MUTATIONS[name](call, repo, pull, given)
    selected = {found["name"]: found["fields"].split() for found in SELECTION.finditer(text)}
    whole = {
        "pullRequest": _shown(pull),
        "PullRequest": _shown(pull),
        "mergeQueueEntry": {"id": f"MQE_{pull.id}", "position": 1, "state": "QUEUED"},
    }
    answer: Json = {part: _pick(whole[part], names) for part, names in selected.items()}
    return answer["PullRequest"] if name == "node" else answer


def _arguments(written: str, variables: Json) -> Json:
    """Resolve arguments; an `input` that is a variable is taken apart."""
    found: Json = {}
    for name, value in PAIR.findall(written):
        resolved: Any = variables.get(value[1:]) if value.startswith("$") else value.strip('"')
        if isinstance(resolved, dict):
            found.update(resolved)
        else:
            found[name] = resolved
    return found


def _shown(pull: PullRecord) -> Json:
    """Give the fields of a pull request that can be selected."""
    return {
        "id": pull.node_id,
        "number": pull.number,
        "isDraft": pull.draft,
        "isInMergeQueue": pull.queued,
        "state": "MERGED" if pull.merged_at else pull.state.upper(),
        "headRefOid": pull.head_sha,
        "url": None,
    }


def _pick(whole: Json, names: list[str]) -> Json:
    """Give what was selected; a field that is not there is an error."""
    for name in names:
        if name not in whole:
            raise GraphRefused("undefinedField", f"Field '{name}' doesn't exist")
    return {name: whole[name] for name in names}


def _ready(call: Call, repo: Repo, pull: PullRecord, given: Json) -> None:
    """Take a pull request out of draft."""
    if pull.state != "open":
        raise GraphRefused("UNPROCESSABLE", "Pull request is closed")
    pull.draft, pull.updated_at = False, call.state.now()
    moves.try_auto_merge(call.state, repo)


def _draft(call: Call, repo: Repo, pull: PullRecord, given: Json) -> None:
    """Make a pull request a draft again."""
    if not repo.drafts:
        raise GraphRefused("UNPROCESSABLE", "Draft pull requests are not supported.")
    pull.draft, pull.updated_at = True, call.state.now()


def _auto(call: Call, repo: Repo, pull: PullRecord, given: Json) -> None:
    """Merge as soon as the rules hold; where they hold already there is nothing to wait for."""
    if not repo.allow_auto_merge:
        raise GraphRefused("UNPROCESSABLE", "Auto merge is not allowed for this repository")
    known = settled(pull)
    if not missing(repo, pull) and known and known.clean:
        raise GraphRefused("UNPROCESSABLE", "Pull request Pull request is in clean status")
    pull.auto_merge = str(given.get("mergeMethod", "MERGE")).lower()
    pull.auto_merge_by = call.caller.login


def _enqueue(call: Call, repo: Repo, pull: PullRecord, given: Json) -> None:
    """Put a pull request into the merge queue; a person's `finish_queue` empties it."""
    rules = repo.protections.get(pull.base_ref)
    if rules is None or not rules.merge_queue:
        raise GraphRefused("UNPROCESSABLE", "Merge queue is not enabled for this branch")
    if given.get("expectedHeadOid") not in (None, pull.head_sha):
        raise GraphRefused("UNPROCESSABLE", "Head sha does not match the expected head sha")
    why = missing(repo, pull)
    if pull.state != "open" or pull.draft or why:
        raise GraphRefused("UNPROCESSABLE", why or "Pull request is not in a mergeable state")
    pull.queued, pull.updated_at = True, call.state.now()


MUTATIONS: dict[str, Callable[[Call, Repo, PullRecord, Json], None]] = {
    "markPullRequestReadyForReview": _ready,
    "convertPullRequestToDraft": _draft,
    "enablePullRequestAutoMerge": _auto,
    "enqueuePullRequest": _enqueue,
}
