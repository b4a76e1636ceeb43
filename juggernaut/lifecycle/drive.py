"""Drive: one run of the code agent, from its events to one line of the log."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

from juggernaut.domain.agents import AgentEvent, EventKind, Tell, silent
from juggernaut.domain.exchange import AgentRequest, AgentResult
from juggernaut.domain.limits import AGENT_TRAIL_EVENTS, QUALITY_HINT_CHARS
from juggernaut.lifecycle import record
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.reach import sandbox_of
from juggernaut.ports import Asker

ACTION = "agent_run"


async def drive(
    attempt: Attempt,
    request: AgentRequest,
    ask: Asker,
    before: Sequence[AgentResult],
    hear: Tell = silent,
) -> AgentResult:
    """Let the agent work; it goes on in the session of an earlier run in the same tree.

    `hear` gets every event too.
    """
    agent = attempt.services.agent
    if before and agent.capabilities.resume:
        request = replace(request, session=before[-1].session)
    counts: Counter[str] = Counter()
    trail: deque[str] = deque(maxlen=AGENT_TRAIL_EVENTS)

    def tell(event: AgentEvent) -> None:
        """Keep what an event says in short; results are only counted, and recorded."""
        record.hear(attempt, event)
        hear(event)
        counts[event.kind if event.ok else f"{event.kind} failed"] += 1
        if event.kind is not EventKind.RESULT:
            trail.append(f"{event.kind}: {event.text[:QUALITY_HINT_CHARS]}")

    result = await agent.execute(request, ask, await sandbox_of(attempt), tell)
    await record.end(attempt, result)
    await attempt.log(
        ACTION,
        f"{agent.name} ended: {result.reason}",
        level="debug",
        metadata={
            "agent": agent.name,
            "sandbox": attempt.services.sandbox.level,
            "events": dict(counts),
            "trail": list(trail),
            "notes": list(result.notes),
        },
    )
    return result


def notes_of(results: Sequence[AgentResult]) -> dict[str, list[str]]:
    """Give what readers of the evidence should know of the runs, once each."""
    notes = list(dict.fromkeys(note for result in results for note in result.notes))
    return {"notes": notes} if notes else {}
