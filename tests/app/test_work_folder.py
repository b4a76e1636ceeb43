"""Each process has work trees of its own; a dead one's folder is taken over."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggernaut.app.work_folder import make_folder, own_folder
from juggernaut.domain.errors import ConfigError


def test_two_holders_never_share_and_a_free_one_is_reused(tmp_path: Path) -> None:
    """The lock decides, not what lies there."""
    with own_folder(tmp_path) as first:
        with own_folder(tmp_path) as second:
            assert first != second
            (second / "left").write_text("behind")
        with own_folder(tmp_path) as third:
            assert third == second
            assert (third / "left").exists()
    with own_folder(tmp_path) as again:
        assert again == first


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With the setting that moves it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="JUGGERNAUT_DATA_DIR"):
        make_folder(tmp_path / "file" / "below")
