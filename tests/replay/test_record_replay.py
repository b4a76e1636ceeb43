"""What was recorded is played again and is the same, or the first difference is told."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from juggernaut.adapters.cassettes.folder import load
from juggernaut.coder.tools import Used
from juggernaut.domain import limits
from juggernaut.domain.errors import ConfigError, InvalidInput
from juggernaut.domain.forks import check_fork
from juggernaut.lifecycle import recording
from tests.replay.taped import EDIT, FINISH, LOOK, Calls, Taped, played, record
from tests.roles.bench import FAKE_SECRET, PYTHON, Bench

TOKEN = "sk-" + "FAKE" * 6  # the shape of a key, and none


async def test_a_run_is_recorded_and_played_again(bench: Bench, tmp_path: Path) -> None:
    """Each exchange is a line; a replay does the same in another tree, also of a half record."""
    taped = await record(bench, tmp_path / "tapes")
    assert taped.kinds() == [
        *("cassette", "run", "model", "tool", "tool", "model", "tool", "model", "tool"),
        *("model", "tool", "model", "end"),
    ]
    header, run = taped.lines()[:2]
    assert (header["task"], header["repo"]) == (str(taped.task), bench.origin.name)
    assert run["base"] == bench.origin.log("main")[1]
    assert stat.S_IMODE(taped.file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    found = await played(bench, taped.file)
    told = {"verdict": "same", "runs": 1, "steps": 5, "whole": True}
    assert found.row() == {**told, "sandbox": found.sandbox}
    # Killed in the middle of a line, and between a reply and what its tool gave.
    for lines, steps in ((-1, 5), (-4, 3), (-5, 3)):
        copy = taped.changed([*taped.raw()[:lines], taped.raw()[lines][:9]])
        found = await played(bench, copy)
        assert (found.divergence, found.whole, found.steps) == (None, False, steps)


async def test_the_first_difference_is_told(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that gives less, a loop that says more, and an end that is another one."""
    taped = await record(bench, tmp_path / "tapes")
    with monkeypatch.context() as patch:
        patch.setattr(limits, "READ_LINES", 1)
        row = (await played(bench, taped.file)).row()
    assert (row["verdict"], row["step"], row["what"]) == ("diverged", 1, "tool read")
    assert '-2\t    return text.replace(" ", "_")' in str(row["diff"]).replace("\\t", "\t")
    with monkeypatch.context() as patch:
        patch.setattr(limits, "AGENT_REPEATS", 1)
        row = (await played(bench, taped.file)).row()
    assert (row["step"], row["what"]) == (2, "the request to the model")
    assert any(line.startswith("+messages[2].text: You made the same call") for line in told(row))
    copy = taped.changed([line.replace('"turns":5', '"turns":6') for line in taped.raw()])
    row = (await played(bench, copy)).row()
    assert (row["step"], row["what"]) == (5, "the end")
    assert {"-turns: 6", "+turns: 5"} <= set(told(row))
    fewer = taped.changed([*taped.raw()[:5], *taped.raw()[4:]])
    assert (await played(bench, fewer)).row()["what"] == "tool read"


def told(row: dict[str, object]) -> list[str]:
    """Give the lines of a difference."""
    diff = row["diff"]
    assert isinstance(diff, list)
    return diff


async def test_no_secret_is_in_a_cassette(bench: Bench, tmp_path: Path) -> None:
    """Known values and token shapes are taken out of results, replies, requests and prompts."""
    half = len(FAKE_SECRET) // 2
    said = f"print({FAKE_SECRET[:half]!r} + {FAKE_SECRET[half:]!r}, {TOKEN[:3]!r} + {TOKEN[3:]!r})"
    prints: Calls = (("run", {"argv": [PYTHON, "-c", said]}),)
    writes: Calls = (("write", {"path": "key.txt", "content": f"{TOKEN} {FAKE_SECRET}"}),)
    taped = await record(bench, tmp_path / "tapes", prints, writes, LOOK, EDIT, FINISH)
    text = taped.file.read_text()
    assert "[redacted]" in text
    for secret in (FAKE_SECRET, FAKE_SECRET[::-1], TOKEN):
        assert secret not in text
    replies = [line for line in taped.lines() if line["kind"] == "model"]
    assert [line["altered"] for line in replies] == [False, True, False, False, False]
    (run,) = load(taped.file).cassette.runs
    check_fork(run, 2)
    with pytest.raises(InvalidInput, match="step 2 cannot be done again .a secret was taken out"):
        check_fork(run, 3)


