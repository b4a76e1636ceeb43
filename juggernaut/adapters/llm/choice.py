"""Which model answers for which purpose."""

from __future__ import annotations

from juggernaut.adapters.llm.factory import build_adapter
from juggernaut.adapters.llm.models_config import ModelsConfig
from juggernaut.ports import LanguageModel


class OneModel:
    """The same model for every purpose: a script, or what JUGGERNAUT_MODEL names."""

    def __init__(self, model: LanguageModel) -> None:
        """Wrap it."""
        self._model = model

    def for_purpose(self, purpose: str) -> LanguageModel:
        """Give it."""
        return self._model


class ModelsByPurpose:
    """One provider's models, chosen by the aliases of config/models.yaml."""

    def __init__(
        self,
        config: ModelsConfig,
        provider: str,
        *,
        api_key: str,
        base_url: str | None = None,
        override: str | None = None,
    ) -> None:
        """Build each model that a purpose names; raises ConfigError for a key that is no key."""
        specs = {
            purpose: config.spec(
                provider, purpose, api_key=api_key, base_url=base_url, override=override
            )
            for purpose in (*config.purposes, "")
        }
        built = {spec.model: build_adapter(spec) for spec in specs.values()}
        self._models = {purpose: built[spec.model] for purpose, spec in specs.items()}

    def for_purpose(self, purpose: str) -> LanguageModel:
        """Give the model of a purpose, or the one for purposes that are not listed."""
        return self._models.get(purpose, self._models[""])
