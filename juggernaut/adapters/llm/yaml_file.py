"""Strict reading of an operator's YAML: bounded, without aliases, every key accounted for."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import yaml

from juggernaut.domain import limits
from juggernaut.domain.errors import ConfigError

_OPENING: Final = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING: Final = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


class _NoDuplicates(yaml.SafeLoader):
    """A safe loader that refuses a key which stands twice: the first would be lost silently."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        """Build a mapping; raises ConstructorError at a key that was there already."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} stands twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


class Section:
    """One mapping of a file; errors name the file, the place in it and what is allowed."""

    def __init__(self, value: object, place: str, keys: tuple[str, ...] | None = None) -> None:
        """Take a mapping with text keys; `keys` are the only ones allowed (None: any)."""
        if not isinstance(value, Mapping):
            raise ConfigError(f"{place}: a mapping is needed, not {type(value).__name__}")
        self.place = place
        self.values: dict[str, object] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise ConfigError(f"{place}: the key {key!r} is not text; put it in quotes")
            if keys is not None and key not in keys:
                raise ConfigError(f"{place}: unknown key {key!r}; allowed: {', '.join(keys)}")
            self.values[key] = item

    def at(self, key: str) -> str:
        """Name a place inside this section for a message."""
        return f"{self.place}: {key}"

    def text(self, key: str, default: str | None = None) -> str:
        """Give a text; without a default the key must be there and not be empty."""
        value = self.values.get(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise ConfigError(f"{self.at(key)}: a text is needed, not {value!r}")
        return value

    def optional_text(self, key: str) -> str | None:
        """Give a text, or None where the key is absent or null."""
        return None if self.values.get(key) is None else self.text(key)

    def texts(self, key: str) -> tuple[str, ...]:
        """Give a list of texts; absent means none."""
        items = self.items(key)
        for item in items:
            if not isinstance(item, str):
                raise ConfigError(f"{self.at(key)}: {item!r} is not text; put it in quotes")
        return tuple(str(item) for item in items)

    def items(self, key: str) -> tuple[object, ...]:
        """Give a list; absent or null means an empty one."""
        value = self.values.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise ConfigError(f"{self.at(key)}: a list is needed, not {value!r}")
        return tuple(value)

    def section(self, key: str, keys: tuple[str, ...] | None = None) -> Section:
        """Give the mapping under a key; absent means an empty one."""
        value = self.values.get(key)
        return Section({} if value is None else value, self.at(key), keys)

    def sections(self, key: str, keys: tuple[str, ...]) -> Iterator[Section]:
        """Give the mappings of a list, each with its number in its place."""
        for number, item in enumerate(self.items(key), start=1):
            yield Section(item, f"{self.place}: {key}[{number}]", keys)

    def optional_count(self, key: str) -> int | None:
        """Give a whole number from 1, or None where the key is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{self.at(key)}: a whole number from 1 is needed, not {value!r}")
        return value

    def dollars(self, key: str, default: Decimal | None = None) -> Decimal:
        """Give a price: a number of at least zero, in US dollars."""
        value = self.values.get(key, default)
        try:
            if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
                raise InvalidOperation
            price = Decimal(str(value))
        except InvalidOperation:
            raise ConfigError(f"{self.at(key)}: a price in USD is needed, not {value!r}") from None
        if not price.is_finite() or price < 0:
            raise ConfigError(f"{self.at(key)}: {value!r} is not a price; use a number from 0")
        return price


def read_yaml(path: Path, *, depth: int = limits.CONFIG_DEPTH) -> object:
    """Read a file of at most CONFIG_FILE_BYTES and `depth` levels; raises ConfigError."""
    text = _read_text(path)
    try:
        _refuse_bombs(text, path, depth)
        # The loader is a SafeLoader: it builds plain values only.
        return yaml.load(text, Loader=_NoDuplicates)  # noqa: S506
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: not readable as YAML: {reason}") from None


def _read_text(path: Path) -> str:
    """Give the text of a file, reading no more than one byte past the limit."""
    try:
        with path.open("rb") as file:
            raw = file.read(limits.CONFIG_FILE_BYTES + 1)
        if len(raw) > limits.CONFIG_FILE_BYTES:
            raise ConfigError(
                f"{path}: more than {limits.CONFIG_FILE_BYTES} bytes; split or shorten the file"
            )
        return raw.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from None


def _refuse_bombs(text: str, path: Path, depth: int) -> None:
    """Refuse aliases (they multiply) and deep nesting before anything is built."""
    level = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}: YAML aliases are not allowed; write the value out")
        level += isinstance(event, _OPENING)
        level -= isinstance(event, _CLOSING)
        if level > depth:
            raise ConfigError(f"{path}: nested deeper than {depth} levels")
