"""What differs in each run by its nature, taken out of a text, so that two runs can be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

TREE: Final = "<work tree>"
DURATION: Final = re.compile(r"\d+(?:\.\d+)? ?(?:ms|s|sec|seconds)\b")
_NONCE: Final = re.compile(r"(<<<data |>>>end )[0-9A-Za-z]{16,}")
_ADDRESS: Final = re.compile(r"\b0x[0-9a-f]{6,16}\b")
_CUT: Final = re.compile(r"\[\d+ (characters(?: cut|, removed))")


def steady(text: str, tree: str) -> str:
    """Take out the place of the work tree, delimiters of frames, durations and addresses."""
    if tree:
        text = text.replace(tree, TREE)
    text = _CUT.sub(r"[# \1", _NONCE.sub(r"\1#", text))
    return _ADDRESS.sub("0x#", DURATION.sub("#", text))


def off_tree(value: object, tree: str) -> object:
    """Put a mark where a text of a JSON value names the place of the work tree."""
    return _replaced(value, tree, TREE) if tree else value


def in_tree(value: object, tree: str) -> object:
    """Put the place of a work tree where the mark stands."""
    return _replaced(value, TREE, tree)


def _replaced(value: object, old: str, new: str) -> object:
    """Replace a text in every text of a JSON value."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, Mapping):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, old, new) for item in value]
    return value
