"""The rules that need several files hold for the tree, and each is shown to catch a sinner."""

from pathlib import Path

from tests.tidy import tree_rules as rules
from tests.tidy.reading import files_under, product_python, relative, text_of

STORE = "juggernaut/adapters/postgres/"


def test_the_middle_file_is_short() -> None:
    """A newcomer reads a file at a sitting."""
    assert rules.heavy_median({relative(p): text_of(p) for p in product_python()}) == []


def test_every_query_is_used() -> None:
    """A .sql file that nothing names is a promise nobody keeps."""
    queries = [q for p in files_under("juggernaut", suffix=".sql") if (q := relative(p))]
    named = {relative(p): text_of(p) for p in product_python()}
    assert rules.unused_queries([q for q in queries if q.startswith(f"{STORE}sql/")], named) == []


def test_every_prompt_is_used() -> None:
    """A prompt file that no code names reaches no model."""
    code = "\n".join(text_of(path) for path in product_python())
    prompts = [Path(relative(p)).stem for p in files_under("config", suffix=".md")]
    assert prompts
    assert [name for name in prompts if f'"{name}"' not in code and f"'{name}'" not in code] == []


def test_every_module_is_used() -> None:
    """Code that nothing shipped imports is not part of the product."""
    sources = {relative(p): text_of(p) for p in product_python()}
    assert rules.dead_modules(sources, "juggernaut") == []


def test_a_heavy_tree_is_caught() -> None:
    """The median rule can fail; markers of three lines do not soften it."""
    long = "x = 1\n" * (rules.MAX_MEDIAN_LINES + 1)
    assert rules.heavy_median({"a.py": long, "b/__init__.py": "x = 1\n", "c/__init__.py": ""})
    assert not rules.heavy_median({"a.py": long, "b.py": "x = 1\n" * 9})


def test_an_unused_query_is_caught() -> None:
    """A name that is only part of another name does not count."""
    sources = {"store.py": "QUERY = load('read_task_board')"}
    assert rules.unused_queries(["sql/read_task.sql"], sources)
    assert not rules.unused_queries(["sql/read_task_board.sql"], sources)


def test_a_dead_module_is_caught() -> None:
    """A module is alive when a statement or a dotted name elsewhere mentions it."""
    sources = {
        "juggernaut/__init__.py": "",
        "juggernaut/__main__.py": "from juggernaut import alive",
        "juggernaut/alive.py": "from .domain import states\nLAZY = 'juggernaut.late:run'",
        "juggernaut/late.py": "import juggernaut.late",
        "juggernaut/domain/states.py": "",
        "juggernaut/domain/dead.py": "import juggernaut.domain.dead",
    }
    assert rules.dead_modules(sources, "juggernaut") == [
        "juggernaut/domain/dead.py: imported by nothing"
    ]
