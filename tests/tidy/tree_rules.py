"""The house rules that only several files together can break. Each takes texts by path."""

import ast
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from statistics import median

MAX_MEDIAN_LINES = 150


def heavy_median(sources: Mapping[str, str]) -> list[str]:
    """Find a tree whose middle file is too long; files of three lines or fewer do not count."""
    lengths = [len(text.splitlines()) for text in sources.values()]
    real = [length for length in lengths if length > 3]
    middle = median(real) if real else 0
    if middle <= MAX_MEDIAN_LINES:
        return []
    return [f"median of {middle} lines in {len(real)} files (at most {MAX_MEDIAN_LINES})"]


def unused_queries(sql_files: list[str], sources: Mapping[str, str]) -> list[str]:
    """Find .sql files that no Python file beside them names."""
    code = "\n".join(sources.values())
    return [
        f"{path}: named by no Python file"
        for path in sql_files
        if not re.search(rf"\b{re.escape(PurePosixPath(path).stem)}\b", code)
    ]


def dead_modules(sources: Mapping[str, str], package: str) -> list[str]:
    """Find modules of a package that no other file imports, by statement or by dotted name.

    Package markers and `__main__` are entered from outside, so they are not asked for.
    """
    modules = {path: module_name(path) for path in sources if path.startswith(f"{package}/")}
    named = {path: mentioned_modules(text, path) for path, text in sources.items()}
    return [
        f"{path}: imported by nothing"
        for path, module in sorted(modules.items())
        if PurePosixPath(path).stem not in {"__init__", "__main__"}
        and not any(module in names for other, names in named.items() if other != path)
    ]


def module_name(path: str) -> str:
    """Return the dotted name of a file: juggernaut/domain/states.py -> juggernaut.domain.states."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def mentioned_modules(source: str, path: str) -> set[str]:
    """Return every dotted name that a file imports, and those it names in a string (lazily)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, path)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.update(re.findall(r"^[a-z_]\w*(?:\.\w+)+", node.value))
    return found


def _base(node: ast.ImportFrom, path: str) -> str:
    """Return the absolute module that a from-import starts at; one dot is the file's folder."""
    if node.level == 0:
        return node.module or ""
    folders = PurePosixPath(path).parts[: -node.level]
    return ".".join([*folders, *([node.module] if node.module else [])])
