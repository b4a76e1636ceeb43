"""What a plain-SQL worker says has to be green, about something, and about each criterion."""

from __future__ import annotations

import json
from uuid import UUID

import asyncpg
import pytest

from tests.governance.plain_sql import PlainWorker
from tests.invariants.mutants import Mutant
from tests.roles.bench import Bench

SEED = """Merged PR #156: https://github.com/o/r/pull/156
- Added core/memory.py with MemoryStore class
- Implemented save_memory(), recall_memories(), search_similar()
- All 12 unit tests passing"""
TESTED = "pytest -q ran at the head of main: 12 passed, 0 failed"
GOOD = (
    ("test", "python -m unittest -q at 8f25a85: 11 passed, 0 failed"),
    ("test", "pytest -q ran at the head of main: 12 passed, 0 failed in 3.1 s"),
    ("test", "12 tests passed at the commit of this branch, none failed"),
    ("test", "Ran the suite at 8f25a85: 12/12 passed, 0 failed, exit code 0"),
    ("test", "At 8f25a85: 1,200 passed,0 failed, 3 skipped, 1 xfailed, 0 errors"),
    ("test", 'The report at 8f25a85 has {"passed": 12, "failed": 0}, nothing else'),
    ("test", "In tests/test_failures.py no test failed, and 12 tests passed"),
    ("test", "I mended the test that failed. pytest -q at the head: 12 passed, 0 failed"),
    ("test", SEED),
    ("command", "make dist ran in the checkout and ended with exit code 0"),
    ("command", "`make dist` in a fresh checkout, exit_code=0, two archives"),
    ("command", "make dist of a fresh checkout took 3.1 s, exit code **0**"),
    ("command", "I ran make dist in the checkout, and the exit code was 0"),
    ("command", "make dist in a fresh checkout exited with status 0. 2 archives"),
    ("verification", "ruff check .: pass; mypy: ok; two builds give the same bytes: met"),
    ("verification", "the upload of both archives: succeeded; its digest: successful"),
    ("verification", "| ruff | pass |\n| mypy on all files | passed |\n| links of the docs | ok |"),
    ("verification", "- login with a wrong password fails: ok\n- ruff check .: exit code 0"),
    ("documentation", "Wrote docs/operating.md, a chapter on thresholds and their units"),
    ("documentation", "The chapter on thresholds and their units is in README.md now"),
    ("documentation", "The page on thresholds is at https://wiki/operating/thresholds now"),
    ("research", "SKIP LOCKED skips rows, says https://www.postgresql.org/docs/18/sql-select.html"),
    ("code", SEED),
    ("code", "Merged https://example.org/o/r/pull/7 after all twelve tests passed"),
)
RED = (
    (
        "test",
        "All tests were run; 3 passed, 9 failed, so the whole suite is red at the moment",
        "9 failed",
    ),
    (
        "test",
        "Ran everything, 0 tests passed and I did not even look at the failures, sorry",
        "0 tests passed",
    ),
    ("test", "pytest -q ran at the head of main: 12 passed, 1,000 failed", "1,000 failed"),
    ("test", "pytest -q ran at the head of main: 12 passed, 1 000 failed", "000 failed"),
    ("test", "pytest -q ran at the head of main: 0 of 12 tests passed, 0 failed", "0 of 12 tests"),
    ("test", "pytest -q ran at the head of main: no test passed, and none failed", "no test pass"),
    ("test", "unit tests: 12 passed, 0 failed; integration tests: 2 failing", "2 failing"),
    (
        "test",
        "12 passed, 0 failed at first, and then many of the tests failed",
        "many of the tests",
    ),
    ("test", "unit tests 12 passed, 0 failed, but integration failed.", "integration failed"),
    ("test", "unit tests: 12 passed, 0 failed, 3 errors in collection", "3 errors"),
    ("test", "unittest at the head said: 12 passed, FAILED (failures=9)", "failures=9"),
    ("test", "12 passed, 0 failed at the head of main, but exit code 1", "exit code 1"),
    ("test", "12 tests passed at the head, not all 15 of them passed, 0 failed", "not all 15"),
    ("test", f"at the head {'9' * 40} passed, 0 failed, which is a lot", "999"),
    (
        "command",
        "The command ended with exit code 1 because something was wrong with the build",
        "exit code 1",
    ),
    ("command", "make dist in a fresh checkout exited with status -9 after 3 s", "status -9"),
    ("command", "make dist: exit code 1 at first, then it was exit code 0 again", "exit code 1"),
    ("command", "make dist of the checkout did not exit with code 0 at all", "not exit"),
    ("command", "make dist: expected exit code 0 of it, got 2 instead of that", "got 2"),
    (
        "verification",
        "ruff check .: pass; mypy on all files: failed; links: ok",
        "mypy on all files",
    ),
    ("verification", "ruff check .: pass; mypy on all files: exit code 1", "exit code 1"),
    ("verification", "ruff check .: pass; the links of the docs: not ok", "not ok"),
    ("verification", "ruff check .: pass; of the named checks 9 failed", "9 failed"),
    ("verification", "ruff check .: pass, but the types of the package failed.", "package failed"),
)
LOREM = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod"
EMPTY = (
    ("test", "pytest -q ran at the head of main, and 12 tests of it passed", "fail counts"),
    ("test", "12 passengers looked at 0 failsafe trains all day long, and left", "fail counts"),
    ("test", f"{LOREM} and nothing failed in it", "pass and fail counts"),
    ("test", f"{LOREM} 100% passed, 0% failed", "pass and fail counts"),
    ("verification", LOREM, "each check with its result"),
    ("verification", "the method of it was looked at, and metrics were passable", "each check"),
    ("verification", "Status: ok and everything was fine with all of it today", "each check"),
    ("verification", "ruff check: pass/fail and everything was looked at by me", "each check"),
    ("verification", "12:30: ok and everything was fine with all of it today", "each check"),
    (
        "documentation",
        "The documentation was written and/or improved in many useful places by me today",
        "where the document is",
    ),
    (
        "documentation",
        "Some documents, e.g. the one of yesterday, were improved.It is",
        "where the",
    ),
    ("documentation", "I wrote it at https:// and it is 1/2 longer than v1.2 was", "where the"),
    ("research", f"https:// {LOREM}", "the sources"),
    ("research", "http://and.or/ https://example.org/x and that is all", "a summary"),
    ("research", "https://example.org/a/b/c/d/e/f https://example.org/one/two/three", "a summary"),
    ("command", "The command was run and it came to its exit without any trouble", "its exit code"),
    ("command", "make dist in a fresh checkout: exit code nonzero, sorry for it", "its exit code"),
    ("code", f"Merged the pull request, {LOREM}", "the URL of the merged pull request"),
)
REMEDY = "mark it as failed"
CRITERIA = "the page has links\ntwo builds give the same bytes"
LACKING = (
    ("", '"criterion 1: met" (the page has links), "criterion 2: met" (two builds'),
    ("criterion 2: met", '"criterion 1: met" (the page has links)'),
    ("criterion 1: met; criterion 12: met", '"criterion 2: met" (two builds'),
    ("criterion 1: met; criterion 2: not met", 'says "criterion 2: not met"'),
    ("criterion 1: met; criterion 2: met; criterion 2: unmet", 'says "criterion 2: unmet"'),
    ("criterion 1: met; criterion 2: partly", 'says "criterion 2: partly"'),
    ("criterion 1: met; criterion 2: met?", 'says "criterion 2: met?"'),
    ("criterion 1: met; criterion 2: met, though one was not met", 'says "not met"'),
    ("criterion 1 is met, criterion 2 -- metal", 'says "criterion 2 -- metal"'),
)


