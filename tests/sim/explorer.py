"""An explorer of all interleavings: real coroutines as programs, one small value as the world.

A program awaits a Call wherever it asks or changes what it shares with others. Between two calls
it depends on the answers it got and on nothing else, so the answers are its position: it is
rebuilt from them when somebody wants to see it go on. A state is the world and every program's
position, and a state that was seen is not explored again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Program = Coroutine["Call", object, object]
World = TypeVar("World", bound=Hashable)
Positions = tuple[int, ...]
ENDED = -1


@dataclass(frozen=True, slots=True)
class Call:
    """One question to the world; awaiting it hands it to the explorer."""

    name: str
    values: tuple[object, ...] = ()

    def __await__(self) -> Generator[Call, object, object]:
        """Wait for the world's answer."""
        return (yield self)


@dataclass(frozen=True, slots=True)
class _Node:
    """A position of a program: the answers so far, and the call that it waits in."""

    program: int
    answers: tuple[object, ...]
    call: Call


@dataclass(slots=True)
class Atlas:
    """Every position that was reached, by number; equal answers are one position."""

    start: Callable[[int], Program]
    _nodes: list[_Node] = field(default_factory=list)
    _known: dict[tuple[int, int, str], int] = field(default_factory=dict)

    def begin(self, program: int) -> int:
        """Give the position of a program that has not asked anything yet."""
        return self._at((program, ENDED, ""), program, ())

    def after(self, position: int, answer: object) -> int:
        """Give the position after one more answer; an exception is raised in the program."""
        node = self._nodes[position]
        key = (node.program, position, repr(answer))
        return self._at(key, node.program, (*node.answers, answer))

    def waits_in(self, position: int) -> Call:
        """Give the call that a program waits in."""
        return self._nodes[position].call

    def _at(self, key: tuple[int, int, str], program: int, answers: tuple[object, ...]) -> int:
        """Look a position up, or run the program to it."""
        if key not in self._known:
            call = self._run(program, answers)
            self._known[key] = ENDED if call is None else len(self._nodes)
            if call is not None:
                self._nodes.append(_Node(program, answers, call))
        return self._known[key]

    def _run(self, program: int, answers: tuple[object, ...]) -> Call | None:
        """Run a program through all its answers; None when it ended."""
        running = self.start(program)
        try:
            call = running.send(None)
            for answer in answers:
                if isinstance(answer, BaseException):
                    call = running.throw(answer)
                else:
                    call = running.send(answer)
        except StopIteration:
            return None
        running.close()
        return call


@dataclass(frozen=True, slots=True)
class State(Generic[World]):
    """The world and where every program is."""

    world: World
    positions: Positions


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: `broken` names the violation, `trace` the moves that lead to it."""

    states: int
    broken: str
    trace: tuple[str, ...]


Move = tuple[str, State[World]]


def explore(
    first: State[World],
    moves: Callable[[State[World]], Iterable[Move[World]]],
    broken: Callable[[World], str],
) -> Found:
    """Visit every state that can be reached, or stop at the first that is broken."""
    came: dict[State[World], tuple[State[World], str] | None] = {first: None}
    left = [first]
    while left:
        state = left.pop()
        for name, then in moves(state):
            if then in came:
                continue
            came[then] = (state, name)
            wrong = broken(then.world)
            if wrong:
                return Found(len(came), wrong, _trace(came, then))
            left.append(then)
    return Found(len(came), "", ())


def _trace(
    came: dict[State[World], tuple[State[World], str] | None], state: State[World]
) -> tuple[str, ...]:
    """Tell how a state was reached."""
    told: list[str] = []
    step = came[state]
    while step is not None:
        told.append(step[1])
        step = came[step[0]]
    return tuple(reversed(told))
