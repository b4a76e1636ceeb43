"""What the words of a rule find: gaps, endings and flags count, hidden meanings do not."""

from __future__ import annotations

import re
import time
import unicodedata
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from juggernaut.domain.errors import ConfigError
from juggernaut.domain.model import Risk, risk_rank
from juggernaut.domain.plans import plan_of
from juggernaut.domain.risk import Policy, Rule, assess_diff, assess_plan, is_document, read_policy
from juggernaut.domain.wording import GAP, read_command, read_text, runs, says
from tests.domain.test_risk import task
from tests.tidy.reading import REPO

RAW = yaml.safe_load((REPO / "config/policy.yaml").read_text())
POLICY: Policy = read_policy(RAW)
SECONDS = 2.0  # measured: 0.14


def each(rules: tuple[Rule, ...]) -> list[tuple[Rule, str]]:
    """Give every pattern with its rule."""
    return [(rule, pattern) for rule in rules for pattern in rule.match]


def of_text(title: str) -> Risk:
    """Give the risk of a task with this title and nothing else."""
    return plan_of(task(title=title, description=""), None, None, POLICY, {}).risk


def of_command(*argv: str) -> Risk:
    """Give the risk of a task that runs this."""
    return plan_of(task(payload={"command": list(argv)}), None, None, POLICY, {}).risk


@pytest.mark.parametrize(("rule", "pattern"), each(POLICY.words))
def test_every_phrase_matches_itself(rule: Rule, pattern: str) -> None:
    """Alone, in a sentence, in capitals; by its own rule."""
    for title in (pattern, f"We {pattern} today", pattern.upper()):
        alone = replace(POLICY, words=(Rule(rule.name, rule.risk, (pattern,), rule.gap),))
        assert plan_of(task(title=title), None, None, alone, {}).risk is rule.risk


@pytest.mark.parametrize(("rule", "pattern"), each(POLICY.commands))
def test_every_command_matches_itself(rule: Rule, pattern: str) -> None:
    """As words, as one line of a shell, and behind another command."""
    alone = replace(POLICY, commands=(Rule(rule.name, rule.risk, (pattern,)),))
    for argv in (pattern.split(), ["sh", "-c", pattern], ["sh", "-c", f"cd x && {pattern} || :"]):
        assert plan_of(task(payload={"command": argv}), None, None, alone, {}).risk is rule.risk


@pytest.mark.parametrize(("rule", "pattern"), each(POLICY.paths))
def test_every_path_matches_itself(rule: Rule, pattern: str) -> None:
    """The pattern as a path, and with something for its stars."""
    alone = replace(POLICY, paths=(Rule(rule.name, rule.risk, (pattern,)),))
    for path in (pattern, pattern.replace("*", "x"), pattern.upper()):
        assert assess_diff(Risk.LOW, alone, [path], "", []).risk is rule.risk


@pytest.mark.parametrize("pattern", POLICY.documents)
def test_every_document_matches_itself(pattern: str) -> None:
    """So that a documentation task may change it."""
    assert is_document(pattern, POLICY)
    assert is_document(pattern.replace("*", "x"), POLICY)


@pytest.mark.parametrize("effect", sorted(POLICY.effects))
@pytest.mark.parametrize("risk", list(Risk))
def test_every_effect_counts(effect: str, risk: Risk) -> None:
    """As high as the policy says; one that it does not name is high."""
    policy = replace(POLICY, effects={effect: risk})
    assert assess_plan(task(), policy, {}, [effect], []).risk is risk
    assert assess_plan(task(), policy, {}, ["an unknown one"], []).risk is Risk.HIGH


