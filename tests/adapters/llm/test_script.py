"""Scripts are checked when they are read, and every complaint names file and place."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggernaut.adapters.llm.scripted import ScriptedModel
from juggernaut.domain import limits
from juggernaut.domain.errors import ConfigError, ModelRefused
from juggernaut.domain.exchange import Message
from tests.fakes.model_requests import ask

ONE = "conversations: [{turns: [{text: hi}]}]"


def script(tmp_path: Path, text: str) -> ScriptedModel:
    """Make a model of a text."""
    path = tmp_path / "script.yaml"
    path.write_text(text)
    return ScriptedModel(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "a mapping is needed"),
        ("label: x", "conversations: at least one"),
        (ONE, "label: a text is needed"),
        (f"label: 'scripted:'\n{ONE}", "label: a name of"),
        (f"label: x\nmodel: y\n{ONE}", "unknown key 'model'; allowed: label"),
        (f"label: x\nlabel: y\n{ONE}", "'label' stands twice"),
        (f"label: x\n1: y\n{ONE}", "the key 1 is not text"),
        (f"label: x\nusd_per_call: -1\n{ONE}", "usd_per_call: -1 is not a price"),
        (f"label: x\nusd_per_call: .nan\n{ONE}", "usd_per_call: nan is not a price"),
        (f"label: x\nusd_per_call: true\n{ONE}", "a price in USD is needed"),
        ("label: x\nconversations: {a: b}", "conversations: a list is needed"),
        ("label: x\nconversations: [hi]", "conversations[1]: a mapping is needed"),
        ("label: x\nconversations: [{turns: []}]", "turns: at least one"),
        ("label: x\nconversations: [{turns: [{}]}]", "turns[1]: a turn needs text or tools"),
        ("label: x\nconversations: [{turns: [{text: 2024-01-01}]}]", "text: a text is needed"),
        ("label: x\nconversations: [{contains: [1], turns: [{text: a}]}]", "1 is not text"),
        ("label: x\nconversations: [{turns: [{tools: [{arguments: {}}]}]}]", "name: a text"),
        ("label: x\nconversations: [{turns: [{text: '{{sha}}'}]}]", "{{sha}} has no pattern"),
        (
            "label: x\nconversations: [{turns: [{text: a, capture: {sha: '('}}]}]",
            "sha: not a regular expression",
        ),
        (f"label: &a x\nnote: *a\n{ONE}", "aliases are not allowed"),
        (f"label: !!python/name:os.system x\n{ONE}", "not readable as YAML"),
        ("label: {" * 40, "nested deeper than"),
        ("label: [x", "not readable as YAML"),
        ("label: \x00", "not readable as YAML"),
        ("a" * (limits.CONFIG_FILE_BYTES + 1), "more than"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """One line that names the file, the place and what is wrong."""
    with pytest.raises(ConfigError) as caught:
        script(tmp_path, text)
    assert str(tmp_path / "script.yaml") in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    """The system's own words, and what to do."""
    with pytest.raises(ConfigError, match="No such file"):
        ScriptedModel(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        ScriptedModel(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"label: \xe9")
    with pytest.raises(ConfigError, match="not UTF-8"):
        ScriptedModel(tmp_path / "latin.yaml")


@pytest.mark.parametrize("label", ["demo", "scripted: demo", "scripted:demo"])
def test_the_name_says_scripted_once(tmp_path: Path, label: str) -> None:
    """Nobody takes a script for a model."""
    assert script(tmp_path, f"label: '{label}'\n{ONE}").name == "scripted/demo"


async def test_the_first_conversation_that_fits_wins(tmp_path: Path) -> None:
    """Purpose and every piece of text decide; the system prompt counts as well."""
    model = script(
        tmp_path,
        "label: x\nconversations:\n"
        "- {purpose: plan, turns: [{text: a plan}]}\n"
        "- {contains: [You are a test, slug], turns: [{text: the slug}]}\n"
        "- {turns: [{text: anything}]}\n",
    )
    assert (await model.complete(ask("slug", purpose="plan"))).text == "a plan"
    assert (await model.complete(ask("the slug"))).text == "the slug"
    assert (await model.complete(ask("a slip"))).text == "anything"
    later = ask("a slip", Message("user", "slug"))
    assert (await model.complete(later)).text == "anything"


async def test_a_script_that_is_over_says_so(tmp_path: Path) -> None:
    """The message names file, purpose and turn."""
    model = script(tmp_path, f"label: x\n{ONE}")
    with pytest.raises(ModelRefused, match=r"script\.yaml.*'code' has 1 turns.*turn 2"):
        await model.complete(ask("hello", Message("assistant", "hi")))


async def test_captured_values_fill_arguments(tmp_path: Path) -> None:
    """At any depth, the last match, the group if there is one; missing is a refusal."""
    model = script(
        tmp_path,
        "label: x\nconversations:\n- turns:\n"
        "  - tools: [{name: t, arguments: {a: ['{{sha}}', {b: 'at {{n}}'}], c: 1}}]\n"
        "    capture: {sha: 'commit ([0-9a-f]+)', n: '[0-9]+$'}\n",
    )
    reply = await model.complete(ask("commit aa, then commit bb, line 7"))
    assert reply.tool_calls[0].arguments == {"a": ["bb", {"b": "at 7"}], "c": 1}
    with pytest.raises(ModelRefused, match=r"\{\{sha\}\} is not known"):
        await model.complete(ask("nothing"))
