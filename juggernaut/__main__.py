"""The program `juggernaut`. Exit codes: 0 ok, 1 failed, 2 usage or configuration."""

from __future__ import annotations

import sys
from contextlib import suppress

from juggernaut import __version__


def main() -> None:
    """Run the command line; the version is told before anything heavy is imported."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        with suppress(OSError):  # the command line says why it cannot write
            sys.stdout.write(f"juggernaut {__version__}\n")
            sys.stdout.flush()
            return
    from juggernaut.app.cli import build

    build()()


if __name__ == "__main__":
    main()
