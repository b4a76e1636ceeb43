"""The sample is a real package with a real bug, and the script knows it."""

from __future__ import annotations

from pathlib import Path

from juggernaut.adapters.llm.script import load_script
from juggernaut.app.demo.sample import TEST_COMMAND, script_text, write_sample
from juggernaut.app.git_facts import must, run_suite


async def test_two_tests_are_red_and_the_scripted_edit_makes_them_green(tmp_path: Path) -> None:
    """The edit of the script fits the file, and is the whole fix."""
    checkout = tmp_path / "slugs"
    base = await write_sample(checkout)
    before = await run_suite(checkout, base, tmp_path / "before", TEST_COMMAND)
    assert (before.green, before.ran, before.broken) == (False, 11, 2)
    (tmp_path / "script.yaml").write_text(script_text(), encoding="utf-8")
    script = load_script(tmp_path / "script.yaml")
    edits = [
        call.arguments
        for conversation in script.conversations
        for turn in conversation.turns
        for call in turn.calls
        if call.name == "edit"
    ]
    for edit in edits:
        path = checkout / str(edit["path"])
        source = path.read_text(encoding="utf-8")
        assert source.count(str(edit["old"])) == 1
        path.write_text(source.replace(str(edit["old"]), str(edit["new"])), encoding="utf-8")
    author = ("-c", "user.name=Tester", "-c", "user.email=tester@example.invalid")
    await must(*author, "commit", "--quiet", "--all", "--message", "fix", cwd=checkout)
    sha = await must("rev-parse", "HEAD", cwd=checkout)
    after = await run_suite(checkout, sha, tmp_path / "after", TEST_COMMAND)
    assert (after.green, after.ran, after.broken) == (True, 11, 0)


def test_the_script_names_this_interpreter() -> None:
    """No placeholder is left."""
    assert "{python}" not in script_text()
