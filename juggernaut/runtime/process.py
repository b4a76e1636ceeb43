"""One process: its workers under one supervisor, and the signals that end it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from juggernaut.ports import Clock
from juggernaut.runtime.supervisor import Child, Supervisor
from juggernaut.runtime.worker import Worker

log = structlog.get_logger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Process:
    """Runs workers until SIGTERM or SIGINT; a second signal does not wait for attempts."""

    def __init__(self, clock: Clock) -> None:
        """Hold no worker yet."""
        self.stopping = asyncio.Event()
        self.clock = clock
        self._workers: Sequence[Worker] = ()
        self._main: asyncio.Task[object] | None = None
        self.hurried = False

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Handle signals for the current task, for as long as the block lasts."""
        self._main = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def hint(self, task_type: str) -> None:
        """Pass a NOTIFY on to the workers."""
        for worker in self._workers:
            worker.hint(task_type)

    def stop(self) -> None:
        """No new claims; what runs drains."""
        self.stopping.set()
        for worker in self._workers:
            worker.wake_up()

    async def run(self, workers: Sequence[Worker], helpers: Sequence[Child]) -> None:
        """Run until stopped, or until each worker has ended; raises FatalLoss."""
        self._workers = workers
        supervisor = Supervisor(self.clock, self.stopping, self.stop)
        await supervisor.run([Child(worker.worker_id, worker.run) for worker in workers], helpers)

    def _signalled(self, number: signal.Signals) -> None:
        """First signal: drain. Second: cancel."""
        if not self.stopping.is_set():
            log.info("stopping", signal=number.name)
            self.stop()
        elif self._main is not None:
            log.warning("stopping at once", signal=number.name)
            self.hurried = True
            self._main.cancel()
