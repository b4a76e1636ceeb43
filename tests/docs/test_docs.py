"""What the documents say about commands, files, settings and numbers is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import typer.main

from juggernaut.adapters.forges.git import OLDEST_GIT
from juggernaut.app.cli import build
from juggernaut.app.resources import role_files
from juggernaut.app.role_files import load_role
from juggernaut.app.setting_sources import CONFIG_VARIABLE, SECRETS
from juggernaut.app.settings import Settings
from juggernaut.domain import states
from juggernaut.domain.states import TERMINAL, TRANSITIONS, TaskStatus
from tests.docs.blocks import REPO, code_of, documents
from tests.docs.functions_page import places
from tests.fixtures_postgres import Database

COMMAND = re.compile(r"\bjuggernaut ((?:[a-z-]+ ?)[^`)#|&;]*)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PLACE = re.compile(r"(?:juggernaut|roles|config|migrations|tests|docs|\.ci)/[\w./-]*\w")
ROW = re.compile(r"^\| `([^`]+)`(?: \*)? \|(.*)\|$", re.MULTILINE)


def text_of(path: Path) -> str:
    """The text of a document."""
    return path.read_text(encoding="utf-8")


def wrong_command(line: str) -> str | None:
    """Say what of a `juggernaut ...` command line does not exist; None when all of it does."""
    found = COMMAND.search(line)
    if found is None:
        return None
    command = typer.main.get_command(build())
    words = split(found[1])
    for word in words:
        children = getattr(command, "commands", None)
        if children is None or word.startswith(("-", "[")):
            break
        if word not in children:
            return f"{word} in: {line}"
        command = children[word]
    options = {name for parameter in command.params for name in parameter.opts}
    options |= {name for parameter in command.params for name in parameter.secondary_opts}
    options |= {"--help", "--version"} if command.name == "juggernaut" else {"--help"}
    unknown = [name for name in words if name.startswith("--") and name not in options]
    return f"{unknown[0]} in: {line}" if unknown else None


def split(line: str) -> list[str]:
    """Split a command line as a shell does; one that was cut off, at its blanks."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def broken_links(path: Path, text: str) -> list[str]:
    """The relative links of a document that lead to no file or heading."""
    broken = []
    for target in LINK.findall(text):
        place, _, anchor = target.partition("#")
        if "://" in place:
            continue
        file = (path.parent / place).resolve() if place else path
        if not file.exists() or (anchor and anchor not in anchors_of(text_of(file))):
            broken.append(f"{path.name}: {target}")
    return broken


