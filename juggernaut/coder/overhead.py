"""What every request of the built-in agent costs before there is a word of the task."""

from __future__ import annotations

import json

from juggernaut.coder.tools import SPECS
from juggernaut.domain import limits


def overhead_tokens(system: str) -> int:
    """Guess the tokens of a system prompt and the tools: their bytes as JSON, divided by three.

    That is more than byte-pair encodings make of English and JSON, which is about a quarter.
    """
    tools = [
        {"name": tool.name, "description": tool.description, "input_schema": dict(tool.schema)}
        for tool in SPECS
    ]
    whole = json.dumps({"system": system, "tools": tools})
    return -(-len(whole.encode()) // limits.PROMPT_BYTES_PER_TOKEN)
