"""Each claim of docs/github.md names a test that is there; its table is what an App asks for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from juggernaut.adapters.forges.github.tokens import PERMISSIONS
from tests.docs.blocks import REPO

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
CLAIM = re.compile(r"^\| (?!claim|---|permission)(.+?) \| (.+?) \|$", re.MULTILINE)
PERMISSION = re.compile(r"^\| ([A-Z][a-z ]+) \| (read|write) \|", re.MULTILINE)
NAMES = {"commit_statuses": "statuses"}


def page() -> str:
    """The text of the page."""
    return (REPO / "docs" / "github.md").read_text(encoding="utf-8")


def unproven(text: str) -> list[str]:
    """The claims that name no test, or one that is not there."""
    found = []
    _, _, claims = text.partition("\n## What it does\n")
    for claim, proof in CLAIM.findall(claims):
        named = NAMED.fullmatch(proof)
        if named is None or named[2] not in names_in(REPO / named[1]):
            found.append(claim)
    return found


def names_in(path: Path) -> set[str]:
    """The names of a file's tests."""
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def test_every_claim_names_a_test_that_exists() -> None:
    """There are claims, and none is without proof."""
    assert len(NAMED.findall(page())) > 15
    assert unproven(page()) == []


def test_an_unproven_claim_is_found() -> None:
    """One whose test is gone, and one without any."""
    sinners = (
        "\n## What it does\n\n| claim | test |\n|---|---|\n"
        "| flies | `tests/docs/none.py::test_x` |\n"
        "| swims | trust me |\n| walks | `tests/docs/test_github_page.py::test_gone` |\n"
    )
    assert unproven(sinners) == ["flies", "swims", "walks"]


def test_the_permissions_are_those_that_tokens_ask_for() -> None:
    """Each of the table, and no other."""
    told = {name.lower().replace(" ", "_"): level for name, level in PERMISSION.findall(page())}
    assert {NAMES.get(name, name): level for name, level in told.items()} == PERMISSIONS
