"""Words of honest workers: what denies, is red or leaves it open completes nothing."""

from __future__ import annotations

import asyncpg
import pytest

from tests.governance.plain_sql import PlainWorker
from tests.governance.test_plain_evidence import TESTED, held, refusal
from tests.invariants.mutants import Mutant
from tests.roles.bench import Bench

PASSED = "Ran the whole suite: 12 passed, 0 failed, exit code 0"
LINT = "Looked at the head of main: lint: pass"
RED = (
    ("command", "Ran lint and build and deploy on the host: exit code 0/0/1 as the log shows"),
    ("command", "make lint ended with exit code 0; make deploy gave return code 2 and stopped"),
    ("command", "make lint ended with exit code 0; make deploy of it returned 2"),
    ("test", "None of the 12 tests passed on the new runner, 0 failed, all were skipped"),
    ("test", f"{PASSED}; second run: FAILED tests/test_a.py - assert 1 == 2"),
    ("test", f"{PASSED}, thirteen failed on the other machine"),
    ("test", f"{PASSED}, \u0663 failed on the other machine"),
    ("test", "pytest at 8f25a85: failed=3 passed=12. Nothing failed in the parser"),
    ("verification", f"{LINT}; types: \u274c; build: all of it was looked at"),
    ("verification", f"{LINT}; types: ok; security: rejected"),
)
OPEN = (
    ("command", "make deploy: I expected exit code 0 and that is all I know of it"),
    ("command", "make deploy, it should have ended with exit code 0 within ten minutes"),
    ("command", "make deploy ended with exit code 0 but the service did not start"),
    ("test", "Expected: 12 passed, 0 failed, exit code 0. Nothing else was seen of it"),
    ("test", f"{PASSED}, 1 broken, 3 timed out, 5 crashed"),
    ("test", f"{PASSED}; the rest of it could not be collected"),
    ("verification", f"{LINT}; types: 3 problems"),
    ("verification", f"{LINT}; the types were not checked, the build is broken"),
    ("verification", f"{LINT}; deploy: no idea of it; build: timed out"),
)
GREEN = (
    ("command", "make dist of the checkout: **Exit code:** 0, two archives"),
    ("command", "make lint and make dist: exit codes 0 and 0"),
    ("command", "Ran `test -d dist || exit 1; make dist` in a fresh checkout: exit code 0"),
    ("command", "curl of the health page returned 200, return code 0"),
    ("test", "Passed: 12\nFailed: 0\nErrors: 0\nSkipped: 1\nDuration: 3.2s at 8f25a85"),
    ("test", "pytest -q at 8f25a85: passed=12 failed=0, as expected, none crashed"),
    ("test", "none of the 12 tests failed, all 12 tests passed at 8f25a85"),
    ("test", "===== 12 passed in 3.10s ===== by pytest -q at 8f25a85"),
    ("test", "The 12 error-handling tests passed, 0 failed, 0 broken at 8f25a85"),
    ("test", "I fixed the broken import; tests/test_killed.py: 12 passed, 0 failed"),
    ("verification", "a login that timed out is refused: ok; broken links are reported: pass"),
    ("verification", "| check | result |\n|---|---|\n| lint | pass |\n| types | ok, 0 errors |"),
    ("verification", "- [x] ruff check . passes\n- [x] mypy --strict passes\nCommit: 8f25a85"),
    ("verification", "lint: PASS; secrets in the tree: not found; mypy: Success: no issues"),
)
DENIED = (
    "I could not verify that criterion 1 is met",
    "it is false that criterion 1 is met",
    "nobody has checked whether criterion 1 is met",
    "criterion 1: met only in part",
    "criterion 1: met except for the deploy, which fails",
    "criterion 1: met, except for the deploy",
    "criterion 1: met. But only on linux",
    "criterion 1 is met if the deploy is done tomorrow",
    "criterion 1: met: no",
    "criterion 1: met = false",
    "criterion 1: met (not yet)",
    "criterion 1 met: 0 of 3 parts",
    "I doubt that criterion 1 is met; criterion 1: met",
)
MET = (
    "Criterion 1 is met.",
    "AC1 met",
    "**Criterion 1:** met",
    "Criterion 1: \u2705 met\nThe button is blue.",
    "- [x] Criterion 1: fully met (no dead links, 0 failures)",
    "| criterion 1 | met |",
    "Results: criterion 1 \u2014 met, with 3 files changed",
    "criterion 1: met (an alert is raised when a deadline is not met)",
)
SAID = "SELECT facts ->> 'said' FROM juggernaut.verdicts WHERE task_id = $1"
MUTANTS = (
    Mutant("lists are not read", "stated", r"\\s\*\[/\|\+\]\\s\*0\*\[1-9\]", "xyz"),
    Mutant("return codes are not read", "stated", r"return\[\\s_-\]\*codes\?\|rc", "xyz"),
    Mutant("words are no counts", "stated", r"\|\[a-z\]\+teen", ""),
    Mutant("pairs are not read", "stated", r"\(\?!\[\"''\*_`\]\*\\s\*\[:=\]\)\)';", ")';"),
    Mutant("nothing is open", "self_reported", r"unclear IS NOT NULL", "false"),
    Mutant("any result is good", "checks_stated", r"SELECT NULL, btrim", "SELECT true, btrim"),
)
TAILS = (
    Mutant("what is denied is met", "say_verdicts", r"IF v_match\[2\] ~\* denied", "IF false"),
    Mutant("any tail is a remark", "say_verdicts", r"OR v_match\[2\] ~\* remark", "OR true"),
    Mutant("doubt is no denial", "say_verdicts", r"\|doubt\[a-z\]\*", ""),
)


