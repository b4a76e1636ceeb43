"""Loads role files: each is one Python file that ends in `ROLE = Role(...)`."""

from __future__ import annotations

import importlib.util
import stat
import sys
from pathlib import Path
from typing import Final

from juggernaut.domain.errors import ConfigError
from juggernaut.role import Role

MODULE_PREFIX: Final = "juggernaut_role_"
FACE: Final = "ROLE"
# What running a broken file raises; anything else is not the file's fault.
BROKEN: Final = (
    *(ImportError, SyntaxError, NameError, AttributeError),
    *(TypeError, ValueError, LookupError, OSError, ConfigError),
)


def load_role(path: Path) -> Role:
    """Run a role file and give its ROLE; ConfigError names the file and what is wrong with it."""
    refuse_writable(path)
    name = f"{MODULE_PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"role file {path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BROKEN as error:
        raise ConfigError(f"role file {path}: {type(error).__name__}: {error}") from error
    role = getattr(module, FACE, None)
    if not isinstance(role, Role):
        raise ConfigError(f"role file {path} has no {FACE} = Role(...)")
    if role.name != path.stem:
        raise ConfigError(
            f"role file {path} defines the role {role.name!r}: name the file and the role alike"
        )
    return role


def refuse_writable(path: Path) -> None:
    """Refuse a file that everybody may write to: it runs with this process's rights."""
    for place in (path, path.parent):
        try:
            mode = place.stat().st_mode
        except OSError as error:
            raise ConfigError(f"role file {path}: {error.strerror}; check roles_dir") from None
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise ConfigError(f"role file {path}: everybody may write to {place}; chmod o-w it")
