"""Each text rule holds for the tree, and each is shown to catch a sinner."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.tidy import text_rules as rules
from tests.tidy.reading import (
    PRODUCT_FOLDERS,
    REPO,
    all_python,
    files_under,
    relative,
    repository_files,
    text_of,
)

Rule = Callable[[str], list[str]]

CONFIG_SUFFIXES = {".toml", ".txt", ".cfg", ".ini", ".lock", ".yaml", ".yml", ".json"}
CONFIG_NAMES = {"Makefile", "Dockerfile", "Procfile", ".python-version"}

# The rules' own patterns and planted sinners, and the tests of the scrubber.
ABOUT_TOKENS = {"tests/unit/test_redact.py", "tests/tidy/test_text_rules.py"}


def findings(rule: Rule, paths: Iterable[Path]) -> list[str]:
    """Apply one rule to files and put each file's name before what was found in it."""
    return [f"{relative(path)}:{found}" for path in paths for found in rule(text_of(path))]


def is_config(path: Path) -> bool:
    """Say whether a file configures an install or a build."""
    in_ci = relative(path).startswith((".ci/", ".railway/", ".github/"))
    return path.suffix in CONFIG_SUFFIXES or path.name in CONFIG_NAMES or in_ci


def test_there_are_files_to_judge() -> None:
    """An empty list of files would make every rule hold."""
    names = {relative(path) for path in repository_files()}
    assert {"pyproject.toml", "juggernaut/__init__.py", "Makefile", ".ci/run"} <= names


def test_no_file_has_a_name_that_says_nothing() -> None:
    """Code in such a file is in the wrong place."""
    assert [f for path in all_python() for f in rules.vague_name(relative(path))] == []


def test_nothing_shipped_is_unfinished() -> None:
    """A stub is a defect, not a note."""
    shipped = files_under(*PRODUCT_FOLDERS, "migrations", "config")
    assert findings(rules.unfinished, shipped) == []


def test_no_file_names_a_developers_machine() -> None:
    """Neither somebody's home nor the folder of this very checkout is written anywhere."""
    paths = [p for p in repository_files() if relative(p) != "tests/tidy/test_text_rules.py"]
    assert findings(rules.developer_paths, paths) == []
    here = [relative(p) for p in paths if f"{REPO}/" in text_of(p)]
    assert here == []


def test_configuration_names_no_registry() -> None:
    """Where packages come from is the choice of whoever installs."""
    assert findings(rules.registry_addresses, filter(is_config, repository_files())) == []


def test_no_file_holds_something_like_a_token() -> None:
    """A planted secret says FAKE; a real one has no business here."""
    paths = [p for p in repository_files() if relative(p) not in ABOUT_TOKENS]
    assert findings(rules.tokens, paths) == []


def test_no_sql_locks_rows_inside_in() -> None:
    """The form that may claim more rows than its limit is written nowhere."""
    product = [*files_under("migrations"), *files_under(*PRODUCT_FOLDERS)]
    assert findings(rules.lock_inside_in, product) == []


@pytest.mark.parametrize(
    ("rule", "sinner"),
    [
        (rules.vague_name, "juggernaut/app/utils.py"),
        (rules.vague_name, "juggernaut/common/states.py"),
        (rules.vague_name, "tests/db_helpers.py"),
        (rules.unfinished, "x = 1  # TODO later"),
        (rules.unfinished, "raise NotImplementedError"),
        (rules.developer_paths, "cache = '/root/.cache/x'"),
        (rules.developer_paths, "cd /home/alice/code"),
        (rules.developer_paths, "open('/Users/bob/x')"),
        (rules.registry_addresses, "--extra-index-url https://example.org/simple"),
        (rules.registry_addresses, "url = https://files.pythonhosted.org/x.whl"),
        (rules.registry_addresses, "rich @ file:///tmp/rich.whl"),
        (rules.tokens, "ghp_" + "a1B2" * 9),
        (rules.tokens, "key: sk-ant-" + "api03-" + "x" * 20),
        (rules.tokens, "sk-or-" + "v1-" + "0" * 40),
        (rules.tokens, "AKIA" + "Q" * 16),
        (rules.tokens, "-----BEGIN RSA PRIVATE KEY-----\n" + "A" * 64),
        (rules.lock_inside_in, "WHERE id IN (SELECT id FROM t LIMIT 1 FOR UPDATE SKIP LOCKED)"),
        (rules.lock_inside_in, "id in (\n select id from f(x) -- why\n for no key update)"),
    ],
)
def test_each_rule_catches_a_planted_sinner(rule: Rule, sinner: str) -> None:
    """A rule that cannot fail would be worth nothing."""
    assert rule(sinner) != []


@pytest.mark.parametrize(
    ("rule", "honest"),
    [
        (rules.vague_name, "juggernaut/domain/states.py"),
        (rules.unfinished, "the todo list of a goal"),
        (rules.developer_paths, "--tmpfs /home --bind x /home/agent; POST /work/claim; /root"),
        (rules.registry_addresses, "DATABASE_URL=postgresql://db/x and https://api.github.com"),
        (rules.tokens, "sk-ant-" + "FAKE" * 6),
        (rules.tokens, "the prefix sk-ant- or ghp_ begins a token"),
        (rules.lock_inside_in, "id = ANY (ARRAY (SELECT id FROM t FOR UPDATE SKIP LOCKED))"),
        (rules.lock_inside_in, "id IN (SELECT id FROM t) ORDER BY id FOR UPDATE"),
        (rules.lock_inside_in, "-- never IN (SELECT id FROM t FOR UPDATE)"),
    ],
)
def test_no_rule_complains_of_the_honest_form(rule: Rule, honest: str) -> None:
    """What the house asks for passes."""
    assert rule(honest) == []
