"""A postmaster that is just being started is seen as one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from juggernaut.app.local_postgres import postmaster

# Starts itself anew for ever: much of its life it has no command line.
RESTLESS = '#!/bin/sh\n[ -e "$0.stop" ] || exec "$0" "$@"\n'
LOOKS = 300


def test_a_process_that_starts_its_program_is_not_taken_for_dead(tmp_path: Path) -> None:
    """Between fork and program there is a moment without a command line."""
    program = tmp_path / "postgres"
    program.write_text(RESTLESS)
    program.chmod(0o755)
    with subprocess.Popen([program, "-D", str(tmp_path)]) as process:
        try:
            seen = [postmaster.is_postmaster(process.pid, tmp_path) for _ in range(LOOKS)]
        finally:
            Path(f"{program}.stop").touch()
    assert all(seen), f"{seen.count(False)} of {LOOKS} looks found it dead"


def test_an_ended_process_that_nobody_waited_for_is_dead(tmp_path: Path) -> None:
    """A zombie has no command line either."""
    with subprocess.Popen(["/bin/true"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()
        assert not postmaster.is_postmaster(process.pid, tmp_path)
