"""What every request of the built-in agent costs before there is a word of the task."""

from __future__ import annotations

import json
import re

import pytest

from juggernaut.adapters.llm import anthropic_wire
from juggernaut.adapters.llm.dialect import Dialect
from juggernaut.app.doctor import check_overhead
from juggernaut.app.setting_sources import load_settings
from juggernaut.coder.overhead import overhead_tokens
from juggernaut.coder.tools import SPECS
from juggernaut.domain import limits
from juggernaut.domain.exchange import Message, ModelRequest
from tests.fakes.wire_cache import tokens


def test_it_is_small_and_doctor_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under 2,500 tokens by the careful guess; above the bound doctor warns."""
    loaded = load_settings({}, None)
    finding = check_overhead(loaded)
    found = re.search(r"about (\d+) tokens", finding.detail)
    assert found is not None
    assert 500 < int(found[1]) < 2_500 == limits.OVERHEAD_TOKENS
    assert finding.level == "ok"
    monkeypatch.setattr(limits, "OVERHEAD_TOKENS", 500)
    finding = check_overhead(loaded)
    assert (finding.level, finding.remedy[:14]) == ("warn", "keep it below ")


def test_the_guess_is_above_what_is_sent() -> None:
    """Of what really goes over the wire; a text that is not ASCII counts more, not less."""
    prompt = load_settings({}, None).resources.config / "prompts" / "coder.md"
    for system in (prompt.read_text(), "\u4e2d\u6587" * 500):
        request = ModelRequest("code", system, (Message("user", "x"),), SPECS)
        sent = anthropic_wire.to_wire(request, "m", Dialect())
        fixed = json.dumps([sent["system"], sent["tools"]], ensure_ascii=False)
        assert overhead_tokens(system) > len(tokens(fixed))
        assert overhead_tokens(system) >= len(system.encode()) // 3