SAID = (
    *((text, Risk.CRITICAL) for text in ("Financial operations", "Financial transactions")),
    *((text, Risk.CRITICAL) for text in ("Refund the customer", "Transfer $500 to Bob")),
    *((text, Risk.CRITICAL) for text in ("Wire € 1,000 to Ada", "Paying Bob £20")),
    *((text, Risk.CRITICAL) for text in ("Send Ada 300€", "Transfer 5 ¥", "Pay 40 dollars")),
    ("Delete all production data", Risk.CRITICAL),
    ("Delete the production data", Risk.CRITICAL),
    ("Deleting every row of all production\ndata", Risk.CRITICAL),
    ("Delete all data in the production cluster", Risk.CRITICAL),
    ("Dropped the production database", Risk.CRITICAL),
    ("Wipe all of prod", Risk.CRITICAL),
    ("Grant Bob admin rights", Risk.CRITICAL),
    ("Make Bob an admin", Risk.CRITICAL),
    ("Modify RBAC permissions", Risk.CRITICAL),
    ("Change Bob's permissions", Risk.CRITICAL),
    ("Security changes", Risk.CRITICAL),
    ("Rotate all the secrets", Risk.CRITICAL),
    ("Production deploys", Risk.HIGH),
    ("Deploy to prod", Risk.HIGH),
    ("Deploy the app to production", Risk.HIGH),
    ("Deploy the latest version of the app to the production cluster", Risk.HIGH),
    ("deploy-to-production", Risk.HIGH),
    ("deploy_to_production", Risk.HIGH),
    ("de\u200bploy to pro\u00adduction", Risk.HIGH),
    ("deploy\u200bto\u200bproduction", Risk.HIGH),
    *((f"Depl{sign}oy to production", Risk.HIGH) for sign in "\u034f\ufe0f\u17b4\u180b\u2065\x01"),
    *((f"Deploy{sign}to{sign}production", Risk.HIGH) for sign in "\u3164\u115f\u1160\uffa0\u2800"),
    ("De\U000e0100ploy\u3164to\u3164prod\u200buction", Risk.HIGH),
    *((f"Transfer Ada {it}", Risk.CRITICAL) for it in ("1,234,567.89 €", "1.234.567,89 €")),
    *((f"Send it to Ada: {it}", Risk.CRITICAL) for it in ("1 234 567,89 €", "5 million €", "5M€")),
    *((f"Wire Ada {it}", Risk.CRITICAL) for it in ("1,234,567.89 USD", "2,500,000.00 dollars")),
    *((f"Pay Bob {it}", Risk.CRITICAL) for it in ("500k $", "$.50", "$  500", "500usd", "usd500")),
    *(("Goes live", Risk.HIGH), ("Going live tonight", Risk.HIGH)),
    ("Data migrations", Risk.HIGH),
    ("Migrating the user data", Risk.HIGH),
    ("Schema changes", Risk.MEDIUM),
)


@pytest.mark.parametrize(("text", "risk"), SAID)
def test_the_instructions_own_words_are_heard(text: str, risk: Risk) -> None:
    """Whatever stands between them, in any case, with their endings."""
    for title in (text, text.upper(), f"Please: {text}, today.", f"({text})"):
        assert of_text(title) is risk


ORDINARY = (
    "Fix the off-by-one in the parser",
    "Document the deploy script",
    "Add a test for the permission error message",
    "Change the wording of the permission error message",
    "Rename the transfer() helper",
    "Refactor the production rule of the grammar",
    "Delete dead code in utils",
    "Delete the unused fixtures of the database tests",
    "Drop support for Python 3.10",
    "Add a column to the table printer",
    "Make the admin page load faster",
    "Show the customer's name on the invoice page",
    "Fix the rounding of a refund in the report",
    "Add a retry to the payment client's timeout test",
    "Log in data classes instead of dicts",
    "Read the security section of the docs and fix its links",
    "Cache the access log reader",
    "Grant table: mend the sorting of its columns",
    "Release notes for 2.1",
    "Push the validation down into the model",
    "Send the request again when the connection is lost",
    "Call the formatter of customers once",
    "Pay attention to the locale when $HOME is unset",
    "Charge less memory to the index",
    "Wire the new parser into the command line",
    "Sell the idea of types in CONTRIBUTING",
    "Remove the flag --fast",
    "Describe the production settings in the handbook",
    "Speed up the migration tests",
    "Use TLS 1.3 in the examples",
    "Turn the dictionary of secrets' names into an enum",
    "Test that a firewall message is shown",
    "Send 5 requests, then $HOME and $PATH",
    "Transfer 1,024 bytes in 5 ms",
    "Pay no heed to the 3.11.2 release of 2026-10-01",
    "Show caf\u00e9 and \u26a0\ufe0f beside \u0939\u093f\u0928\u094d\u0926\u0940",
    "The user is going to see what went live in it",
)
RAISED = (
    # Each names the very thing; a person decides whether it is meant.
    ("Document how we deploy to production", Risk.HIGH),
    ("Test the production deploy script", Risk.HIGH),
    ("Write down the plan of the data migration", Risk.HIGH),
    ("Explain financial transactions in the README", Risk.CRITICAL),
    ("Do not delete production data", Risk.CRITICAL),
    ("Rename transfer_funds()", Risk.CRITICAL),
    ("Revoke the access token in the logout test", Risk.CRITICAL),
    ("Drop the second production of the grammar", Risk.CRITICAL),
    ("Add a new column to the table printer", Risk.MEDIUM),
)


@pytest.mark.parametrize("title", ORDINARY)
def test_ordinary_titles_stay_low(title: str) -> None:
    """Words that a rule also has, but not together or not in its order."""
    assert of_text(title) is Risk.LOW


