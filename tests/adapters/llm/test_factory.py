from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path

import pytest

from juggernaut.adapters.llm.choice import ModelsByPurpose
from juggernaut.adapters.llm.factory import (
    ModelSpec,
    build_adapter,
    load_models_config,
)
from juggernaut.adapters.llm.models_config import APIS, Account
from juggernaut.adapters.llm.prices import Ceilings
from juggernaut.domain.errors import ConfigError, InvalidInput, ModelUnavailable
from juggernaut.domain.exchange import Terms
from juggernaut.ports import Models
from tests.fakes.model_requests import WIRES, ask
from tests.fakes.wire_openai import WireOpenAI
from tests.fakes.wire_server import KEY

DOCS = Path(__file__).parents[3] / "docs" / "models.md"
SHIPPED = Path(__file__).parents[3] / "config" / "models.yaml"
HEAVY = ("anthropic", "openai", "genai_prices", "httpx2", "pydantic")
GOOD = """
default_alias: strong
purposes: {report: fast}
providers:
  openai:
    models: {strong: big, fast: small}
    ceilings_usd_per_mtok: {input: 1, output: "2.5"}
"""


LONG_ENTRY = """strong:
      {{model: big, context_tokens: 50, long_context_usd_per_mtok: {{{} above_tokens: 9}}}}"""


def config_file(tmp_path: Path, text: str) -> Path:
    """Write a models.yaml."""
    path = tmp_path / "models.yaml"
    path.write_text(text)
    return path


