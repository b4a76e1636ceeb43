"""A draft: what an attempt pushed to the one branch of its task, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from juggernaut.domain.diffs import Judged, judge_diff, read_judged
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.limits import TITLE_CHARS
from juggernaut.domain.model import Json, Sha, Task
from juggernaut.domain.plans import asked_of, feedback_of
from juggernaut.domain.pull_rules import inert
from juggernaut.domain.pulls import Change, Pull, branch_name
from juggernaut.domain.redact import Secret
from juggernaut.domain.shown_diff import show_diff


@dataclass(frozen=True, slots=True)
class Draft:
    """A pushed commit on the task's branch, and how the code agent made it.

    `asked`: the digest of what the task asked for then; "" for one of before that was kept.
    `diff` is what people are shown, `judged` what the rules ask of the one that git gave.
    """

    head: Sha
    base: Sha
    files: tuple[str, ...]
    added: int
    removed: int
    diff: str
    judged: Judged
    agent: Json
    asked: str = ""

    def answers(self, task: Task, repo: str, edited: bool) -> bool:
        """Say whether it was written for this text, after everything that people sent back.

        `edited`: the text was changed since, so a draft without a digest is of another one.
        """
        same = self.asked == asked_of(task, repo) if self.asked else not edited
        return same and self.agent.get("answers", 0) == len(feedback_of(task.payload))

    def same_change(self, other: Draft) -> bool:
        """Say whether both answer the same text by the same change, also where that is masked."""
        mine = (self.asked, self.base, self.judged.digest)
        return mine == (other.asked, other.base, other.judged.digest)

    def facts(self) -> dict[str, object]:
        """Give the form in which the ledger of effects keeps a draft."""
        return {
            "head": self.head,
            "base": self.base,
            "files": list(self.files),
            "added": self.added,
            "removed": self.removed,
            "diff": self.diff,
            "judged": self.judged.facts(),
            "agent": dict(self.agent),
            "asked": self.asked,
        }


@dataclass(frozen=True, slots=True)
class GoOn:
    """A draft to go on from, with `onto` as its base (None: the default branch's head)."""

    draft: Draft
    onto: Sha | None


@dataclass(frozen=True, slots=True)
class Landed:
    """A pull request that was merged, with the draft that went into it.

    `reported`: a plain-SQL worker merged it, and no gate has seen it yet.
    """

    draft: Draft
    pull: Pull
    merged: Sha
    reported: bool = False


def branch_of(task: Task) -> str:
    """Name the one branch of a task."""
    return branch_name(task.id)


def pull_title(task: Task) -> str:
    """Give the title of the task's pull request."""
    return f"{task.id}: {inert(' '.join(task.title.split()))}"[:TITLE_CHARS]


def draft_of(change: Change, head: Sha, agent: Json, secrets: Iterable[Secret]) -> Draft:
    """Make the draft of a change that git measured, judged before anything of it is masked."""
    shown, hidden = show_diff(change.diff, secrets)
    return Draft(
        head=head,
        base=change.base,
        files=change.files,
        added=change.added,
        removed=change.removed,
        diff=shown,
        judged=judge_diff(change.diff, hidden, change.before, change.unread),
        agent=agent,
    )


def read_draft(facts: Json) -> Draft:
    """Read a draft back from the ledger; raises InvalidInput when it is not one."""
    files, agent = facts.get("files"), facts.get("agent")
    added, removed = facts.get("added"), facts.get("removed")
    if (
        not isinstance(files, list | tuple)
        or not isinstance(agent, dict)
        or not isinstance(added, int)
        or not isinstance(removed, int)
    ):
        raise InvalidInput("the ledger holds a push without the facts of its draft")
    diff = str(facts.get("diff"))
    return Draft(
        head=Sha(str(facts.get("head"))),
        base=Sha(str(facts.get("base"))),
        files=tuple(str(path) for path in files),
        added=added,
        removed=removed,
        diff=diff,
        judged=read_judged(facts.get("judged"), diff, added + removed),
        agent=agent,
        asked=str(facts.get("asked") or ""),
    )
