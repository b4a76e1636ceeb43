"""Which models answer for which purpose, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from juggernaut.adapters.llm.factory import build_adapter
from juggernaut.adapters.llm.models_config import Account, ModelsConfig, ModelSpec
from juggernaut.domain.errors import InvalidInput
from juggernaut.ports import Choice, LanguageModel

SHOWN_CHARS: Final = 80


class OneModel:
    """The same model for every purpose: a script."""

    def __init__(self, model: LanguageModel) -> None:
        """Wrap it."""
        self._choices = (Choice(model),)

    def for_purpose(self, purpose: str) -> Sequence[Choice]:
        """Give it."""
        return self._choices

    def named(self, name: str) -> Sequence[Choice]:
        """Give it by its own name; raises InvalidInput for another one."""
        only = self._choices[0].model.name
        if name != only:
            raise InvalidInput(f"no model is called {name[:SHOWN_CHARS]!r} here: only {only}")
        return self._choices


class ModelsByPurpose:
    """The models of one provider by the aliases of config/models.yaml, then of its fallbacks."""

    def __init__(
        self,
        config: ModelsConfig,
        provider: str,
        accounts: Mapping[str, Account],
        *,
        override: str | None = None,
    ) -> None:
        """Build each model that a purpose names; raises ConfigError for a key that is no key.

        `accounts` has key and address of each provider that may be asked. `override`
        (JUGGERNAUT_MODEL) replaces every alias, and has no fallback.
        """
        self._config, self._provider, self._accounts = config, provider, accounts
        others = () if override else config.fallbacks_of(provider, accounts)
        built: dict[ModelSpec, Choice] = {}
        self._choices: dict[str, tuple[Choice, ...]] = {}
        for purpose in (*config.purposes, ""):
            row = []
            for name in (provider, *others):
                account = accounts.get(name, Account(""))
                spec = config.spec(
                    name,
                    purpose,
                    api_key=account.api_key,
                    base_url=account.base_url,
                    override=override,
                )
                spec = replace(spec, fresh_key=account.fresh_key)
                built[spec] = built.get(spec) or Choice(build_adapter(spec), spec.terms)
                row.append(built[spec])
            self._choices[purpose] = tuple(row)

    def for_purpose(self, purpose: str) -> Sequence[Choice]:
        """Give the models of a purpose, or those for purposes that are not listed."""
        return self._choices.get(purpose, self._choices[""])

    def named(self, name: str) -> Sequence[Choice]:
        """Give the model of an alias, or provider/model; InvalidInput when it cannot be asked."""
        provider, model = self._config.resolve(name, self._provider)
        account = self._accounts.get(provider)
        if account is None:
            raise InvalidInput(f"model {name}: no key of {provider} is set in this process")
        spec = self._config.spec(
            provider, "", api_key=account.api_key, base_url=account.base_url, override=model
        )
        spec = replace(spec, fresh_key=account.fresh_key)
        return (Choice(build_adapter(spec), spec.terms),)
