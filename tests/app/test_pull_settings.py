"""`pulls:` in a settings file and in the environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from juggernaut.app.pull_settings import PullSettings, linter_rules, read_pulls
from juggernaut.app.settings import Settings
from juggernaut.domain.errors import ConfigError
from juggernaut.domain.model import Risk
from juggernaut.domain.pull_rules import Quality, labels_for
from tests.roles.bench import REPO


def test_the_short_form_is_read() -> None:
    """As in the environment; what it does not name keeps its default."""
    given = "max_files=20, quality=report,author_name=Ada L,sign_off=true"
    pulls = Settings.model_validate({"JUGGERNAUT_PULLS": given}).pulls
    assert (pulls.max_files, pulls.quality, pulls.max_changed_lines) == (20, Quality.REPORT, 2_000)
    assert pulls.trailers() == ("Signed-off-by: Ada L <juggernaut@localhost>",)
    assert labels_for(pulls.rules(REPO / "config"), Risk.HIGH) == ("juggernaut", "risk: high")
    for short, labels in (("", ()), ("a b|c", ("a b", "c"))):
        found = Settings.model_validate({"JUGGERNAUT_PULLS": f"labels={short}"}).pulls
        assert found.rules(REPO / "config").labels == labels


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("max_files", "a part without '='"),
        ("max_files=0", "max_files: "),
        ("max_file=3", "max_file: "),
        ("quality=strict", "quality: "),
        ({"author_name": "Ada\nCo-authored-by: Eve <e@x>"}, "author_name: "),
        ({"author_email": "ada@x> <eve@x"}, "author_email: "),
        ({"co_author": "Ada"}, "co_author: "),
        ({"labels": ["one, two"]}, "labels: "),
        ({"labels": ["x" * 51]}, "labels: "),
        ({"labels": list("abcdefghijk")}, "labels: "),
    ],
)
def test_what_is_wrong_is_named(given: object, why: str) -> None:
    """The part, not the whole; nothing can forge a second author."""
    with pytest.raises(ValueError, match=why):
        read_pulls(given)


def test_the_shipped_rules_are_pairs_for_ruff(tmp_path: Path) -> None:
    """The linter is this Python's own ruff, and a broken file is a configuration error."""
    rules = PullSettings.model_validate({}).rules(REPO / "config")
    assert rules.quality is Quality.ENFORCE
    assert rules.linter.argv == (sys.executable, "-I", "-m", "ruff")
    assert '"lint"."select" = ["ANN001", ' in rules.linter.rules[0]
    (tmp_path / "quality.toml").write_text("[lint")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        linter_rules(tmp_path / "quality.toml")
