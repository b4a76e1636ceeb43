"""config/models.yaml: which model of which provider answers for which purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from juggernaut.adapters.llm.prices import Ceilings
from juggernaut.adapters.llm.yaml_file import Section, read_yaml
from juggernaut.domain.errors import ConfigError

PROVIDERS: Final = ("anthropic", "openai", "openrouter", "scripted")
WIRE_PROVIDERS: Final = ("anthropic", "openai", "openrouter")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that is needed to build one model; `script` is the file of a scripted one."""

    provider: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    script: Path | None = None
    ceilings: Ceilings | None = None


@dataclass(frozen=True, slots=True)
class ProviderModels:
    """The models of one provider by alias, and prices for those without a known one."""

    models: Mapping[str, str]
    ceilings: Ceilings | None


@dataclass(frozen=True, slots=True)
class ModelsConfig:
    """The whole file."""

    default_alias: str
    purposes: Mapping[str, str]
    providers: Mapping[str, ProviderModels]

    def spec(
        self,
        provider: str,
        purpose: str,
        *,
        api_key: str,
        base_url: str | None = None,
        override: str | None = None,
    ) -> ModelSpec:
        """Give the model for a purpose; `override` (JUGGERNAUT_MODEL) replaces every alias."""
        chosen = self.providers.get(provider)
        if chosen is None:
            raise ConfigError(_unknown_provider(provider, tuple(self.providers)))
        alias = self.purposes.get(purpose, self.default_alias)
        model = override or chosen.models[alias]
        return ModelSpec(provider, model, api_key, base_url, ceilings=chosen.ceilings)


def load_models_config(path: Path) -> ModelsConfig:
    """Read and check the file; raises ConfigError that names the file and the place in it."""
    root = Section(read_yaml(path), str(path), ("default_alias", "purposes", "providers"))
    parts = root.section("providers", WIRE_PROVIDERS)
    providers = {name: _provider(parts, name) for name in parts.values}
    if not providers:
        raise ConfigError(f"{root.at('providers')}: at least one is needed")
    purposes = root.section("purposes")
    config = ModelsConfig(
        default_alias=root.text("default_alias"),
        purposes={name: purposes.text(name) for name in purposes.values},
        providers=providers,
    )
    for alias in (config.default_alias, *config.purposes.values()):
        for name, provider in providers.items():
            if alias not in provider.models:
                raise ConfigError(
                    f"{path}: providers: {name}: models: the alias {alias!r} is used and has no "
                    f"model here; known: {', '.join(provider.models)}"
                )
    return config


def _provider(parts: Section, name: str) -> ProviderModels:
    """Read one provider."""
    part = parts.section(name, ("models", "ceilings_usd_per_mtok"))
    models = part.section("models")
    if not models.values:
        raise ConfigError(f"{models.place}: at least one alias is needed")
    ceilings = None
    if part.values.get("ceilings_usd_per_mtok") is not None:
        prices = part.section("ceilings_usd_per_mtok", ("input", "output"))
        ceilings = Ceilings(prices.dollars("input"), prices.dollars("output"))
    return ProviderModels({alias: models.text(alias) for alias in models.values}, ceilings)


def _unknown_provider(name: str, known: tuple[str, ...]) -> str:
    """Give the message for a provider that is not there."""
    return f"unknown model provider {name!r}; known: {', '.join(known)}"
