"""The diff that people read is the one that is merged, and the rules judge it before any mask."""

from __future__ import annotations

from tests.fakes.puppets import PuppetAgent
from tests.roles.bench import CRITERIA, GOOD_SLUG, Approver, Bench

CODE = "__import__('os').system('rm -rf /srv')"
HIDING = f'X = "\x1b]"\nif X == 1:\n    {CODE}\nY = "\x07"  # -----BEGIN PRIVATE KEY-----\nZ = 1\n'
TEST = (
    "import unittest\n\n\nclass TestA(unittest.TestCase):\n    def test_a(self):\n"
    "        self.assertEqual(1, 1)\n        assert 2 == 2\n"
)


async def test_approvers_read_what_is_merged(bench: Bench, second: Approver) -> None:
    """Neither a terminal's signs nor the beginning of a key take a line out of it."""
    bench.use(agent=PuppetAgent({"slug.py": GOOD_SLUG + HIDING}))
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, risk_level="critical")
    for gate in ("plan", "diff"):
        assert await bench.work("executor") == "parked"
        waiting = (await bench.rows("SELECT gate, plan FROM pending_approvals"))[0]
        assert waiting["gate"] == gate
        await bench.approve(task)
        await second(task)
    assert all(f"+{line}\n" in waiting["plan"] for line in (f"    {CODE}", "Z = 1"))
    assert '+X = "<U+001B>]"\n' in waiting["plan"]
    assert await bench.work("executor") == "completed"
    assert bench.origin.show("main:slug.py").endswith(HIDING.rstrip())


async def test_no_mask_hides_a_weakened_test(bench: Bench) -> None:
    """With the words of a key in a file before it, and a sign that ends lines in its first one."""
    bench.origin.push("main", {"tests/test_zz.py": TEST, "tests/__init__.py": ""})
    weaker = "# \u2028--- x\n" + TEST.replace("        assert 2 == 2\n", "")
    slug = GOOD_SLUG + "# -----BEGIN PRIVATE KEY-----\n"
    bench.use(agent=PuppetAgent({"slug.py": slug, "tests/test_zz.py": weaker}))
    task = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "parked"
    row = await bench.task(task)
    assert "weakens tests/test_zz.py: high" in row["risk_factors"]
