"""The program `juggernaut`. Exit codes: 0 ok, 1 failed, 2 usage or configuration."""

from __future__ import annotations

import sys

from juggernaut import __version__


def main() -> None:
    """Run the command line; the version is told before anything heavy is imported."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"juggernaut {__version__}\n")
        return
    from juggernaut.app.cli import build

    build()()


if __name__ == "__main__":
    main()
