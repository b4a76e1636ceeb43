"""Language models: Anthropic, OpenAI and all that speak its Chat Completions, and a script."""