def test_starting_up_loads_no_sdk() -> None:
    """Importing the factory and building a model stay light; only a call pays for the SDK."""
    program = (
        "import sys\n"
        "from juggernaut.adapters.llm.factory import ModelSpec, build_adapter\n"
        "build_adapter(ModelSpec('anthropic', 'm', 'FAKE'))\n"
        "build_adapter(ModelSpec('openrouter', 'm', 'FAKE'))\n"
        f"sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize("provider", APIS)
@pytest.mark.parametrize("purpose", ["plan", "report", "never heard of"])
def test_one_key_is_enough(provider: str, purpose: str) -> None:
    """The shipped file has a model for every purpose at every provider, with a known price."""
    spec = load_models_config(SHIPPED).spec(provider, purpose, api_key="FAKE")
    model = build_adapter(spec)
    assert model.name == f"{provider}/{spec.model}"
    assert model.max_price(ask("hello")) > 0


def test_purposes_choose_their_model() -> None:
    """A summary goes to the fast model, code to the strong one, the unknown to the default."""
    config = load_models_config(SHIPPED)
    accounts = {"anthropic": Account("FAKE"), "openrouter": Account("FAKE")}
    alone = {"anthropic": Account("FAKE")}
    models = ModelsByPurpose(config, "anthropic", alone)
    strong, fast = (entry.model for entry in config.providers["anthropic"].models.values())
    assert names(models, "code") == [f"anthropic/{strong}"]
    assert names(models, "report") == [f"anthropic/{fast}"]
    assert names(models, "never heard of") == [f"anthropic/{strong}"]
    both = names(ModelsByPurpose(config, "openrouter", accounts), "report")
    assert both[1:] == [f"anthropic/{fast}"]
    assert both[0].startswith("openrouter/")
    one = ModelsByPurpose(config, "anthropic", accounts, override="other")
    assert {*map(tuple, (names(one, purpose) for purpose in config.purposes))} == {
        ("anthropic/other",)
    }


def test_a_person_names_a_model() -> None:
    """An alias is that of the provider in use; what has no key or is not there is refused."""
    config = load_models_config(SHIPPED)
    models = ModelsByPurpose(config, "openai", {"openai": Account("FAKE")})
    fast = config.providers["openai"].models["fast"].model
    for name, model in (("fast", fast), (f"openai/{fast}", fast), ("openai/a/b", "a/b")):
        (choice,) = models.named(name)
        assert choice.model.name == f"openai/{model}"
    for name, said in (
        ("anthropic/x", "no key of anthropic is set"),
        ("best", "no model is called 'best': give an alias (fast, strong) or provider/model"),
        ("acme/x", "with one of anthropic, openai, openrouter"),
        ("openai/", "no model is called 'openai/'"),
    ):
        with pytest.raises(InvalidInput, match=re.escape(said)):
            models.named(name)


def names(models: Models, purpose: str) -> list[str]:
    """Give who answers for a purpose, in order."""
    return [choice.model.name for choice in models.for_purpose(purpose)]


def test_an_override_replaces_every_alias() -> None:
    """JUGGERNAUT_MODEL wins."""
    config = load_models_config(SHIPPED)
    for purpose in ("plan", "report"):
        assert config.spec("openai", purpose, api_key="FAKE", override="mine").model == "mine"


def test_the_file_decides(tmp_path: Path) -> None:
    """Alias by purpose, ceilings by provider."""
    config = load_models_config(config_file(tmp_path, GOOD))
    spec = config.spec("openai", "report", api_key="FAKE", base_url="http://127.0.0.1:1/v1")
    assert (spec.model, spec.base_url) == ("small", "http://127.0.0.1:1/v1")
    assert spec.ceilings == Ceilings(Decimal(1), Decimal("2.5"))
    assert config.spec("openai", "plan", api_key="FAKE").model == "big"
    with pytest.raises(ConfigError, match="unknown model provider 'anthropic'; known: openai"):
        config.spec("anthropic", "plan", api_key="FAKE")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("openai:", "opnai:", "opnai: base_url: a provider besides anthropic, openai, openrouter"),
        ("{strong: big, fast: small}", "{strong: big}", "the alias 'fast' is used and has no"),
        ("{strong: big, fast: small}", "{}", "at least one alias"),
        ("strong: big", "strong: 4", "strong: a text is needed, not 4"),
        ("default_alias: strong", "default_alias: best", "the alias 'best'"),
        ("default_alias: strong", "", "default_alias: a text is needed"),
        ("input: 1,", "", "input: a price in USD is needed, not None"),
        ("purposes", "porpoises", "unknown key 'porpoises'"),
        ("strong: big", "strong: {model: big, api: telex}", "unknown 'telex'; known here: chat"),
        ("strong: big", "strong: {model: big, context_tokens: 0}", "a whole number from 1"),
        ("default_alias: strong", "default_alias: strong\nfallbacks: [gemini]", "'gemini'; known"),
        ("output:", "ouput:", "unknown key 'ouput'; allowed: input, output"),
        ("strong: big", "strong: {model: big, beta: b-1}", "strong: beta: 'b-1' is for the format"),
        ("strong: big", LONG_ENTRY.format("input: 1,"), "output: a price in USD is needed, not"),
        ("strong: big", LONG_ENTRY.format("inptu: 1,"), "unknown key 'inptu'; allowed: above_"),
        ("strong: big", LONG_ENTRY.format("input: -1,"), "input: -1 is not a price"),
        (
            "strong: big",
            LONG_ENTRY.format("").replace("9", "0"),
            "above_tokens: a whole number from 1",
        ),
        (
            "strong: big",
            LONG_ENTRY.format("").replace("9", "~"),
            "above_tokens: a whole number from 1",
        ),
        (
            "strong: big",
            LONG_ENTRY.format("").replace("9", "50"),
            "50 is never passed with context_tokens 50",
        ),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    """One line that names the file and the place."""
    path = config_file(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_models_config(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ModelSpec("gemini", "x", "FAKE"), "'gemini'; known: anthropic, openai, openrouter"),
        (ModelSpec("scripted", "x"), "give the path of a script"),
        (ModelSpec("openai", " ", "FAKE"), "JUGGERNAUT_MODEL"),
        (ModelSpec("anthropic", "x"), "ANTHROPIC_API_KEY is not set"),
        (ModelSpec("openrouter", "x", "\n"), "OPENROUTER_API_KEY is not set"),
        (ModelSpec("openai", "x", "FAKE key"), "OPENAI_API_KEY holds spaces"),
        (ModelSpec("openai", "x", "FAKE\u2014"), "OPENAI_API_KEY holds spaces"),
        (ModelSpec("openai", "x", "FAKE", "ftp://host/v1"), "must be http(s)"),
        (ModelSpec("openai", "x", "FAKE", "http://[::1/v1"), "must be http(s)"),
        (ModelSpec("openai", "x", "FAKE", "http://u:FAKE@host/v1"), "must be http(s)"),
    ],
)
def test_a_bad_spec_is_refused(spec: ModelSpec, words: str) -> None:
    """The message names the variable and never shows what is in it."""
    with pytest.raises(ConfigError) as caught:
        build_adapter(spec)
    assert words in str(caught.value)
    assert "FAKE" not in str(caught.value)


