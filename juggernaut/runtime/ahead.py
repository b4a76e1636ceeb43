"""Claiming ahead: whether tasks are fetched before there is a hand free for them.

A task that waits in a worker is one that no other worker may take, so none waits as a rule: the
work of models takes minutes, and a claim milliseconds. Only while attempts are briefer than the
round trip of a claim does a worker fetch more than it can begin, and no more than it will begin
within about one such round trip.
"""

from __future__ import annotations

from dataclasses import dataclass

from juggernaut.domain.limits import AHEAD_MOST, AHEAD_SAMPLES

NEWEST = 0.2  # the weight of the newest figure in a mean


@dataclass(slots=True)
class Ahead:
    """The mean work of an attempt and the mean round trip of a claim, both in seconds."""

    work: float = 0.0
    trip: float = 0.0
    samples: int = 0

    def worked(self, seconds: float) -> None:
        """Learn how long an attempt worked, from its start to its last write."""
        self.samples += 1
        self.work = seconds if self.samples == 1 else self.work + NEWEST * (seconds - self.work)

    def fetched(self, seconds: float) -> None:
        """Learn how long a claim took."""
        self.trip += NEWEST * (seconds - self.trip)

    def forget(self) -> None:
        """Begin again: what was learnt did not hold."""
        self.work, self.samples = 0.0, 0

    def room(self, slots: int) -> int:
        """Give how many tasks may wait for a hand."""
        if self.samples < AHEAD_SAMPLES or self.work >= self.trip:
            return 0
        return AHEAD_MOST if self.work <= 0 else min(int(slots * self.trip / self.work), AHEAD_MOST)
