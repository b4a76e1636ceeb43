"""The code agents by name; the first that was registered is the default."""

from __future__ import annotations

from collections.abc import Callable

from juggernaut.domain.errors import ConfigError
from juggernaut.ports import CodeAgent


class Registry:
    """Names, and what makes the agent of each."""

    def __init__(self) -> None:
        """Begin empty."""
        self._makers: dict[str, Callable[[], CodeAgent]] = {}

    def register(self, name: str, make: Callable[[], CodeAgent]) -> None:
        """Add an agent; raises ConfigError for a name that is taken."""
        if name in self._makers:
            raise ConfigError(f"the code agent {name!r} is registered twice: rename one")
        self._makers[name] = make

    @property
    def names(self) -> tuple[str, ...]:
        """Give the names in the order in which they were registered."""
        return tuple(self._makers)

    def make(self, name: str | None = None) -> CodeAgent:
        """Make the agent of a name, without one the default; raises ConfigError."""
        if not self._makers:
            raise ConfigError("no code agent is registered")
        maker = self._makers.get(name or self.names[0])
        if maker is None:
            known = ", ".join(self.names)
            raise ConfigError(f"there is no code agent {name!r}: set JUGGERNAUT_AGENT to {known}")
        return maker()