async def held(bench: Bench, plain: PlainWorker, kind: str, **columns: object) -> UUID:
    """A task of this type that the plain-SQL worker holds."""
    await bench.operator.execute("SELECT grant_capability('executor', $1)", kind)
    task = await bench.add_task(kind, **columns)
    await plain.claim(task)
    return task


async def refusal(plain: PlainWorker, task: UUID, said: str) -> str:
    """What the database says against these words."""
    with pytest.raises(asyncpg.PostgresError) as caught:
        await plain.complete(task, said)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "said"), GOOD)
async def test_good_words_complete(bench: Bench, plain: PlainWorker, kind: str, said: str) -> None:
    """Those of the worker instructions, of the cookbook, and other ways to say the same."""
    task = await held(bench, plain, kind)
    await plain.complete(task, said)
    status = (await bench.task(task))["status"]
    assert status == ("awaiting_merge" if kind == "code" else "completed")


@pytest.mark.parametrize(("kind", "said", "named"), RED)
async def test_red_words_complete_nothing(
    bench: Bench, plain: PlainWorker, kind: str, said: str, named: str
) -> None:
    """What is red is named, and what to do about it."""
    task = await held(bench, plain, kind)
    why = await refusal(plain, task, said)
    assert f"evidence for a {kind} task says" in why
    assert named in why.partition("work that is red")[0]
    assert REMEDY in why
    assert (await bench.task(task))["status"] == "in_progress"