def test_a_spec_does_not_show_its_key() -> None:
    """Neither does the model that is built from it."""
    spec = ModelSpec("openai", "x", KEY)
    assert KEY not in repr(spec)
    assert KEY not in repr(build_adapter(spec))


async def test_openrouter_reports_errors_inside_a_good_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenRouter answers 200 with an error; its code decides, and unknown codes pass."""
    async with WireOpenAI() as server:
        model = build_adapter(ModelSpec("openrouter", "openai/gpt-5.4-mini", KEY, server.url))
        for error in ({"code": 429, "message": "slow down"}, {"message": "provider died"}):
            monkeypatch.setattr(server, "reply", lambda body, turn, e=error: {"error": e})
            with pytest.raises(ModelUnavailable, match=str(error["message"])):
                await model.complete(ask("hello"))


BLOCKS = re.findall(r"```yaml\n(.+?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
(ADDED,) = (block for block in BLOCKS if "base_url" in block)
(LONG,) = (block for block in BLOCKS if "beta" in block)


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
async def test_the_documented_provider_works(tmp_path: Path, api: str) -> None:
    """The entry of docs/models.md, with only address and format changed, answers a call."""
    wire = {"chat": "openai", "responses": "responses", "messages": "anthropic"}[api]
    async with WIRES[wire]() as server:
        entry = ADDED.replace("https://llm.example.com/v1", server.url)
        entry = entry.replace("api: chat", f"api: {api}")
        text = SHIPPED.read_text(encoding="utf-8") + entry
        config = load_models_config(config_file(tmp_path, text))
        name = config.first_added()
        choice = ModelsByPurpose(config, name, {name: Account(KEY)}).for_purpose("code")[0]
        reply = await choice.model.complete(ask("hello"))
    assert choice.model.name == f"{name}/big-model"
    assert choice.terms == Terms(128_000, 60, 200_000)
    assert (reply.text, reply.cost_usd > 0) == ("ok", True)


LONG_FILE = """
default_alias: strong
purposes: {report: fast}
providers:
  anthropic:
    ceilings_usd_per_mtok: {input: 3, output: 15}
    models:
      fast: big-model
"""


@pytest.mark.parametrize(
    ("above", "cost"),
    [("1500", Decimal("0.006")), ("1499", Decimal("0.01062"))],
)
async def test_the_documented_long_context_works(tmp_path: Path, above: str, cost: Decimal) -> None:
    """The header where it stands and nowhere else; 1,500 tokens of input, at the step and past it.

    1,000 of them are fresh, 200 read and 300 written, and 100 are answered.
    """
    entry = textwrap.indent(LONG.replace("200000", above), " " * 6)
    config = load_models_config(config_file(tmp_path, LONG_FILE + entry))
    async with WIRES["anthropic"]() as server:
        models = ModelsByPurpose(config, "anthropic", {"anthropic": Account(KEY, server.url)})
        (strong,), (fast,) = models.for_purpose("code"), models.for_purpose("report")
        replies = [await one.model.complete(ask("hello")) for one in (strong, fast)]
    assert strong.terms.context_tokens == 1_000_000
    assert [seen.headers.get("anthropic-beta") for seen in server.requests] == [
        *("context-1m-2025-08-07", None)
    ]
    assert [reply.cost_usd for reply in replies] == [cost, Decimal("0.006")]
    assert strong.model.max_price(ask("hello" * 2_000)) > fast.model.max_price(ask("hello" * 2_000))


def test_a_beta_is_a_name(tmp_path: Path) -> None:
    """Nothing that could be another header."""
    entry = textwrap.indent(LONG.replace("context-1m-2025-08-07", '"a\\r\\nx-api-key: b"'), " " * 6)
    path = config_file(tmp_path, LONG_FILE + entry)
    with pytest.raises(ConfigError, match="strong: beta: .* is no name of a beta: give one of"):
        load_models_config(path)