def anchors_of(text: str) -> set[str]:
    """The names under which a document's headings are linked."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


def missing_files(text: str) -> list[str]:
    """The files of this repository that a document names in code and that are not there."""
    spans = (span for span in code_of(text) if PLACE.fullmatch(span.rstrip("/")))
    return [span for span in spans if not (REPO / span).exists()]


def table(text: str, heading: str) -> dict[str, str]:
    """The rows below a heading whose first cell is code: that cell, and the rest of the row."""
    _, mark, rest = text.partition(f"\n## {heading}\n")
    assert mark, f"there is no heading {heading!r}"
    return dict(ROW.findall(rest.partition("\n## ")[0]))


def drawn_moves(drawing: str) -> set[tuple[str, str]]:
    """The moves of lines like `blocked -> pending | waiting (why)`; a line may go on below."""
    told = re.sub(r"\([^)]*\)", "", drawing).replace("any open state", "*")
    moves = set()
    for line in re.sub(r"\n\s*\|", " |", told).splitlines():
        old, arrow, new = line.partition("->")
        open_ones = [state for state in TaskStatus if state not in TERMINAL]
        for start in open_ones if old.strip() == "*" else [old.strip()]:
            moves |= {(str(start), end.strip()) for end in new.split("|") if arrow}
    return moves


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_every_command_and_option_exists(path: Path) -> None:
    """Sub-commands and options, in each line of code that calls juggernaut."""
    assert [found for line in code_of(text_of(path)) if (found := wrong_command(line))] == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_every_link_and_every_named_file_is_there(path: Path) -> None:
    """Relative links with their headings, and paths in code."""
    assert broken_links(path, text_of(path)) == []
    assert missing_files(text_of(path)) == []


def test_what_is_wrong_is_found() -> None:
    """A planted sinner of each kind."""
    assert wrong_command("juggernaut fly away")
    assert wrong_command("juggernaut task fly")
    assert wrong_command('A=1 juggernaut up --wings 2 --goal "x"')
    assert not wrong_command('export X=$(juggernaut login create worker swarm --dsn "$Y")')
    here = REPO / "README.md"
    assert broken_links(here, "[a](docs/nothing.md) [b](docs/roles.md#no-such-heading)")
    assert not broken_links(here, "[c](docs/roles.md#a-sixth-one) [d](https://example.org)")
    assert missing_files("see `juggernaut/lifecycle/fly.py`") == ["juggernaut/lifecycle/fly.py"]


def test_the_readme_has_commands_at_all() -> None:
    """An empty list would make the tests above hold."""
    lines = [line for line in code_of(text_of(REPO / "README.md")) if COMMAND.search(line)]
    assert len(lines) > 20


def test_the_command_table_is_the_command_line() -> None:
    """Each command once, and no other."""
    told = {name.removeprefix("juggernaut ") for name in table(readme(), "Commands")}
    assert told == set(getattr(typer.main.get_command(build()), "commands", {}))


def test_the_environment_table_is_the_settings() -> None:
    """Each variable once, and the secrets marked."""
    told = set(table(readme(), "Environment"))
    fields = Settings.model_fields
    assert told == {str(field.alias) for field in fields.values()} | {CONFIG_VARIABLE}
    marked = set(re.findall(r"^\| `(\w+)` \* \|", readme(), re.MULTILINE))
    assert marked == {str(fields[name].alias) for name in SECRETS}


def test_every_make_target_exists() -> None:
    """In each document that tells people to run one."""
    targets = set(re.findall(r"^([a-z0-9-]+):", text_of(REPO / "Makefile"), re.MULTILINE))
    named = {
        match[1]
        for path in documents()
        for line in code_of(text_of(path))
        if (match := re.match(r"make ([a-z0-9-]+)", line))
    }
    assert named
    assert named <= targets


async def test_the_threshold_table_is_the_database(database: Database) -> None:
    """Name, value and unit of each."""
    operator = await database.connect()
    rows = await operator.fetch("SELECT name, value, unit FROM juggernaut.thresholds")
    told = {
        name: tuple(cell.strip() for cell in rest.split("|")[:2])
        for name, rest in table(text_of(REPO / "docs/operating.md"), "Thresholds").items()
    }
    assert told == {row["name"]: (str(row["value"]), row["unit"]) for row in rows}


def test_every_kind_of_alert_is_explained() -> None:
    """Those that the migrations raise, and no other."""
    told = set(table(text_of(REPO / "docs/operating.md"), "Alerts"))
    law = "\n".join(text_of(path) for path in sorted((REPO / "migrations").glob("*.sql")))
    raised = set(re.findall(r"raise_alert\('(\w+)'", law))
    found = re.findall(r"kinds text\[\] := ARRAY\[([^]]+)\]", law)
    assert told == raised | set(re.findall(r"'(\w+)'", found[-1]))


@pytest.mark.parametrize("role", sorted(role_files([REPO / "roles"])))
def test_the_duties_of_a_role_are_told(role: str) -> None:
    """As many as it has in docs/roles.md, and each interval in docs/operating.md."""
    duties = load_role(REPO / "roles" / f"{role}.py").duties
    roles, operating = (text_of(REPO / f"docs/{page}.md") for page in ("roles", "operating"))
    cells = re.findall(rf"^\| \[{role}\]\(.+\| (.+) \|$", roles, re.MULTILINE)
    assert len(duties) == sum(len(cell.split(", ")) for cell in cells if cell != "none")
    told = re.findall(rf"^\| {role} \|(.+)$", operating, re.MULTILINE)
    assert {duty.every for duty in duties} == set(re.findall(r"`(\w+_seconds)`", "".join(told)))


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_a_page_names_the_test_that_reads_it(path: Path) -> None:
    """And not another one."""
    named = re.findall(r"`(tests/docs/\w+\.py)`", text_of(path))
    assert [
        test for test in named if not re.search(rf'["/]{path.name}"', text_of(REPO / test))
    ] == []


def test_the_readme_says_which_git_is_needed_and_how_to_pull() -> None:
    """The version that the forge asks for, and the words that `juggernaut up` writes."""
    assert f"git {'.'.join(map(str, OLDEST_GIT))} or newer" in readme()
    (words,) = re.findall(r"the line `(.+?)` says how to pull", readme())
    assert f'"{words} ' in text_of(REPO / "juggernaut/app/cli/up.py")


def test_the_readme_finds_the_claim_in_three_hops() -> None:
    """The page, the verb, the statement; each leads to the next."""
    hops = readme().partition("## Where does a task get claimed?")[2].partition("\n## ")[0]
    page, verb, law = (REPO / place for place in LINK.findall(hops))
    assert re.search(r"^claim ", text_of(page), re.MULTILINE)
    assert "async def claim(" in text_of(verb)
    assert law.name == places()["juggernaut.claim_v1"].file
    assert text_of(page).count("\n\ndecompose") == 1


def test_the_moves_of_a_task_are_drawn_whole() -> None:
    """On the page and at the head of the module: each move there is, and no other."""
    page = text_of(REPO / "docs/architecture.md").partition("\n## States\n")[2]
    for drawing in (page.split("```")[1], states.__doc__ or ""):
        assert drawn_moves(drawing) == {(str(old), str(new)) for old, new in TRANSITIONS}


async def test_how_long_a_low_task_may_be_overtaken_is_told(database: Database) -> None:
    """The weights of the page are those of the database."""
    rows = await (await database.connect()).fetch("SELECT * FROM juggernaut.priorities")
    page = text_of(REPO / "docs/operating.md")
    for row in rows:
        assert f"{row['priority']} {row['weight_seconds']} s" in page
    assert f"more than {max(row['weight_seconds'] for row in rows)} s after it" in page


def readme() -> str:
    """The text of the README."""
    return text_of(REPO / "README.md")
