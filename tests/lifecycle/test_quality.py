"""What the linter finds goes back to the agent before anything is pushed: real ruff, real tree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from juggernaut.app.pull_settings import PullSettings
from juggernaut.domain.pull_rules import Linter, Quality
from juggernaut.lifecycle.unfetched import unfetched
from juggernaut.role import DutyContext
from tests.adapters.forges.repos import git
from tests.fakes.puppets import PuppetAgent, PuppetModel, answer
from tests.roles.bench import CRITERIA, GOOD_SLUG, REPO, Bench
from tests.roles.test_orchestrator import FIX, add_goal

PULLS = PullSettings.model_validate({})
POOR_SLUG = (
    "import sys\nimport json\n\n\n"
    "def slug(text):\n"
    "    try:\n"
    "        print(\"SELECT * FROM t WHERE a = '%s'\" % text)  # noqa\n"
    "    except:\n"
    "        pass\n"
    "    if len(text) > 4711:\n"
    "        return json.dumps(sys.argv)\n"
    '    return text.replace(" ", "-")\n'
)
# Only the return is the change's own; the function above it has no type hints.
OLD_STYLE = 'def slug(text):\n    return text.replace(" ", "_")\n'
SLIGHT = 'def slug(text):\n    return text.replace(" ", "-")\n'
PRINTING = SLIGHT + 'print("x")\n'
EVERY_RULE = ("ANN001", "ANN201", "D103", "E722", "T201", "PLR2004", "S608", "I001")


def configure(bench: Bench, quality: str = "enforce", linter: Linter | None = None) -> None:
    """Set the rules as an operator would; the linter is the installed one."""
    rules = PULLS.model_copy(update={"quality": Quality(quality)}).rules(REPO / "config")
    rules = replace(rules, linter=linter or rules.linter)
    settings = replace(bench.services.settings, pulls=rules)
    bench.services = replace(bench.services, settings=settings)


async def work(bench: Bench, agent: PuppetAgent, **columns: object) -> tuple[UUID, str]:
    """Let the executor do one code task with this agent."""
    bench.use(agent=agent)
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, **columns)
    return task, await bench.work("executor")


async def quality_of(bench: Bench, task: UUID) -> dict[str, object]:
    """Read what the evidence says of the linter."""
    agent = (await bench.facts(task))["agent"]
    assert isinstance(agent, dict)
    found: dict[str, object] = agent["quality"]
    return found


async def test_findings_go_back_and_are_mended(bench: Bench) -> None:
    """Every rule of the worker instructions is named to the agent; the mended draft is merged."""
    configure(bench)
    agent = PuppetAgent({"slug.py": POOR_SLUG}, {"slug.py": GOOD_SLUG})
    task, end = await work(bench, agent)
    assert end == "completed"
    assert len(agent.requests) == 2
    asked = agent.requests[1].prompt
    assert asked.startswith(agent.requests[0].prompt)
    assert [code for code in EVERY_RULE if code not in asked] == []
    assert "findings of the linter" in asked
    found = await quality_of(bench, task)
    assert (found["state"], found["rounds"], found["count"]) == ("checked", 1, 0)
    assert bench.origin.show("main:slug.py").strip() == GOOD_SLUG.strip()
    rounds = await bench.rows("SELECT 1 FROM execution_logs WHERE action = 'quality_round'")
    assert len(rounds) == 1


@pytest.mark.parametrize(("quality", "end"), [("enforce", "failed"), ("report", "completed")])
async def test_what_stays_is_refused_or_told(bench: Bench, quality: str, end: str) -> None:
    """After two rounds: no push where it is enforced, a line in the pull request where not."""
    configure(bench, quality)
    agent = PuppetAgent({"slug.py": POOR_SLUG})
    task, last = await work(bench, agent, max_attempts=1)
    assert last == end
    assert len(agent.requests) == 3
    pulls = await bench.rows("SELECT body FROM juggernaut.pull_requests")
    if quality == "enforce":
        assert "quality: " in (await bench.task(task))["error_message"]
        assert pulls == []
        assert await bench.rows("SELECT 1 FROM juggernaut.effects WHERE kind = 'push'") == []
    else:
        assert "D103" in pulls[0]["body"]
        assert "lines of the change that silence it: 1" in pulls[0]["body"]


async def test_old_lines_are_nobodys_fault(bench: Bench) -> None:
    """A function without hints that was there before is not held against the change."""
    bench.origin.push("main", {"slug.py": OLD_STYLE})
    configure(bench)
    agent = PuppetAgent({"slug.py": SLIGHT})
    task, end = await work(bench, agent)
    assert (end, len(agent.requests)) == ("completed", 1)
    assert (await quality_of(bench, task))["count"] == 0


async def test_the_repositorys_own_rules_win_as_they_were(bench: Bench) -> None:
    """Its ruff.toml asks less than ours, and a draft that asks still less of itself gains nothing.

    The patterns of a configuration count from its own folder.
    """
    rules = '[lint]\nselect = ["T20"]\n[lint.per-file-ignores]\n"tool.py" = ["T201"]\n'
    lax = {"ruff.toml": 'lint.select = ["ANN"]\n', "sub/ruff.toml": rules}
    bench.origin.push("main", {**lax, "slug.py": OLD_STYLE})
    configure(bench, "report")
    tool = "print(1)\n"
    draft: dict[str, str | None] = {
        "slug.py": PRINTING,
        "sub/tool.py": tool,
        "sub/other.py": tool,
        "sub/ruff.toml": "lint.select = []\n",
    }
    task, end = await work(bench, PuppetAgent(draft))
    assert end == "completed"
    found = await quality_of(bench, task)
    assert found["rules"] == ["ruff.toml", "sub/ruff.toml"]
    assert found["left"] == ["sub/other.py:1: T201 `print` found"]


@pytest.mark.parametrize(
    ("files", "linter", "why"),
    [
        ({"setup.cfg": "[flake8]\nmax-line-length = 99\n"}, None, "configures flake8 and not ruff"),
        ({"ruff.toml": "no = [toml"}, None, "ruff ended with 2"),
        ({"README.md": "x"}, Linter(None), "ruff is not installed"),
    ],
)
async def test_a_linter_that_did_not_run_is_named(
    bench: Bench, files: dict[str, str], linter: Linter | None, why: str
) -> None:
    """In evidence, log and pull request; it is never a silent pass."""
    bench.origin.push("main", files)
    configure(bench, linter=linter)
    task, end = await work(bench, PuppetAgent({"slug.py": POOR_SLUG}))
    assert end == "completed"
    found = await quality_of(bench, task)
    assert found["state"] == "not run"
    assert why in str(found["why"])
    lines = await bench.rows("SELECT level FROM execution_logs WHERE action = 'quality'")
    assert [line["level"] for line in lines] == ["warning"]
    pulls = await bench.rows("SELECT body FROM juggernaut.pull_requests")
    assert "- linter: not run, `" in pulls[0]["body"]


async def test_a_linter_of_the_tree_is_not_taken_for_ours(bench: Bench) -> None:
    """A file ruff.py in the work tree would be found first if Python looked there."""
    bench.origin.push("main", {"ruff.py": "import sys\nsys.exit(0)\n"})
    configure(bench)
    task, end = await work(bench, PuppetAgent({"slug.py": POOR_SLUG}), max_attempts=1)
    assert end == "failed"
    assert "quality: " in (await bench.task(task))["error_message"]


async def test_a_change_that_is_too_big_comes_back_to_be_split(bench: Bench) -> None:
    """It fails at once, is not sent to the linter, and its goal is planned again."""
    rules = replace(PULLS.rules(REPO / "config"), max_files=1)
    settings = replace(bench.services.settings, pulls=rules)
    bench.services = replace(bench.services, settings=settings)
    agent = PuppetAgent({"slug.py": GOOD_SLUG, "more.py": POOR_SLUG})
    model = PuppetModel({"plan": [answer({"tasks": [FIX]})]})
    bench.use(agent=agent, models=model)
    await add_goal(bench)
    assert await bench.work("orchestrator") == "completed"
    assert await bench.work("executor") == "failed"
    assert len(agent.requests) == 1
    row = await bench.rows("SELECT * FROM governance_tasks WHERE task_type = 'code'")
    assert row[0]["error_message"].startswith("too_big: ")
    await DutyContext(bench.services).follow_goals()
    assert await bench.work("orchestrator") == "completed"
    assert "split the task into smaller ones" in model.requests[1].messages[0].text


async def test_commits_carry_author_and_trailers(bench: Bench) -> None:
    """On the branch and in the squash, in one last paragraph."""
    rules = PULLS.model_copy(
        update={"co_author": "Ada <ada@example.invalid>", "sign_off": True, "quality": Quality.OFF}
    ).rules(REPO / "config")
    settings = replace(bench.services.settings, pulls=rules)
    bench.services = replace(bench.services, settings=settings)
    task, end = await work(bench, PuppetAgent({"slug.py": GOOD_SLUG}), title="Mend @ada fixes #7")
    assert end == "completed"
    facts = await bench.facts(task)
    for sha in (facts["head_sha"], facts["merged_sha"]):
        told = git(bench.origin.bare, "log", "-1", "--format=%s%n%(trailers:only)", str(sha))
        assert "Mend @ ada fixes # 7" in told
        assert f"Task: {task}" in told
        assert "Co-authored-by: Ada <ada@example.invalid>" in told
        assert "Signed-off-by: Juggernaut <juggernaut@localhost>" in told


def test_what_is_not_fetched_is_named(tmp_path: Path) -> None:
    """Submodules and LFS patterns, read from files of the tree and through no link."""
    assert unfetched(tmp_path) == ()
    (tmp_path / ".gitmodules").write_text('[submodule "x"]\n\tpath = libs/x\n\turl = ../x\n')
    (tmp_path / ".gitattributes").write_text("# *.no filter=lfs\n*.bin filter=lfs diff=lfs -text\n")
    modules, lfs = unfetched(tmp_path)
    assert modules.endswith("their folders are empty: libs/x")
    assert lfs.endswith("only their pointers: *.bin")
    (tmp_path / "elsewhere").write_text("path = /secret")
    (tmp_path / ".gitmodules").unlink()
    (tmp_path / ".gitmodules").symlink_to("elsewhere")
    assert unfetched(tmp_path) == (lfs,)