GARBLED = (
    (3, '{"kind": "model"', "line 3: not a line of a cassette"),
    (3, '{"kind": "model", "step": 1}', "line 3: not a line of a cassette: 'request'"),
    (4, '{"kind": "tool", "step": 1}', "line 4: not a line of a cassette: 'name'"),
    (1, '{"kind": "cassette", "version": 9}', "version 9 is not 1"),
    (2, '{"kind": "dance"}', "line 2: not a line of a cassette: unknown kind 'dance'"),
    (2, '{"kind": "end"}', "line 2: not a line of a cassette: a run ended that had not begun"),
)


async def test_what_cannot_be_played_is_refused(taped: Taped, bench: Bench) -> None:
    """A garbled line is named; another agent's run, no run, no file, a commit that is gone."""
    for number, line, said in GARBLED:
        copy = taped.changed([*taped.raw()[: number - 1], f"{line}\n", *taped.raw()[number:]])
        with pytest.raises(ConfigError, match="copy.jsonl, line") as caught:
            await played(bench, copy)
        assert said in str(caught.value)
    other = [line.replace('"agent":"builtin"', '"agent":"codex"') for line in taped.raw()]
    gone = [line.replace(str(taped.lines()[1]["base"]), "0" * 40) for line in taped.raw()]
    for lines, said in (
        (other, "written with the agent codex"),
        (taped.raw()[:1], "no run of the code agent"),
        ([], "a cassette begins with its header"),
        (gone, f"has no commit {'0' * 40}; --repo names the repository"),
    ):
        copy = taped.changed(lines)
        with pytest.raises(ConfigError, match=said):
            await played(bench, copy)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        await played(bench, taped.folder / "none.jsonl")


async def test_a_run_begins_where_it_began_then(taped: Taped, bench: Bench) -> None:
    """On the draft that it went on from, or in the tree of the run before."""
    base = str(taped.lines()[1]["base"])
    draft = bench.origin.push("feature/x", {"README.md": "# Longer than before\n" * 9}, base)
    lines = taped.raw()
    went_on = lines[1].replace('"change":null', f'"change":"{draft}"')
    found = (await played(bench, taped.changed([lines[0], went_on, *lines[2:]]))).row()
    assert found["step"] == 1
    assert any(line.startswith("+") and "README.md 189" in line for line in told(found))
    again = lines[1].replace('"same_tree":false', '"same_tree":true')
    twice = taped.changed([*lines, again, *lines[2:]])
    found = (await played(bench, twice)).row()
    assert (found["runs"], found["steps"], found["what"]) == (2, 6, "tool read")


async def test_a_cassette_that_cannot_be_written_stops_nothing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task is done; the log says once that nothing more is recorded. So does the bound."""
    tapes = tmp_path / "tapes"
    monkeypatch.setattr(recording, "TAPE_BYTES", 4_000)
    taped = await record(bench, tapes)
    assert (taped.kinds()[0], taped.kinds()[-1]) == ("cassette", "cut")
    assert taped.file.stat().st_size < 5_000
    tapes.rename(tmp_path / "elsewhere")
    tapes.write_text("no folder")
    task = await bench.add_task("code")
    assert await bench.work("executor") == "retry"
    rows = await bench.rows(
        "SELECT level FROM execution_logs WHERE task_id = $1 AND action = 'record_stopped'", task
    )
    assert [row["level"] for row in rows] == ["warning"]


def test_a_result_is_compared_without_what_always_differs() -> None:
    """Durations, addresses, the tree and delimiters are no difference; all else is."""
    from juggernaut.domain.steady import steady

    one = Used("ran 3 tests in 0.12s at /a/b/tree/x.py <f at 0x7f00aa11bb22>", False, "x").shown()
    two = Used("ran 3 tests in 9.80s at /c/tree/x.py <f at 0x7f00cc11bb22>", False, "x").shown()
    assert one != two
    assert steady(one, "/a/b/tree") == steady(two, "/c/tree")
    assert steady(one, "/a/b/tree") != steady(one.replace("3 tests", "4 tests"), "/a/b/tree")
