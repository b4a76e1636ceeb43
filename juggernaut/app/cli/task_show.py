"""`juggernaut task show`: the whole story of a task, as far as it has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from juggernaut.app.cli.known import task_id
from juggernaut.app.cli.output import DsnOption, JsonFlag, emit, emit_one, write_block
from juggernaut.app.cli.people import ask
from juggernaut.domain.stages import stages_of, totals

if TYPE_CHECKING:
    from uuid import UUID

    from juggernaut.adapters.postgres.board import Board, Row

LOGS_SHOWN: Final = 20
REQUEST: Final = ("gate", "digest", "risk_level", "proposed_by", "have", "need", "reason")
DIFF_LINES: Final = 200
# Each list of the story: its key, and the columns of its table.
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "attempts": (
        "fence",
        "worker_id",
        "started_at",
        "ended_as",
        "error_code",
        "error_message",
        "usd",
    ),
    "stages": ("attempt", "stage", "started_at", "seconds"),
    "plans": ("fence", "gate", "risk_level", "factors", "digest", "recorded_at"),
    "decisions": ("gate", "status", "need", "said", "reason", "digest"),
    "effects": ("fence", "kind", "state", "key", "intended_at", "confirmed_at"),
    "news": ("at", "kind", "said", "done_at"),
    "checks": ("fence", "name", "passed", "sha"),
    "verdicts": ("number", "verdict", "source", "text", "accepted_by"),
    "evidence": ("fence", "kind", "source", "facts"),
    "cost": ("purpose", "model", "calls", "usd", "tokens", "under_way"),
    "learnings": ("category", "impact_score", "title", "description"),
    "forks": ("task_id", "from_step", "model", "status", "made_by"),
    "logs": ("created_at", "level", "worker_id", "action", "message"),
}
# Lists that are left out of the text where they are empty; an empty log is said.
QUIET: Final = frozenset(TABLES) - {"attempts", "logs"}
TITLES: Final[Mapping[str, str]] = {
    "stages": "time per stage",
    "plans": "plans (the worker's word)",
    "effects": "effects (the worker's word)",
    "checks": "checks (the worker's word)",
    "news": "checks, reviews and comments of the forge",
    "forks": "forks of this task",
    "logs": "log",
}

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The id, or the start of it.")]


def show(
    start: IdArgument,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff", help=f"All of what is asked and of the diff, not {DIFF_LINES} lines."
        ),
    ] = False,
    json: JsonFlag = False,
    dsn: DsnOption = None,
) -> None:
    """Tell a task's whole story: attempts, time, plan, diff, effects, checks, proof, cost, log.

    What waits for a decision comes first, with its digest; plans and effects are what workers
    wrote down, and nobody is asked to approve them.

    Example: `juggernaut task show 9c41 --diff`
    """

    async def work(board: Board) -> Row:
        """Read all that belongs to the task."""
        return await read_story(board, await task_id(board, start))

    row = ask(dsn, work)
    if json:
        emit_one(row, json)
        return
    parts = row.pop("story")
    told = {"logs": row.pop("logs"), **(parts if isinstance(parts, dict) else {})}
    row.pop("proof")  # its parts stand in evidence, verdicts and effects
    tell(row, told, None if diff else DIFF_LINES)


async def read_story(board: Board, task: UUID) -> Row:
    """Read what the database knows of a task, into one record."""
    row = await board.only("show_task", task)
    attempts = await board.rows("list_task_attempts", task)
    plans = await board.rows("list_task_plans", task)
    effects = await board.rows("list_task_effects", task)
    now = datetime.now(UTC)
    stages = [stage.row(now) for stage in stages_of(row, attempts, plans, effects)]
    story = {
        "request": await board.row("show_pending_approval", task),
        "why": await board.rows("explain_task", task),
        "attempts": attempts,
        "stages": stages,
        "seconds": totals(stages),
        "plans": plans,
        "decisions": await board.rows("list_task_decisions", task),
        "effects": effects,
        "checks": checks_of(effects),
        "news": await board.rows("list_task_news", task),
        "diff": diff_of(effects),
        "verdicts": await board.rows("list_task_verdicts", task),
        "evidence": await board.rows("list_task_evidence", task),
        "cost": await board.rows("list_task_calls", task),
        "learnings": await board.rows("list_task_learnings", task),
        "forks": await board.rows("list_task_forks", task),
    }
    proof = await board.row("show_proof", task)
    logs = await board.rows("list_logs", task, None, LOGS_SHOWN)
    return {**row, "proof": proof, "logs": logs, "story": story}


def checks_of(effects: Sequence[Row]) -> list[Row]:
    """Give the checks that were posted at commits of the task."""
    found: list[Row] = []
    for effect in effects:
        result = effect["result"]
        if effect["kind"] == "check" and isinstance(result, Mapping):
            found.append({"fence": effect["fence"], **result})
    return found


def diff_of(effects: Sequence[Row]) -> str | None:
    """Give the diff of the newest commit that was pushed, or nearly so."""
    for effect in reversed(effects):
        result = effect["result"]
        if effect["kind"] == "push" and isinstance(result, Mapping) and result.get("diff"):
            return str(result["diff"])
    return None


def tell(row: Row, story: Mapping[str, object], diff_lines: int | None) -> None:
    """Write the story for people: the task, then a section for everything that is there."""
    emit_one({name: value for name, value in row.items() if value is not None})
    _tell_request(story["request"], diff_lines)
    if story["why"] and row["status"] != "completed":
        emit(_rows(story["why"]), ("reason", "owner", "deadline"), title="why")
    for name, columns in TABLES.items():
        rows = [_shortened(item) for item in _rows(story[name])]
        if rows or name not in QUIET:
            emit(rows, columns, title=TITLES.get(name, name))
        if name == "stages" and rows:
            _tell_totals(story["seconds"])
        if name == "plans" and rows:
            _tell_plan(rows)
        if name == "effects":
            _tell_text("diff of the newest push (the worker's word)", story["diff"], diff_lines)


def _shortened(item: Row) -> Row:
    """Keep the first line of an attempt's error: the log has all of it."""
    message = item.get("error_message")
    return (
        {**item, "error_message": message.partition("\n")[0]} if isinstance(message, str) else item
    )


