"""GitHub's pull requests, checks, reviews and comments as the port has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from juggernaut.adapters.forges.github.reading import field, flag, items, moment, number, text
from juggernaut.domain.limits import EXCERPT_CHARS
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import (
    Check,
    CheckState,
    Comment,
    Mergeable,
    Pull,
    Review,
    ReviewState,
)
from juggernaut.domain.redact import shorten

MARK: Final = "<!-- juggernaut:"
GHOST: Final = "ghost"  # GitHub's own name for an account that is gone
ISSUE: Final = "issue-"
LINE: Final = "line-"
REVIEW: Final = "review-"
RUN: Final = "run-"
ACTIONS: Final = "github-actions"

MERGEABLE: Final = {
    "clean": Mergeable.CLEAN,
    "has_hooks": Mergeable.CLEAN,
    "unstable": Mergeable.CLEAN,  # only checks that are not required are missing or red
    "behind": Mergeable.BEHIND,
    "blocked": Mergeable.BLOCKED,
    "draft": Mergeable.BLOCKED,
    "dirty": Mergeable.CONFLICT,
}
CONCLUSIONS: Final = {
    "success": CheckState.PASSED,
    "neutral": CheckState.PASSED,
    "skipped": CheckState.PASSED,
}
STATUSES: Final = {"success": CheckState.PASSED, "pending": CheckState.PENDING}
DECISIONS: Final = {
    "APPROVED": ReviewState.APPROVED,
    "CHANGES_REQUESTED": ReviewState.CHANGES_REQUESTED,
}


def pull_of(data: object) -> Pull:
    """Read a pull request, from a list or alone; who closed one is not in it."""
    merged = bool(text(data, "merged_at"))
    return Pull(
        number=number(data, "number"),
        url=text(data, "html_url"),
        head_branch=text(data, "head", "ref"),
        head_sha=Sha(text(data, "head", "sha")),
        base_branch=text(data, "base", "ref"),
        state="merged" if merged else text(data, "state"),
        labels=tuple(text(label, "name") for label in items(data, "labels")),
        # Of an open pull this is only the test merge.
        merged_sha=Sha(text(data, "merge_commit_sha")) if merged else None,
        title=text(data, "title"),
        base_sha=Sha(text(data, "base", "sha")),
        draft=flag(data, "draft") is True,
        mergeable=mergeable_of(data),
        ended_by=text(data, "merged_by", "login"),
    )


def mergeable_of(data: object) -> Mergeable:
    """Read whether it can be merged; GitHub says nothing until it has tried."""
    if text(data, "state") != "open":
        return Mergeable.UNKNOWN
    if flag(data, "mergeable") is False:
        return Mergeable.CONFLICT
    if flag(data, "mergeable") is None:
        return Mergeable.UNKNOWN
    return MERGEABLE.get(text(data, "mergeable_state"), Mergeable.UNKNOWN)


def checks_of(
    runs: Iterable[object], statuses: Iterable[object], required: Sequence[str]
) -> tuple[Check, ...]:
    """Read check runs and statuses; a required one that nobody reported is pending."""
    found = [_run(run, required) for run in runs]
    found += [_status(status, required) for status in statuses]
    names = {check.name for check in found}
    found += [Check(name, CheckState.PENDING, True) for name in required if name not in names]
    return tuple(sorted(found, key=lambda check: (check.name, check.key)))


def reviews_of(data: Sequence[object], own: str) -> tuple[tuple[Review, ...], tuple[Comment, ...]]:
    """Give what each person's reviews come to, and the remarks that stood beside it.

    As at GitHub a later remark leaves an approval or a wish for changes as it is; a dismissed one
    is gone.
    """
    decided: dict[str, Review] = {}
    remarked: dict[str, list[Review]] = {}
    for item in sorted(
        data, key=lambda entry: (moment(entry, "submitted_at"), number(entry, "id"))
    ):
        author, state = author_of(item), text(item, "state")
        if author == own:
            continue
        if state in DECISIONS:
            decided[author] = _review(item, author, DECISIONS[state])
        elif state == "DISMISSED":
            decided.pop(author, None)
        elif state == "COMMENTED" and text(item, "body"):
            remarks = remarked.setdefault(author, [])
            remarks.append(_review(item, author, ReviewState.COMMENTED))
    comments = []
    for author, remarks in remarked.items():
        if author not in decided:
            decided[author] = remarks.pop()
        comments += [
            Comment(f"{REVIEW}{review.id}", author, review.text, review.at) for review in remarks
        ]
    return tuple(sorted(decided.values(), key=lambda review: review.id)), tuple(comments)


def comments_of(data: Iterable[object], kind: str, own: str) -> tuple[Comment, ...]:
    """Give the comments of others; ours have our login, or the mark that we put into them."""
    return tuple(
        Comment(
            id=f"{kind}{number(item, 'id')}",
            author=author_of(item),
            text=text(item, "body"),
            at=moment(item, "created_at"),
            path=text(item, "path"),
            line=number(item, "line") or number(item, "original_line") or None,
        )
        for item in data
        if author_of(item) != own and MARK not in text(item, "body")
    )


def author_of(item: object) -> str:
    """Give who wrote something."""
    return text(item, "user", "login") or GHOST


def _run(run: object, required: Sequence[str]) -> Check:
    """Read a check run; only those of GitHub Actions have a log."""
    name = text(run, "name")
    ended = text(run, "status") == "completed"
    state = CONCLUSIONS.get(text(run, "conclusion"), CheckState.FAILED)
    from_actions = text(run, "app", "slug") == ACTIONS
    said = (
        text(run, "output", "title"),
        text(run, "output", "summary"),
        text(run, "output", "text"),
    )
    return Check(
        name=name,
        state=state if ended else CheckState.PENDING,
        required=name in required,
        key=f"{RUN}{number(run, 'id')}" if from_actions else "",
        url=text(run, "html_url"),
        text=shorten("\n".join(part for part in said if part), EXCERPT_CHARS),
    )


def _status(status: object, required: Sequence[str]) -> Check:
    """Read a commit status."""
    name = text(status, "context")
    return Check(
        name=name,
        state=STATUSES.get(text(status, "state"), CheckState.FAILED),
        required=name in required,
        url=text(status, "target_url"),
        text=shorten(text(status, "description"), EXCERPT_CHARS),
    )


def _review(item: object, author: str, state: ReviewState) -> Review:
    """Read a review."""
    return Review(
        id=str(field(item, "id")),
        author=author,
        state=state,
        sha=Sha(text(item, "commit_id")),
        text=text(item, "body"),
        at=moment(item, "submitted_at"),
    )
