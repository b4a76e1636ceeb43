"""A PostgreSQL of our own on this machine, for `demo`, `up` and the tests.

Read in this order: `server` (start, attach, stop), `state` (what processes share), `probe` (is it
ours and does it answer), `postmaster` (the processes), `binaries` and `identity` (what to run, as
whom).
"""

from __future__ import annotations

from juggernaut.app.local_postgres.server import LocalServer, start, stop

__all__ = ["LocalServer", "start", "stop"]