def _tell_totals(seconds: object) -> None:
    """Write the sum of each stage in one line."""
    if isinstance(seconds, Mapping):
        said = ", ".join(f"{name} {total:g} s" for name, total in seconds.items())
        emit_one({"in all": said})


def _tell_plan(plans: Sequence[Row]) -> None:
    """Write what the newest plan intends."""
    body = next((plan["body"] for plan in reversed(plans) if plan["gate"] == "plan"), None)
    if isinstance(body, Mapping):
        told = ("repo", "branch", "effects", "commands", "risk")
        emit_one({f"plan {name}": body[name] for name in told if body.get(name)})


def _tell_request(request: object, most: int | None) -> None:
    """Write what waits for a decision: the text that the digest is of, and not the ledger."""
    if not isinstance(request, Mapping):
        return
    write_block("waits for a decision", ())
    emit_one({name.replace("_", " "): request[name] for name in REQUEST})
    _tell_text("what is asked, which the digest is of", request["plan"], most)
    write_block("", ())


def _tell_text(title: str, text: object, most: int | None) -> None:
    """Write a text of many lines, bounded."""
    if not isinstance(text, str):
        return
    lines = text.splitlines()
    shown = lines if most is None else lines[:most]
    write_block(title, shown)
    if len(shown) < len(lines):
        write_block(f"{len(lines) - len(shown)} more lines: --diff", ())


def _rows(value: object) -> list[Row]:
    """Give a list of the story."""
    return value if isinstance(value, list) else []
