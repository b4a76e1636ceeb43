"""From a description to a model that can be asked. No SDK is loaded here, nor when building."""

from __future__ import annotations

from urllib.parse import urlsplit

from juggernaut.adapters.llm.anthropic import AnthropicModel
from juggernaut.adapters.llm.keys import fit
from juggernaut.adapters.llm.models_config import (
    APIS,
    MESSAGES,
    RESPONSES,
    ModelsConfig,
    ModelSpec,
    load_models_config,
)
from juggernaut.adapters.llm.openai import OpenAIModel
from juggernaut.adapters.llm.scripted import ScriptedModel
from juggernaut.adapters.llm.wire_model import Endpoint
from juggernaut.domain.errors import ConfigError
from juggernaut.ports import LanguageModel

__all__ = ["ModelSpec", "ModelsConfig", "build_adapter", "load_models_config"]


def build_adapter(spec: ModelSpec) -> LanguageModel:
    """Build a model whose call is exactly one request; raises ConfigError."""
    if spec.provider == "scripted":
        if spec.script is None:
            raise ConfigError("a scripted model needs its file; give the path of a script")
        return ScriptedModel(spec.script)
    if spec.provider not in APIS and not (spec.api and spec.base_url):
        known = ", ".join((*APIS, "scripted"))
        raise ConfigError(
            f"unknown model provider {spec.provider!r}; known: {known},"
            " and what models.yaml adds with base_url and api"
        )
    if not spec.model.strip():
        raise ConfigError(f"no model is named for {spec.provider}; set JUGGERNAUT_MODEL")
    api = spec.api or APIS[spec.provider][0]
    at = Endpoint(
        spec.provider,
        spec.model,
        _key(spec),
        _base_url(spec),
        spec.ceilings,
        fresh_key=spec.fresh_key,
        long_context=spec.long_context,
        beta=spec.beta,
    )
    return AnthropicModel(at) if api == MESSAGES else OpenAIModel(at, responses=api == RESPONSES)


def _key(spec: ModelSpec) -> str:
    """Give the key, fit for a header; a message never holds it."""
    known = spec.provider in APIS
    variable = f"{spec.provider.upper()}_API_KEY" if known else "JUGGERNAUT_MODEL_KEY"
    key = (spec.api_key or "").strip()
    if not key:
        raise ConfigError(f"{variable} is not set; {spec.provider} needs a key")
    if not fit(key):
        raise ConfigError(f"{variable} holds spaces or characters that no key has; copy it again")
    return key


def _base_url(spec: ModelSpec) -> str | None:
    """Give the base URL if one is set and usable; a message shows no password in it."""
    if spec.base_url is None:
        return None
    try:
        parts = urlsplit(spec.base_url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.username
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"the base URL of {spec.provider} must be http(s)://host/path without a user name"
        )
    return spec.base_url