async def taken(bench: Bench, plain: PlainWorker, cases: tuple[tuple[str, str], ...]) -> list[str]:
    """The words that complete a task."""
    done = []
    for kind, said in cases:
        task = await held(bench, plain, kind)
        try:
            await plain.complete(task, said)
        except asyncpg.PostgresError as refused:
            assert "says" in str(refused), said
            assert "mark it as failed" in str(refused), said
        else:
            done.append(said)
    return done


async def test_red_and_open_words_complete_nothing(bench: Bench, plain: PlainWorker) -> None:
    """What is open is said to be open, with the form that is not."""
    assert await taken(bench, plain, RED + OPEN) == []
    for (kind, said), form in ((OPEN[0], "its exit code alone"), (OPEN[4], "its counts alone")):
        assert form in await refusal(plain, await held(bench, plain, kind), said)


async def test_green_words_complete(bench: Bench, plain: PlainWorker) -> None:
    """Pairs, lists, tables, and what reads like red and is none."""
    assert await taken(bench, plain, GREEN) == [said for _, said in GREEN]


async def test_a_criterion_is_met_by_a_clause_of_its_own(bench: Bench, plain: PlainWorker) -> None:
    """Which the verdict keeps; with any guard taken out, some denial meets it."""
    for said in MET:
        task = await held(bench, plain, "test", acceptance_criteria="the button is blue")
        await plain.complete(task, f"{TESTED}\n{said}")
        assert "1" in await bench.operator.fetchval(SAID, task)
    for mutant in (None, *TAILS):
        if mutant:
            await mutant.apply(bench.operator)
        done = []
        for said in DENIED:
            task = await held(bench, plain, "test", acceptance_criteria="the button is blue")
            try:
                await plain.complete(task, f"{TESTED}; {said}")
            except asyncpg.PostgresError:
                continue
            done.append(said)
        assert bool(done) == bool(mutant), (mutant, done)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
async def test_a_missing_guard_is_seen(bench: Bench, plain: PlainWorker, mutant: Mutant) -> None:
    """With one guard taken out, some red or open words complete a task."""
    await mutant.apply(bench.operator)
    assert await taken(bench, plain, RED + OPEN)
