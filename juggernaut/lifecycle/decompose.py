"""Decompose: what a planner answers becomes a checked graph of tasks, or is refused.

The database checks the same again, and caps what a goal may grow to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.limits import (
    CRITERIA_PER_TASK,
    CRITERION_CHARS,
    TASKS_PER_PROPOSAL,
    TEXT_CHARS,
    TITLE_CHARS,
)
from juggernaut.domain.model import Criterion, Json, Priority, ProposedTask, Risk
from juggernaut.domain.plans import read_argv, read_checks
from juggernaut.domain.redact import clean

_KEY_CHARS = 60
_ARGV: Json = {
    "type": ["array", "null"],
    "maxItems": 50,
    "items": {"type": "string", "minLength": 1, "maxLength": 2_000},
}
_PAYLOAD: Json = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "command": _ARGV,
        "test": _ARGV,
        "path": {"type": ["string", "null"], "maxLength": 500},
        "checks": {
            "type": ["array", "null"],
            "maxItems": CRITERIA_PER_TASK,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "argv"],
                "properties": {"name": {"type": "string", "maxLength": 200}, "argv": _ARGV},
            },
        },
    },
}


def plan_schema(types: Sequence[str]) -> Json:
    """Give the form of a plan whose tasks have one of these types."""
    criterion = {
        "type": "object",
        "additionalProperties": False,
        "required": ["text"],
        "properties": {
            "text": {"type": "string", "minLength": 1, "maxLength": CRITERION_CHARS},
            "check": _ARGV,
        },
    }
    task = {
        "type": "object",
        "additionalProperties": False,
        "required": ["key", "title", "description", "task_type", "criteria"],
        "properties": {
            "key": {"type": "string", "minLength": 1, "maxLength": _KEY_CHARS},
            "title": {"type": "string", "minLength": 3, "maxLength": TITLE_CHARS},
            "description": {"type": "string", "minLength": 1, "maxLength": TEXT_CHARS},
            "task_type": {"type": "string", "enum": list(types)},
            "priority": {"type": "string", "enum": [item.value for item in Priority]},
            "risk": {"type": "string", "enum": [item.value for item in Risk]},
            "needs": {"type": "array", "items": {"type": "string"}},
            "criteria": {"type": "array", "maxItems": CRITERIA_PER_TASK, "items": criterion},
            "payload": _PAYLOAD,
        },
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["tasks"],
        "properties": {
            "tasks": {
                "type": "array",
                "minItems": 1,
                "maxItems": TASKS_PER_PROPOSAL,
                "items": task,
            }
        },
    }


def read_plan(answer: Json) -> tuple[ProposedTask, ...]:
    """Read a plan that fits plan_schema; raises InvalidInput naming the task and the reason."""
    given = answer.get("tasks")
    items = given if isinstance(given, list | tuple) else ()
    tasks = tuple(_read_task(item) for item in items if isinstance(item, Mapping))
    _check_graph(tasks)
    return tasks


def _read_task(item: Json) -> ProposedTask:
    """Read one task."""
    key = str(item["key"])
    payload = _read_payload(item.get("payload"), key)
    task_type = str(item["task_type"])
    criteria = _read_criteria(item["criteria"], key)
    if task_type == "command" and "command" not in payload:
        raise InvalidInput(f'task {key!r} is a command: put its argv into payload "command"')
    if task_type == "verification" and not (
        "checks" in payload or any(criterion.check for criterion in criteria)
    ):
        raise InvalidInput(f"task {key!r} verifies nothing: give a criterion a check")
    needs = item.get("needs", ())
    return ProposedTask(
        key=key,
        title=" ".join(clean(str(item["title"])).split()),
        description=clean(str(item["description"])),
        task_type=task_type,
        criteria=criteria,
        priority=Priority(str(item.get("priority", Priority.MEDIUM.value))),
        risk=Risk(str(item.get("risk", Risk.LOW.value))),
        needs=tuple(dict.fromkeys(str(need) for need in needs))
        if isinstance(needs, list | tuple)
        else (),
        payload=payload,
    )


def _read_criteria(value: object, key: str) -> tuple[Criterion, ...]:
    """Read the acceptance criteria of a task, numbered from 1."""
    given = value if isinstance(value, list | tuple) else ()
    items = [item for item in given if isinstance(item, Mapping)]
    return tuple(
        Criterion(
            number,
            " ".join(clean(str(item["text"])).split()),
            read_argv(item.get("check"), f"the check of criterion {number} of task {key!r}"),
        )
        for number, item in enumerate(items, start=1)
    )


def _read_payload(value: object, key: str) -> dict[str, object]:
    """Read the parts of a payload that say something."""
    given = value if isinstance(value, Mapping) else {}
    found: dict[str, object] = {}
    for name in ("command", "test"):
        argv = read_argv(given.get(name) or None, f"{name!r} of task {key!r}")
        if argv:
            found[name] = list(argv)
    if given.get("path"):
        found["path"] = clean(str(given["path"]))
    if given.get("checks"):
        read_checks(given)
        found["checks"] = given["checks"]
    return found


def _check_graph(tasks: Sequence[ProposedTask]) -> None:
    """Refuse double keys, double work, unknown needs and cycles."""
    keys = [task.key for task in tasks]
    double = next((key for key in keys if keys.count(key) > 1), None)
    if double is not None:
        raise InvalidInput(f"the key {double!r} is used twice")
    seen: set[tuple[str, str]] = set()
    for task in tasks:
        work = (task.task_type, task.title.casefold())
        if work in seen:
            raise InvalidInput(f"two tasks have the title {task.title!r}")
        seen.add(work)
        unknown = [need for need in task.needs if need not in keys]
        if unknown:
            raise InvalidInput(f"task {task.key!r} needs {unknown[0]!r}, which is not in the plan")
    try:
        TopologicalSorter({task.key: task.needs for task in tasks}).prepare()
    except CycleError as error:
        circle = " -> ".join(str(key) for key in error.args[1])
        raise InvalidInput(f"the tasks wait for each other: {circle}") from error