@pytest.mark.parametrize(("title", "risk"), RAISED)
def test_titles_that_name_it_are_raised(title: str, risk: Risk) -> None:
    """Also where somebody only writes about it: it costs a question."""
    assert of_text(title) is risk


def test_a_rule_is_one_line_for_who_decides() -> None:
    """However many of its phrases a text holds; another risk of the same name is another line."""
    title = "Drop production; prod deploys; deploy to prod, deploy prod"
    assert plan_of(task(title=title), None, None, POLICY, {}).factors == (
        "words 'drop production' (delete production data): critical",
        "words 'deploy to prod' (production deploy): high",
    )
    two = (Rule("mine", Risk.LOW, ("slug",)), Rule("mine", Risk.HIGH, ("slug",)))
    assert plan_of(task(), None, None, replace(POLICY, words=two), {}).risk is Risk.HIGH


@pytest.mark.parametrize("between", range(GAP + 2))
def test_the_gap_has_an_end(between: int) -> None:
    """Four words where nothing is said, between any two; the rule's own number else."""
    text = read_text("delete " + "the " * between + "production data")
    assert says(text, "delete production data", GAP) is (between <= GAP)
    assert says(text, "delete production data", 0) is (between == 0)
    two = read_text("delete the production data " + "x " * between + "now")
    assert says(two, "delete production data now", GAP) is (between <= GAP)


def test_the_nearest_word_counts() -> None:
    """An earlier word that is too far away does not hide a later one; order counts."""
    assert says(read_text("deploy a b c d e f. Deploy to production"), "deploy to production", 1)
    assert says(read_text("deploy to x x x x x to production"), "deploy to production", 6)
    assert not says(read_text("production, to deploy"), "deploy to production", 9)


@pytest.mark.parametrize(
    ("word", "base"),
    [
        *(
            ("goes", "go"),
            ("going", "go"),
            ("deploys", "deploy"),
            ("deployed", "deploy"),
            ("deploying", "deploy"),
        ),
        *(("deleted", "delete"), ("deleting", "delete"), ("deletes", "delete")),
        *(("dropped", "drop"), ("dropping", "drop"), ("wipes", "wipe"), ("accesses", "access")),
        *(("policies", "policy"), ("applied", "apply"), ("transferring", "transfer")),
    ],
)
def test_endings(word: str, base: str) -> None:
    """Of a text's word, not of a phrase's."""
    assert says(read_text(word), base, 0)
    assert not says(read_text(base), word, 0)


@pytest.mark.parametrize("word", ["deployer", "redeploy", "depl", "productions_"])
def test_other_words_are_others(word: str) -> None:
    """Neither a part nor a longer word, and a product is no production."""
    assert not says(read_text(word), "deploy", 0)
    assert not says(read_text("delete product data"), "delete production data", GAP)


def test_a_number_has_its_parts() -> None:
    """A rule's own number is found in a longer one, in its order, and takes one place."""
    for phrase in ("use 3.11", "use 3 11", "use 2", "use 3.11.2 now", "3.11 now"):
        assert says(read_text("Use 3.11.2 now"), phrase, 0) is True
    assert not says(read_text("Use 3.11.2 now"), "use 11.3", GAP)
    assert not says(read_text("Use 3.11.2 right now"), "use 3.11 now", 0)


def heard_before(text: str, phrase: str) -> bool:
    """Say whether the first rule of matching, word for word, would have found a phrase."""
    folded = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).casefold())
    return re.search(rf"(?<!\w){re.escape(phrase.casefold())}(?!\w)", folded) is not None


@given(st.sampled_from(each(POLICY.words)), st.text(max_size=20), st.text(max_size=20))
def test_what_is_said_word_for_word_is_always_heard(
    found: tuple[Rule, str], before: str, after: str
) -> None:
    """Whatever stands around it: a gap of 0 finds it too."""
    text = f"{before}{found[1]}{after}"
    if heard_before(text, found[1]):
        assert says(read_text(text), found[1], 0)


@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_never_lowers(text: str, more: str) -> None:
    """A line behind a text adds floors and takes none."""
    alone = plan_of(task(description=text), None, None, POLICY, {})
    both = plan_of(task(description=f"{text}\nx {more}"), None, None, POLICY, {})
    assert risk_rank(both.risk) >= risk_rank(alone.risk)


