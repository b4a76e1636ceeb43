"""config/models.yaml: which model of which provider answers for which purpose."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from juggernaut.adapters.llm import extended
from juggernaut.adapters.llm.prices import Ceilings, LongContext
from juggernaut.adapters.llm.yaml_file import Section, read_yaml
from juggernaut.domain.errors import ConfigError, InvalidInput
from juggernaut.domain.exchange import Terms

MESSAGES: Final = "messages"
CHAT: Final = "chat"
RESPONSES: Final = "responses"
# What each known provider speaks, its usual form first. One that the file adds says it itself.
APIS: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": (MESSAGES,),
    "openai": (CHAT, RESPONSES),
    "openrouter": (CHAT, RESPONSES),
}
ALL_APIS: Final = (MESSAGES, CHAT, RESPONSES)


@dataclass(frozen=True, slots=True)
class Account:
    """With what a provider is reached."""

    api_key: str = field(repr=False)
    base_url: str | None = None
    fresh_key: Callable[[], str] | None = field(default=None, repr=False)  # the key of now


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that is needed to build one model; `script` is the file of a scripted one."""

    provider: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    script: Path | None = None
    ceilings: Ceilings | None = None
    api: str = ""  # empty: what the provider usually speaks
    terms: Terms = Terms()
    fresh_key: Callable[[], str] | None = field(default=None, repr=False)
    long_context: LongContext | None = None
    beta: str | None = None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of a provider: its own name there, its format, its limits, its long requests."""

    model: str
    api: str
    terms: Terms = Terms()
    long_context: LongContext | None = None
    beta: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderModels:
    """The models of one provider by alias, and prices for those without a known one."""

    models: Mapping[str, ModelEntry]
    ceilings: Ceilings | None
    api: str
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class ModelsConfig:
    """The whole file."""

    default_alias: str
    purposes: Mapping[str, str]
    providers: Mapping[str, ProviderModels]
    fallbacks: tuple[str, ...] = ()

    def first_added(self) -> str:
        """Give the first provider that only this file knows; raises ConfigError."""
        for name in self.providers:
            if name not in APIS:
                return name
        raise ConfigError(
            "JUGGERNAUT_MODEL_KEY is set, and models.yaml adds no provider that it could be for"
        )

    def resolve(self, name: str, usual: str | None = None) -> tuple[str, str]:
        """Give provider and model of `provider/model`, or of an alias; raises InvalidInput.

        An alias means the one of the provider `usual`, or of the first that has it.
        """
        provider, slash, model = name.partition("/")
        if slash and model and provider in self.providers:
            return provider, model
        asked = [usual] if usual else list(self.providers)
        for each in asked:
            if not slash and name in self.providers[each].models:
                return each, self.providers[each].models[name].model
        aliases = sorted({alias for part in self.providers.values() for alias in part.models})
        raise InvalidInput(
            f"no model is called {name!r}: give an alias ({', '.join(aliases)}) or provider/model"
            f" with one of {', '.join(self.providers)}"
        )

    def fallbacks_of(self, provider: str, reachable: Container[str]) -> tuple[str, ...]:
        """Give who is asked when a provider cannot answer, in order: those with a key."""
        return tuple(name for name in self.fallbacks if name != provider and name in reachable)

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
        entry = chosen.models[self.purposes.get(purpose, self.default_alias)]
        if override:
            known = {listed.model: listed for listed in chosen.models.values()}
            entry = known.get(override, ModelEntry(override, chosen.api))
        return ModelSpec(
            provider,
            entry.model,
            api_key,
            base_url or chosen.base_url,
            ceilings=chosen.ceilings,
            api=entry.api,
            terms=entry.terms,
            long_context=entry.long_context,
            beta=entry.beta,
        )


def load_models_config(path: Path) -> ModelsConfig:
    """Read and check the file; raises ConfigError that names the file and the place in it."""
    keys = ("default_alias", "purposes", "providers", "fallbacks")
    root = Section(read_yaml(path), str(path), keys)
    parts = root.section("providers")
    providers = {name: _provider(parts, name) for name in parts.values}
    if not providers:
        raise ConfigError(f"{root.at('providers')}: at least one is needed")
    purposes = root.section("purposes")
    config = ModelsConfig(
        default_alias=root.text("default_alias"),
        purposes={name: purposes.text(name) for name in purposes.values},
        providers=providers,
        fallbacks=root.texts("fallbacks"),
    )
    for name in config.fallbacks:
        if name not in providers:
            raise ConfigError(
                f"{root.at('fallbacks')}: {_unknown_provider(name, tuple(providers))}"
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
    """Read one provider; one that is not known has to say where it is and what it speaks."""
    part = parts.section(name, ("models", "ceilings_usd_per_mtok", "api", "base_url"))
    spoken = APIS.get(name, ALL_APIS)
    if name not in APIS:
        for key in ("base_url", "api"):
            if part.values.get(key) is None:
                raise ConfigError(
                    f"{part.at(key)}: a provider besides {', '.join(APIS)} needs base_url and api"
                )
    api = _api(part, spoken, spoken[0])
    models = part.section("models")
    if not models.values:
        raise ConfigError(f"{models.place}: at least one alias is needed")
    ceilings = None
    if part.values.get("ceilings_usd_per_mtok") is not None:
        prices = part.section("ceilings_usd_per_mtok", ("input", "output"))
        ceilings = Ceilings(prices.dollars("input"), prices.dollars("output"))
    entries = {alias: _entry(models, alias, spoken, api) for alias in models.values}
    return ProviderModels(entries, ceilings, api, part.optional_text("base_url"))


def _entry(models: Section, alias: str, spoken: tuple[str, ...], api: str) -> ModelEntry:
    """Read one model: its name, or a mapping with its name and what else is known of it."""
    if not isinstance(models.values[alias], Mapping):
        return ModelEntry(models.text(alias), api)
    limits = ("context_tokens", "requests_per_minute", "tokens_per_minute")
    part = models.section(alias, ("model", "api", *limits, *extended.KEYS))
    api = _api(part, spoken, api)
    terms = Terms(*(part.optional_count(key) for key in limits))
    return ModelEntry(
        part.text("model"),
        api,
        terms,
        extended.long_context(part, terms.context_tokens),
        extended.beta(part, speaks=api, needed=MESSAGES),
    )


def _api(part: Section, spoken: tuple[str, ...], usual: str) -> str:
    """Read a format that the provider speaks."""
    api = part.optional_text("api") or usual
    if api not in spoken:
        raise ConfigError(f"{part.at('api')}: unknown {api!r}; known here: {', '.join(spoken)}")
    return api


def _unknown_provider(name: str, known: tuple[str, ...]) -> str:
    """Give the message for a provider that is not there."""
    return f"unknown model provider {name!r}; known: {', '.join(known)}"