@pytest.mark.parametrize(("kind", "said", "named"), EMPTY)
async def test_empty_words_complete_nothing(
    bench: Bench, plain: PlainWorker, kind: str, said: str, named: str
) -> None:
    """Words of the right length that name nothing of the type."""
    task = await held(bench, plain, kind)
    why = await refusal(plain, task, said)
    assert f"evidence for a {kind} task must name" in why
    assert named in why


async def test_stated_facts_are_kept_as_numbers(bench: Bench, plain: PlainWorker) -> None:
    """Beside the words that state them."""
    task = await held(bench, plain, "test")
    await plain.complete(task, "Ran the suite at 8f25a85: 1,200 passed, 0 failed, exit code 0")
    facts = await bench.facts(task)
    assert (facts["passed"], facts["failed"], facts["exit_code"]) == (1200, 0, 0)


@pytest.mark.parametrize(("said", "named"), LACKING)
async def test_each_criterion_needs_a_word(
    bench: Bench, plain: PlainWorker, said: str, named: str
) -> None:
    """What to write is said; what is not met is no completion."""
    task = await held(bench, plain, "test", acceptance_criteria=CRITERIA)
    why = await refusal(plain, task, f"{TESTED}; {said}")
    assert named in why
    assert "mark" in why
    assert await bench.rows("SELECT * FROM juggernaut.verdicts") == []


@pytest.mark.parametrize(
    "said",
    [
        "criterion 1: met; criterion 2: met",
        "\n- Criterion 1: **met**\n- Criterion 2: met (sha256 of both)",
        "criterion #1 is met, criterion 2 met.",
    ],
)
async def test_a_verdict_is_what_was_said_of_it(
    bench: Bench, plain: PlainWorker, said: str
) -> None:
    """Met, self-reported, with the words."""
    task = await held(bench, plain, "test", acceptance_criteria=CRITERIA)
    await plain.complete(task, f"{TESTED}; {said}")
    rows = await bench.rows("SELECT * FROM juggernaut.verdicts ORDER BY number")
    assert [(row["verdict"], row["source"]) for row in rows] == [("met", "self-reported")] * 2
    for row in rows:
        assert f"{row['number']}" in json.loads(row["facts"])["said"]
    assert await bench.rows("SELECT * FROM law_violations") == []


async def test_what_a_person_accepted_needs_no_word(bench: Bench, plain: PlainWorker) -> None:
    """The verdict is that person's; the other one is the worker's."""
    task = await held(bench, plain, "test", acceptance_criteria=CRITERIA)
    await bench.operator.execute("SELECT accept_criterion($1, 1, 'looked at it')", task)
    await plain.complete(task, f"{TESTED}; criterion 2: met")
    rows = await bench.rows("SELECT source FROM juggernaut.verdicts ORDER BY number")
    assert [row["source"] for row in rows] == ["person", "self-reported"]


