"""Each Python rule holds for the tree, and each is shown to catch a sinner."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tidy import python_rules as rules
from tests.tidy.reading import all_python, files_under, product_python, relative, text_of

Rule = Callable[[str], list[str]]

# The supervisor restarts whatever fails, so it alone may catch everything.
BROAD_EXCEPT_ALLOWED = {"juggernaut/runtime/supervisor.py"}

# The operator's tools that run before the store exists, or beside it.
SQL_ALLOWED = (
    "juggernaut/app/fingerprint.py",
    "juggernaut/app/local_postgres",
    "juggernaut/app/logins.py",
    "juggernaut/app/migrate.py",
)


def findings(rule: Rule, paths: list[Path]) -> list[str]:
    """Apply one rule to files and put each file's name before what was found in it."""
    return [f"{relative(path)}:{found}" for path in paths for found in judged(rule, text_of(path))]


def judged(rule: Rule, source: str) -> list[str]:
    """Apply one rule; source that this Python cannot read is a finding, not a crash."""
    try:
        return rule(source)
    except SyntaxError as error:
        return [f"{error.lineno}: cannot be parsed: {error.msg}"]


@pytest.mark.parametrize("rule", [rules.long_file, rules.long_functions, rules.printing])
def test_all_python_keeps_the_rule(rule: Rule) -> None:
    """Length and output rules hold for the tests too."""
    assert findings(rule, all_python()) == []


@pytest.mark.parametrize(
    "rule", [rules.missing_docstrings, rules.missing_annotations, rules.hidden_execution]
)
def test_product_keeps_the_rule(rule: Rule) -> None:
    """What is shipped is documented, typed and never runs text."""
    assert findings(rule, product_python()) == []


def test_only_the_supervisor_catches_everything() -> None:
    """A broad except hides the error that the error tree would have named."""
    paths = [p for p in product_python() if relative(p) not in BROAD_EXCEPT_ALLOWED]
    assert findings(rules.broad_excepts, paths) == []


def test_sql_is_not_in_python() -> None:
    """Writes are database functions, reads are .sql files."""
    paths = [p for p in product_python() if not relative(p).startswith(SQL_ALLOWED)]
    assert findings(rules.sql_strings, paths) == []


def test_roles_reach_nothing_but_their_face() -> None:
    """A role file says what to do; it gets no way round RoleContext."""
    assert findings(rules.role_imports, files_under("roles", suffix=".py")) == []


GOOD = '''
def greet(name: str) -> str:
    """Return a greeting. SELECT nothing."""
    try:
        return f"Select a name from {name}: update it, delete it."
    except ValueError:
        return "with love as ever"
    except BaseException:
        tidy_up()
        raise
'''


@pytest.mark.parametrize(
    "rule",
    [
        rules.long_file,
        rules.long_functions,
        rules.missing_docstrings,
        rules.missing_annotations,
        rules.printing,
        rules.broad_excepts,
        rules.hidden_execution,
        rules.sql_strings,
        rules.role_imports,
    ],
)
def test_an_honest_file_breaks_no_rule(rule: Rule) -> None:
    """No rule complains of ordinary code and prose."""
    assert rule(GOOD) == []


@pytest.mark.parametrize(
    ("rule", "sinner"),
    [
        (rules.long_file, "x = 1\n" * (rules.MAX_FILE_LINES + 1)),
        (rules.long_functions, "def f() -> None:\n" + "    x = 1\n" * rules.MAX_FUNCTION_LINES),
        (rules.missing_docstrings, "def f() -> None:\n    x = 1\n"),
        (rules.missing_docstrings, "class A:\n    async def f(self) -> None:\n        x = 1\n"),
        (rules.missing_annotations, "def f(x) -> None: ..."),
        (rules.missing_annotations, "def f(x: int): ..."),
        (rules.missing_annotations, "class A:\n    def f(self, *, y) -> None: ..."),
        (rules.missing_annotations, "class A:\n    @staticmethod\n    def f(y) -> None: ..."),
        (rules.missing_annotations, "def f(*args, **kwargs: int) -> None: ..."),
        (rules.printing, "print('x')"),
        (rules.broad_excepts, "try:\n    f()\nexcept:\n    pass"),
        (rules.broad_excepts, "try:\n    f()\nexcept Exception:\n    pass"),
        (rules.broad_excepts, "try:\n    f()\nexcept (OSError, BaseException) as e:\n    pass"),
        (rules.broad_excepts, "try:\n    f()\nexcept* builtins.Exception:\n    pass"),
        (rules.broad_excepts, "try:\n    f()\nexcept Exception:\n    g()\n    raise X() from None"),
        (rules.broad_excepts, "for x in y:\n  try: f()\n  except:\n    if g(): break\n    raise"),
        (rules.hidden_execution, "eval('1')"),
        (rules.hidden_execution, "exec(text)"),
        (rules.hidden_execution, "os.system('ls')"),
        (rules.hidden_execution, "subprocess.run(command, shell=True)"),
        (rules.hidden_execution, "subprocess.run(command, shell=wanted)"),
        (rules.hidden_execution, "await asyncio.create_subprocess_shell(text)"),
        (rules.sql_strings, "q = 'SELECT 1'"),
        (rules.sql_strings, "q = f'''\n  select {x}, y\n  from {t}'''"),
        (rules.sql_strings, "q = 'select id from governance_tasks'"),
        (rules.sql_strings, "q = 'insert into t values (1)'"),
        (rules.sql_strings, "q = f'UPDATE tasks SET status = {x}'"),
        (rules.sql_strings, "q = 'DELETE FROM tasks'"),
        (rules.sql_strings, "q = 'WITH due AS MATERIALIZED (SELECT 1) SELECT 2'"),
        (rules.role_imports, "import os"),
        (rules.role_imports, "import os.path as p"),
        (rules.role_imports, "from subprocess import run"),
        (rules.role_imports, "import json, socket"),
        (rules.role_imports, "import asyncpg"),
        (rules.role_imports, "from juggernaut.ports import Store"),
        (rules.role_imports, "from juggernaut import ports"),
        (rules.role_imports, "from juggernaut import role, ports"),
        (rules.role_imports, "from .executor import ROLE"),
        (rules.role_imports, "from importlib import import_module"),
        (rules.role_imports, "def f() -> None:\n    from urllib.request import urlopen"),
    ],
)
def test_each_rule_catches_a_planted_sinner(rule: Rule, sinner: str) -> None:
    """A rule that cannot fail would be worth nothing."""
    assert rule(sinner) != []


def test_source_that_cannot_be_parsed_is_a_finding() -> None:
    """A broken file does not pass because no rule could read it, and it is named."""
    assert judged(rules.printing, "x = 1\ndef (:\n") == ["2: cannot be parsed: invalid syntax"]


@pytest.mark.parametrize(
    "source", ["from juggernaut.role import Role", "from juggernaut import role", "import json"]
)
def test_a_role_may_import_its_face_and_harmless_stdlib(source: str) -> None:
    """The rule for roles leaves them what they need."""
    assert rules.role_imports(source) == []