@pytest.mark.parametrize(
    "line",
    [
        *("rm -rf /", "rm -r -f /", "rm -fr /", "rm -Rf /", "rm -rf /*", "sudo rm -rf /"),
        *("rm / -rf", "rm -rf //", "rm -rf /.", "rm -rf /..", "rm -rvf --one-file-system /"),
        *("rm -rf '/'", "/bin/rm -rf /", "rm --no-preserve-root --recursive /", "rm -rf / || true"),
        *("rm -rf ~", "rm -rf ~/", "rm -rf ~/*", "rm -r ~", "rm -rf $HOME", 'rm -rf "${HOME}/"'),
        *("git clean -fdx", "git clean -x -d -f", "git clean -xfd"),
    ],
)
def test_deleting_by_force(line: str) -> None:
    """The root and a home, whatever the order of the flags."""
    assert of_command("sh", "-c", line) is Risk.HIGH
    if not set(line) & set("'\"$|"):
        assert of_command(*line.split()) is Risk.HIGH


@pytest.mark.parametrize(
    "line",
    [
        *("rm -rf build", "rm -rf ./build/", "rm -rf ./*", "rm x", "rm -f /tmp/x", "ls -rf /"),
        *("rm -rf /tmp/x/*", "git clean -n", "find . -name '*.pyc' -delete", "make test", "deploy"),
    ],
)
def test_ordinary_commands_stay_low(line: str) -> None:
    """A folder of the work tree is not the root."""
    assert of_command("sh", "-c", line) is Risk.LOW


@pytest.mark.parametrize(
    ("line", "risk"),
    [
        ("make deploy", Risk.HIGH),
        ("make -C infra deploy", Risk.HIGH),
        ("sh ops/deploy.sh", Risk.HIGH),
        ("aws s3 rm --recursive s3://x", Risk.CRITICAL),
        ("aws --profile x s3 rm s3://x/y", Risk.CRITICAL),
        ("kubectl delete ns x", Risk.CRITICAL),
        ("terraform -chdir=x destroy -auto-approve", Risk.CRITICAL),
        ("sqlite3 x 'DROP TABLE users'", Risk.CRITICAL),
        ("x -c 'drop\n database y'", Risk.CRITICAL),
    ],
)
def test_commands_of_the_instructions(line: str, risk: Risk) -> None:
    """Deploying and deleting."""
    assert of_command("sh", "-c", line) is risk


def test_a_policys_own_pattern_is_read_like_a_command() -> None:
    """A path, a shell's signs and a group of flags in it hinder nothing."""
    for pattern in ("/usr/bin/git push", "rm -rf /*", "a && b", "-x", "find -delete", "$HOME"):
        assert runs(read_command([pattern]), pattern)
    assert not runs(read_command(["find -d -e -l -t"]), "find -delete")
    assert runs(read_command(["rm /*"]), "rm *")


@pytest.mark.parametrize(
    ("kind", "pattern"), [("words", "!?"), ("words", "_"), ("commands", "$ ;")]
)
def test_a_pattern_without_a_word_is_refused(kind: str, pattern: str) -> None:
    """It could hold nothing back, or it would hold everything."""
    broken = {**RAW, kind: [{"name": "mine", "risk": "high", "match": ["fine", pattern]}]}
    with pytest.raises(ConfigError, match=rf"own\.yaml: {kind}: .* of 'mine' holds no word"):
        read_policy(broken, "own.yaml")


def test_a_gap_belongs_to_words() -> None:
    """From 0 to 20, and only there."""
    rule = {"name": "mine", "risk": "high", "match": ["x y"]}
    assert read_policy({**RAW, "words": [{**rule, "gap": 0}]}).words[0].gap == 0
    assert read_policy({**RAW, "words": [rule]}).words[0].gap == GAP
    for key, gap in (("words", 21), ("words", -1), ("words", "4"), ("commands", 1), ("paths", 1)):
        with pytest.raises(ConfigError, match="gap"):
            read_policy({**RAW, key: [{**rule, "gap": gap}]})


@pytest.mark.parametrize(
    "text",
    [
        "please fix the parser so that it deploys nothing to the production of data. ",
        "deploy to production ",
        "deploy ",
        "ed",
        "$ ",
        *("5", "5 ", "5 000 ", "1,", "5 million $", "5-"),
        "\u034f\u3164deploy to",
        "\u200bdeploy to",
        "a",
        " ",
    ],
)
def test_a_long_text_takes_no_time(text: str) -> None:
    """100,000 characters of each kind, as a text and as a command."""
    long = (text * 100_000)[:100_000]
    started = time.monotonic()
    of_text(long)
    of_command("sh", "-c", long)
    assert time.monotonic() - started < SECONDS


def test_a_phrase_that_stands_everywhere_takes_no_time() -> None:
    """The time grows with the places of its words, not with their square."""
    started = time.monotonic()
    assert says(read_text("x y " * 25_000), "x y x y", 3)
    assert not says(read_text("y " * 25_000 + "x " * 25_000), "x y", 3)
    assert time.monotonic() - started < SECONDS