async def test_a_reported_merge_gives_no_verdict(bench: Bench, plain: PlainWorker) -> None:
    """Nothing is asked, and nobody has judged its criteria before the verifier does."""
    task = await held(bench, plain, "code", acceptance_criteria=CRITERIA)
    await plain.complete(task, SEED)
    assert (await bench.task(task))["status"] == "awaiting_merge"
    assert await bench.rows("SELECT * FROM juggernaut.verdicts") == []


async def test_long_words_are_read_in_time(bench: Bench, plain: PlainWorker) -> None:
    """The most that a column takes, of what the forms look for, is judged within the time limit."""
    for kind in ("test", "verification"):
        for piece in ("12 tests of the ", "a: b: ", "exit code ", "1,", "x failed "):
            task = await held(bench, plain, kind)
            assert await refusal(plain, task, piece * (60_000 // len(piece)))


MUTANTS = (
    Mutant("red words are not read", "self_reported", r"IF red IS NOT NULL", "IF false"),
    Mutant(
        "red counts are not judged", "red_words", r"AND \(juggernaut\.fact_is.*?9\)", "AND false"
    ),
    Mutant("red checks are not judged", "red_words", r"AND NOT c\.good\b", "AND false"),
    Mutant("errors are not red", "stated", r"errors\?\\M", r"nothing"),
    Mutant("any words verify", "lacking", r"WHEN p_type = 'verification' AND", "WHEN false AND"),
    Mutant("a result is a check", "checks_stated", r" AND c\.name !~\*[^\n]*", ""),
    Mutant("and/or is a document", "lacking", r"said !~ path", r"said !~ '\\w/\\w'"),
    Mutant("any URL is a source", "lacking", r"said !~\* url", "said !~ 'https?://'"),
    Mutant("a URL is a summary", "lacking", r"regexp_replace\(said, '[^']*', ' ', 'g'\)", "said"),
    Mutant("no fail count", "lacking", r"'failed'\)\) < 2", "'failed')) < 1"),
    Mutant("no exit code", "lacking", r"WHEN p_type = 'command' AND", "WHEN false AND"),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(bench: Bench, plain: PlainWorker, mutant: Mutant) -> None:
    """With one guard taken out, some red or empty words complete a task."""
    await mutant.apply(bench.operator)
    taken = []
    for kind, said, _ in (*RED, *EMPTY):
        task = await held(bench, plain, kind)
        try:
            await plain.complete(task, said)
        except asyncpg.PostgresError:
            continue
        taken.append((kind, said))
    assert taken


ALL_MET = (
    "INSERT INTO juggernaut.verdicts (task_id, fence, number, verdict, source)"
    " SELECT c.task_id, old.fence, c.number, 'met', 'self-reported'"
    " FROM juggernaut.criteria c WHERE c.task_id = old.id"
)
CRITERIA_MUTANTS = (
    Mutant("nobody is asked", "self_reported", r"PERFORM juggernaut\.say_verdicts[^;]*", ALL_MET),
    Mutant("unmet is not read", "say_verdicts", r"IF v_unmet IS NOT NULL", "IF false"),
    Mutant("silence is met", "say_verdicts", r"IF v_unsaid IS NOT NULL", "IF false"),
)


@pytest.mark.parametrize("mutant", CRITERIA_MUTANTS, ids=lambda mutant: mutant.name)
async def test_a_criterion_without_its_guard(
    bench: Bench, plain: PlainWorker, mutant: Mutant
) -> None:
    """With one guard taken out, a task completes with a criterion that nobody called met."""
    await mutant.apply(bench.operator)
    done = []
    for said, _ in LACKING:
        task = await held(bench, plain, "test", acceptance_criteria=CRITERIA)
        try:
            await plain.complete(task, f"{TESTED}; {said}")
        except asyncpg.PostgresError:
            continue
        done.append(said)
    assert done
