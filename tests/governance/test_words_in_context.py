"""What is over, what is only named and what other tools print is read as what it says."""

from __future__ import annotations

import time

from tests.governance.plain_sql import PlainWorker
from tests.governance.test_words_that_prove import taken
from tests.invariants.mutants import Mutant
from tests.roles.bench import Bench

TEST = "12 passed, 0 failed at 8f25a85. "
DIST = "make dist of the checkout: exit code 0. "
LOOK = "Looked at main: lint: pass; types: ok; "
GREEN = (
    ("test", f"{TEST}The import crashed; it does not any more"),
    ("test", f"{TEST}Before this fix the server crashed on start"),
    ("test", f"{TEST}Timed out requests are retried. Docker was down at first, started it"),
    ("test", f"{TEST}1 warning: 'foo' should be replaced by 'bar', tests pass"),
    ("test", "Before: 2 failed, 10 passed. After: 12 passed, 0 failed (pytest at 8f25a85)"),
    ("test", "Tests run: 42, Failures: 0, Errors: 0, Skipped: 0 with mvn test"),
    ("test", "42 tests completed, 0 failed: gradle test at 8f25a85"),
    ("test", "[ 12 tests successful ]\n[ 0 tests failed ] by the JUnit console"),
    ("test", "Tests: 54 passed, 54 total\nTime: 3.2 s, npm test at 8f25a85"),
    ("test", "gotestsum ./... at 8f25a85: DONE 93 tests in 1.207s"),
    ("command", f"{DIST}The service was down for 2 seconds and is up again"),
    ("command", f"{DIST}2 broken links deleted. Did not run vacuum, as nobody asked for it"),
    ("command", f"{DIST}Exit code 23 would mean a partial transfer"),
    ("verification", f"{LOOK}Reviewer: p1; Rows: 120/120; Data count before: 120, after: 120"),
    ("verification", f"{LOOK}sha256: matches; archive: sha256 matches; health: returns 200"),
    ("verification", "| check | result |\n|---|---|\n| lint | pass |\n| size | 1.3 MB |"),
)
OPEN = (
    ("test", f"{TEST}The suite crashed before it finished"),
    ("test", f"{TEST}On windows it crashed, to be fixed tomorrow"),
    ("test", f"{TEST}It was retried and crashed"),
    ("test", f"{TEST}It hung after it ran again"),
    ("test", f"{TEST}The 28 tests that were found could not run"),
    ("test", "Before: 12 passed, 0 failed. After: 2 failed, 10 passed (pytest at 8f25a85)"),
    ("test", "Tests run: 42, Failures: 0, Errors: 3, Skipped: 0 with mvn test"),
    ("test", "12 passed, 0 failed of 40 tests, the run stopped after that"),
    ("test", f"{TEST}FATAL: the database connection was lost"),
    ("command", "make: *** [dist] Error 2\nexit code 0 of the pipe with tee build.log"),
    ("command", "`make dist; true` exit code 0; make itself ended with error 2"),
    ("command", f"{DIST}The service was down for 2 hours"),
    ("verification", f"{LOOK}broken links: 4"),
    ("verification", f"{LOOK}tests: 3/12"),
    ("verification", f"{LOOK}sha256 of it: does not match"),
    ("verification", f"{LOOK}login: does not work"),
)
LOOSE = (
    Mutant("any later word is over", "unclear_words", r"\(\?!\\m\(\?:after\|", "(?!\\\\m(?:xyz|"),
    Mutant("fatal is nothing", "unclear_words", r"\|fatal\(", "|xyz("),
    Mutant("make's line is not read", "stated", r"\\\*\\\*\\\*", "xyz"),
    Mutant("any number is fine", "checks_stated", r"broken\|dead\|", "xyz|"),
)
TIGHT = (
    Mutant("what was before is now", "stated", r"\\mbefore\\s\*:", "xyz"),
    Mutant("nothing is over", "unclear_words", r"any\\s\?more", "xyz"),
    Mutant("no other summary is read", "stated", r"\\mtests\\s\+run:", "xyz"),
    Mutant("a size is a result", "checks_stated", r"\[kmgt\]\?i\?b", "xyz"),
)
LONG_MS = 3_000


async def test_words_are_read_in_their_context(bench: Bench, plain: PlainWorker) -> None:
    """Honest words complete, open ones do not; with any guard taken out, one verdict turns."""
    assert await taken(bench, plain, GREEN) == [said for _, said in GREEN]
    assert await taken(bench, plain, OPEN) == []
    rows = await bench.rows(
        "SELECT pg_get_functiondef(oid) AS text FROM pg_proc"
        " WHERE pronamespace = 'juggernaut'::regnamespace"
        " AND proname IN ('stated', 'unclear_words', 'checks_stated')"
    )
    for mutant in (*LOOSE, *TIGHT):
        await mutant.apply(bench.operator)
        cases = OPEN if mutant in LOOSE else GREEN
        turned = []
        for kind, said in cases:
            done = await verdict(bench, kind, said)
            if done == (mutant in LOOSE):
                turned.append(said)
        assert turned, mutant.name
        for row in rows:
            await bench.operator.execute(row["text"])


async def verdict(bench: Bench, kind: str, said: str) -> bool:
    """Whether nothing in these words stops a task of this type."""
    return bool(
        await bench.operator.fetchval(
            "SELECT juggernaut.red_words($1, $2) IS NULL"
            " AND juggernaut.lacking(gen_random_uuid(), $1, $2) IS NULL"
            " AND juggernaut.unclear_words($1, $2) IS NULL AND NOT EXISTS (SELECT"
            " FROM juggernaut.checks_stated($2) c WHERE $1 = 'verification' AND c.good IS NULL)",
            kind,
            said,
        )
    )


async def test_thousands_of_checks_are_read_in_time(bench: Bench) -> None:
    """One reading of as many as a column takes."""
    said = "".join(f"- check {number} of x: ok\n" for number in range(2_700))
    began = time.monotonic()
    count = "SELECT count(*) FROM juggernaut.checks_stated($1)"
    assert await bench.operator.fetchval(count, said)
    assert (time.monotonic() - began) * 1_000 < LONG_MS
