"""Opens the doors of a process that its settings ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from juggernaut.adapters.postgres.store import PgStore
from juggernaut.app.settings import Settings
from juggernaut.domain.errors import ConfigError
from juggernaut.runtime.supervisor import Child


@contextmanager
def doors(store: PgStore, now: Callable[[], Settings]) -> Iterator[tuple[Child, ...]]:
    """Give what serves while the block lasts; nothing without GITHUB_WEBHOOK_SECRET and PORT.

    `now` gives the settings with secrets as their files have them at the moment.
    """
    settings = now()
    if settings.port is None or settings.github_webhook_secret is None:
        yield ()
        return
    try:
        from juggernaut.http.github_webhook import github_door
        from juggernaut.http.serving import bind, serve
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"PORT is set, and {error.name} is not installed: pip install 'juggernaut-swarm[http]'"
        ) from None

    def secret() -> str:
        """Tell the secret of the moment."""
        found = now().github_webhook_secret
        return found.get_secret_value() if found else ""

    with closing(bind(settings.bind, settings.port)) as place:
        door = github_door(secret, store.hurry_pull)
        yield (Child("http", lambda: serve(door, place)),)
