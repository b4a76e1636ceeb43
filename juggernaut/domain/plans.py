"""Plans: what an attempt intends, composed by plain code from the task's row.

The same row gives the same digest, whatever the attempt: an approval of the digest lets the
next attempt through. What a person is shown are the hashed values themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from juggernaut.domain.diffs import Judged
from juggernaut.domain.digest import digest_of, plain
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Digest, Json, Plan, Risk, Sha, Task
from juggernaut.domain.redact import shorten
from juggernaut.domain.risk import Policy, assess_diff, assess_plan

SHOWN_CHARS: Final = 6_000
_EFFECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "code": ("push", "pull", "merge"),
    "documentation": ("push", "pull", "merge"),
    "command": ("command",),
}
# The database adds this to a claimed row; it says what a person accepted, not what is asked.
_NOT_ASKED: Final = frozenset({"accepted_criteria"})
_FEEDBACK: Final = "feedback"


def read_argv(value: object, what: str) -> tuple[str, ...] | None:
    """Read a command from a payload: a list of texts, or nothing; raises InvalidInput."""
    if value is None:
        return None
    if (
        not isinstance(value, list | tuple)
        or not value
        or not all(isinstance(part, str) and part and "\0" not in part for part in value)
    ):
        raise InvalidInput(
            f"{what} must be a command as a list of texts, such as"
            ' ["python", "-m", "pytest"]; correct the payload of the task'
        )
    return tuple(value)


def read_checks(payload: Json) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read the named checks of a payload; raises InvalidInput."""
    given = payload.get("checks", ())
    if not isinstance(given, list | tuple):
        raise InvalidInput('"checks" must be a list of {"name", "argv"} objects')
    found = []
    for number, item in enumerate(given, start=1):
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
            raise InvalidInput(f'check {number} must be an object with "name" and "argv"')
        argv = read_argv(item.get("argv"), f"the argv of check {number}")
        if argv is None:
            raise InvalidInput(f'check {number} ({item["name"]}) lacks "argv"')
        found.append((str(item["name"])[:200], argv))
    return tuple(found)


def feedback_of(payload: Json) -> tuple[str, ...]:
    """Give what people said when they sent the task back, the newest last."""
    given = payload.get(_FEEDBACK, ())
    if not isinstance(given, list | tuple):
        return ()
    return tuple(shorten(item, SHOWN_CHARS) for item in given if isinstance(item, str))


def asked_of(task: Task, repo: str) -> Digest:
    """Give the digest of what a task asks for; what was said when it was sent back is no part."""
    left_out = _NOT_ASKED | {_FEEDBACK}
    return digest_of(
        {
            "title": task.title,
            "task_type": task.task_type,
            "description": task.description,
            "criteria": [
                [item.number, item.text, item.check and list(item.check)] for item in task.criteria
            ],
            "payload": {key: value for key, value in task.payload.items() if key not in left_out},
            "repo": repo,
        }
    )


def commands_of(task: Task) -> tuple[tuple[str, ...], ...]:
    """Give every command that a task's row names, each once."""
    given = [read_argv(task.payload.get(key), f'"{key}"') for key in ("command", "test")]
    given += [argv for _, argv in read_checks(task.payload)]
    given += checks_of(task)
    return tuple(dict.fromkeys(argv for argv in given if argv))


def checks_of(task: Task, tests: tuple[str, ...] | None = None) -> tuple[tuple[str, ...], ...]:
    """Give the commands that judge a task: its criteria's, and its own tests or else `tests`."""
    own = read_argv(task.payload.get("test"), '"test"') or tests
    checks = tuple(item.check for item in task.criteria if item.check)
    return (*checks, own) if own else checks


def plan_of(
    task: Task, repo: str | None, branch: str | None, policy: Policy, floors: Mapping[str, Risk]
) -> Plan:
    """Compose the plan of a task; raises InvalidInput for a payload that makes no sense."""
    effects = _EFFECTS.get(task.task_type, ())
    commands = commands_of(task)
    assessed = assess_plan(task, policy, floors, effects, commands)
    asked = {key: value for key, value in task.payload.items() if key not in _NOT_ASKED}
    body: dict[str, object] = {
        "task": str(task.id),
        "title": task.title,
        "task_type": task.task_type,
        # Whole: what a person approves is what a person can read.
        "description": task.description,
        "criteria": [
            {"number": item.number, "text": item.text, "check": item.check and list(item.check)}
            for item in task.criteria
        ],
        "commands": [list(argv) for argv in commands],
        "payload": plain(asked),
        "repo": repo,
        "branch": branch,
        "effects": list(effects),
        "risk": assessed.risk.value,
        "policy": policy.version,
    }
    return Plan(body, digest_of(body), assessed.risk, assessed.factors)


def diff_plan_of(
    task: Task,
    planned: Risk,
    policy: Policy,
    *,
    head: Sha,
    base: Sha,
    files: Sequence[str],
    diff: str,
    judged: Judged,
    doubts: Sequence[str] = (),
    tests: tuple[str, ...] | None = None,
) -> Plan:
    """Compose the second gate: exactly this diff, from exactly this base to this head.

    `diff` is what people read, `judged` what the rules found in the one that git gave, `tests`
    the command that is configured for tests.
    """
    assessed = assess_diff(planned, policy, files, judged, checks_of(task, tests), doubts)
    body: dict[str, object] = {
        "task": str(task.id),
        "head": head,
        "base": base,
        "files": list(files),
        "diff": diff,
        "diff_digest": judged.digest,
        **({"not_shown": judged.hidden} if judged.hidden else {}),
        "risk": assessed.risk.value,
        "policy": policy.version,
        **_answers(task),
    }
    return Plan(body, digest_of(body), assessed.risk, assessed.factors)


def _answers(task: Task) -> dict[str, object]:
    """Give the part of a plan that answers to feedback; a task without any has none."""
    said = feedback_of(task.payload)
    return {"feedback": list(said)} if said else {}
