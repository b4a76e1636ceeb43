"""Writes down what a test harness saw, from inside its process, where console text is no proof.

This file is copied under a name that nobody can guess beside a work tree, and runs in the sandbox
with the Python of the repository: as a plugin of pytest, or in place of `-m unittest`. It takes
its order (a key, and whether to list or to run) and removes it before the harness loads anything
that is judged. It imports the standard library alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Write = Callable[[dict[str, list[str]]], None]
    Note = Callable[[object, str], None]

ORDER = "order"
REPORT = "report"
ONLY_LIST = "--collect-only"
LISTS = {"PYTHONPATH": os.pathsep, "PYTEST_PLUGINS": ",", "PYTEST_ADDOPTS": " "}


def take_order(me: Path) -> tuple[Write, bool] | None:
    """Take the key away; None in a second process, for instance a worker of pytest-xdist."""
    try:
        order = json.loads((me.parent / ORDER).read_text(encoding="utf-8"))
        (me.parent / ORDER).unlink()
    except (OSError, ValueError):
        return None
    mine = {str(me.parent), me.stem, *([ONLY_LIST] if order["list"] else [])}
    for variable, mark in LISTS.items():
        # What the judged code starts itself sees the environment that it would have seen.
        parts = os.environ.pop(variable, "").split(mark)
        rest = [part for part in parts if part and part not in mine]
        if rest:
            os.environ[variable] = mark.join(rest)
    return _writer(me.parent / REPORT, order["key"]), order["list"]


def _writer(place: Path, key: str) -> Write:
    """Give the function that signs and writes; the key is in it and nowhere else."""

    def write(tests: dict[str, list[str]]) -> None:
        """Write the report in one step."""
        body = json.dumps(tests).encode()
        signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest().encode()
        part = place.with_name(f"{REPORT}.part")
        part.write_bytes(signature + b"\n" + body)
        part.replace(place)

    return write


def hooks_of_pytest(write: Write) -> dict[str, Callable[..., None]]:
    """Give the hooks of a pytest plugin that records every test."""
    tests: dict[str, list[str]] = {}
    roots = [Path.cwd()]

    def note(node: str, outcome: str) -> None:
        """Record an outcome; a failure stays one."""
        entry = tests.setdefault(node, [outcome, _seen(roots[-1], node.partition("::")[0])])
        entry[0] = entry[0] if entry[0] == "failed" else outcome

    def pytest_collection_finish(session: Any) -> None:  # noqa: ANN401
        """Note what will run: what then never runs was lost."""
        roots.append(Path(str(session.config.rootdir)))
        for item in session.items:
            note(item.nodeid, "lost")

    def pytest_collectreport(report: Any) -> None:  # noqa: ANN401
        """Note a file that could not be collected."""
        if report.failed:
            note(report.nodeid or "collection", "broken")

    def pytest_runtest_logreport(report: Any) -> None:  # noqa: ANN401
        """Note how a phase of a test ended."""
        outcome = _outcome(report)
        if outcome is not None:
            note(report.nodeid, outcome)

    def pytest_sessionfinish() -> None:
        """Write the report."""
        write(tests)

    hooks = (
        *(pytest_collection_finish, pytest_collectreport),
        *(pytest_runtest_logreport, pytest_sessionfinish),
    )
    return {hook.__name__: hook for hook in hooks}


def _outcome(report: Any) -> str | None:  # noqa: ANN401
    """Say what a phase of a test means for the test; a rerun and a good set-up mean nothing."""
    if report.outcome == "failed":
        return "failed"
    if report.outcome == "skipped" or (report.when == "call" and hasattr(report, "wasxfail")):
        return "skipped"
    return "passed" if report.outcome == "passed" and report.when == "call" else None


def run_unittest(write: Write, only_list: bool) -> None:
    """Do what `python -m unittest` does, and record every test."""
    tests: dict[str, list[str]] = {}

    def note(test: object, outcome: str) -> None:
        """Record an outcome; a failure stays one, and what is no test is broken."""
        kind = type(test)
        if kind.__module__ in ("unittest.loader", "unittest.suite"):
            if outcome == "skipped":
                return
            outcome = "broken"
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        entry = tests.setdefault(str(test.id()), [outcome, _seen(Path.cwd(), file)])  # type: ignore[attr-defined]
        entry[0] = entry[0] if entry[0] in ("failed", "broken") else outcome

    class Runner(unittest.TextTestRunner):
        """The usual runner, which writes the report at its end."""

        resultclass = _recorder(note)

        def run(self, test: Any) -> Any:  # noqa: ANN401
            """Run, or only list, the tests."""
            for case in _cases(test):
                broken = only_list and type(case).__name__ == "_FailedTest"
                note(case, "broken" if broken else "skipped")
            result = super().run(unittest.TestSuite() if only_list else test)
            write(tests)
            return result

    unittest.main(module=None, testRunner=Runner, argv=["python -m unittest", *sys.argv[1:]])


def _recorder(note: Note) -> type[unittest.TextTestResult]:
    """Give the usual result, which also takes notes."""

    class Recorder(unittest.TextTestResult):
        """Notes every end of a test."""

        def addSuccess(self, test: Any) -> None:  # noqa: ANN401
            """Note a test that passed."""
            super().addSuccess(test)
            note(test, "passed")

        def addFailure(self, test: Any, err: Any) -> None:  # noqa: ANN401
            """Note a test that failed."""
            super().addFailure(test, err)
            note(test, "failed")

        def addError(self, test: Any, err: Any) -> None:  # noqa: ANN401
            """Note a test that broke."""
            super().addError(test, err)
            note(test, "failed")

        def addSkip(self, test: Any, reason: str) -> None:  # noqa: ANN401
            """Note a test that was skipped."""
            super().addSkip(test, reason)
            note(test, "skipped")

        def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: ANN401
            """Note a test that is known to fail."""
            super().addExpectedFailure(test, err)
            note(test, "skipped")

        def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: ANN401
            """Note a test that should have failed."""
            super().addUnexpectedSuccess(test)
            note(test, "failed")

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: ANN401
            """Note a part of a test that failed."""
            super().addSubTest(test, subtest, err)
            if err is not None:
                note(test, "failed")

    return Recorder


def _cases(suite: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the single tests of a suite."""
    if isinstance(suite, unittest.TestCase):
        yield suite
        return
    for part in suite:
        yield from _cases(part)


def _seen(root: Path, path: str | None) -> str:
    """Give a file's path as it is seen from the work tree."""
    return os.path.relpath(root / path) if path else ""


if not __package__:
    _order = take_order(Path(__file__).absolute())
    if _order is not None and __name__ == "__main__":
        run_unittest(*_order)
    elif _order is not None:
        globals().update(hooks_of_pytest(_order[0]))
    _order = None
