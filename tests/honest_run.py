"""A pytest plugin that refuses a run which looks green and proves nothing.

A run fails when no test ran, when something could not be collected, or when a test was skipped
for a reason that does not begin with "needs " (what is missing on this machine, by name).
When several processes share the tests, pytest-xdist hands every report, and the verdict, to the
one that started them.
"""

from collections.abc import Generator

import pytest

SKIP_REASON_PREFIX = "needs "


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a report was skipped, without pytest's own "Skipped: " before it."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
    return text.removeprefix("Skipped:").strip()


def is_honest(reason: str) -> bool:
    """Say whether a skip names the thing that is missing."""
    return reason.startswith(SKIP_REASON_PREFIX) and reason != SKIP_REASON_PREFIX.strip()


class HonestRun:
    """Counts what ran and what was skipped, and turns an empty or vague run red."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.ran = 0
        self.complaints: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test body that ran; complain of a skip without a named need."""
        if report.when == "call" and not report.skipped:
            self.ran += 1
        if report.skipped and not hasattr(report, "wasxfail"):
            self._judge_skip(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Complain of a file that failed to load, or that was left out without a named need."""
        if report.failed:
            self.complaints.append(f"{report.nodeid}: could not be collected")
        elif report.skipped:
            self._judge_skip(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Make the exit status of a dishonest run non-zero."""
        yield
        if session.config.option.collectonly:
            return
        if self.ran == 0:
            self.complaints.append("no test ran")
        if self.complaints and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print each complaint where the failures are printed."""
        if self.complaints:
            terminalreporter.section("not an honest run", red=True)
            for complaint in self.complaints:
                terminalreporter.line(complaint)

    def _judge_skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Keep a complaint when a skip does not say what it needs."""
        reason = skip_reason(report)
        if not is_honest(reason):
            self.complaints.append(
                f'{report.nodeid}: skipped for "{reason}"; a reason begins with "needs "'
            )


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin's state for this run."""
    config.pluginmanager.register(HonestRun(), "honest-run-state")
