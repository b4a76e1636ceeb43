"""Risk: the highest of what is declared and of every floor. Nothing lowers it.

    risk = max(declared, task type, payload commands, effects, paths, words)

Floors come from config/policy.yaml and, for task types, from the database. Free text can only
raise the risk: a task that says "this is low risk" changes nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from juggernaut.domain.diffs import Judged, judge_diff, said_of
from juggernaut.domain.digest import digest_of
from juggernaut.domain.errors import ConfigError, InvalidInput
from juggernaut.domain.judging import named_judges
from juggernaut.domain.model import Digest, Json, Risk, Task, highest
from juggernaut.domain.network import NETWORK_SCHEMA, Allowed, read_network
from juggernaut.domain.schema import check_schema
from juggernaut.domain.wording import (
    GAP,
    command_pattern,
    phrase_words,
    read_command,
    read_text,
    runs,
    says,
)

_RULE: Json = {
    "name": {"type": "string", "minLength": 1, "maxLength": 100},
    "risk": {"type": "string", "enum": [risk.value for risk in Risk]},
    "match": {
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "minLength": 1, "maxLength": 200},
    },
}
_GAP: Json = {"gap": {"type": "integer", "minimum": 0, "maximum": 20}}


def _rules_schema(properties: Json) -> Json:
    """Give the schema of a list of rules."""
    return {
        "type": "array",
        "maxItems": 200,
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name", "risk", "match"],
            "properties": properties,
        },
    }


POLICY_SCHEMA: Json = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("version", "approvers", "floors", "task_types", "documents"),
        *("effects", "paths", "commands", "words"),
    ],
    "properties": {
        "approvers": {
            "type": "object",
            "additionalProperties": False,
            "required": [risk.value for risk in Risk],
            "properties": {
                risk.value: {"type": "integer", "minimum": 0, "maximum": 9} for risk in Risk
            },
        },
        "floors": {"type": "object"},
        "version": {"type": "integer", "minimum": 1},
        "task_types": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "documents": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "effects": {
            "type": "object",
            "additionalProperties": False,
            "required": ["push", "pull", "merge", "command"],
            "properties": {
                kind: {"type": "string", "enum": [risk.value for risk in Risk]}
                for kind in ("push", "pull", "merge", "command")
            },
        },
        "paths": _rules_schema(_RULE),
        "commands": _rules_schema(_RULE),
        "words": _rules_schema({**_RULE, **_GAP}),
        "network": NETWORK_SCHEMA,
    },
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A named floor: what matches any of the patterns has at least this risk.

    `gap`: so many other words may stand between two words of a phrase.
    """

    name: str
    risk: Risk
    match: tuple[str, ...]
    gap: int = GAP


@dataclass(frozen=True, slots=True)
class Policy:
    """config/policy.yaml, checked; `version` names its number and its bytes."""

    version: str
    approvers: Mapping[Risk, int]
    floors: Mapping[str, Risk]
    task_types: tuple[str, ...]
    documents: tuple[str, ...]
    effects: Mapping[str, Risk]
    paths: tuple[Rule, ...]
    commands: tuple[Rule, ...]
    words: tuple[Rule, ...]
    network: tuple[Allowed, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """A risk and the floors that made it, each as one readable line."""

    risk: Risk
    factors: tuple[str, ...]


def read_policy(raw: Json, file: str = "policy.yaml") -> Policy:
    """Read a policy from its YAML form; raises ConfigError naming the file and the wrong key."""
    try:
        check_schema(raw, POLICY_SCHEMA, "the policy")
        policy = _policy(raw, digest_of(raw))
        _check_patterns(policy)
    except InvalidInput as error:
        raise ConfigError(f"{file}: {error}") from error
    return policy


def _policy(raw: Json, digest: Digest) -> Policy:
    """Make the policy of what the schema has checked."""
    effects = raw["effects"]
    return Policy(
        version=f"{raw['version']}:{digest[:12]}",
        approvers=_quorum(raw["approvers"]),
        floors=_floors(raw["floors"]),
        task_types=_texts(raw["task_types"]),
        documents=_texts(raw["documents"]),
        effects={str(k): Risk(str(v)) for k, v in effects.items()}
        if isinstance(effects, Mapping)
        else {},
        paths=_rules(raw["paths"]),
        commands=_rules(raw["commands"]),
        words=_rules(raw["words"]),
        network=read_network(raw.get("network")),
    )


def assess_plan(
    task: Task,
    policy: Policy,
    floors: Mapping[str, Risk],
    effects: Iterable[str],
    commands: Iterable[Sequence[str]],
) -> Assessment:
    """Assess what an attempt intends, before anything is done."""
    found = [(task.risk, "declared")]
    if task.task_type in floors:
        found.append((floors[task.task_type], f"task type {task.task_type}"))
    for effect in effects:
        found.append((policy.effects.get(effect, Risk.HIGH), f"effect {effect}"))
    for argv in commands:
        found += _command_floors(argv, policy)
    found += _path_floors(_named_paths(task.payload), policy)
    texts = [task.title, task.description, *(criterion.text for criterion in task.criteria)]
    found += _word_floors("\n".join(texts), policy)
    return _assessment(found)


def assess_diff(
    planned: Risk,
    policy: Policy,
    files: Sequence[str],
    diff: str | Judged,
    checks: Iterable[Sequence[str]],
    doubts: Iterable[str] = (),
) -> Assessment:
    """Assess a finished change: its paths, the tests that judge it, and what it removes.

    `diff`: as git gave it, or what was judged of that; never one in which something is masked.
    `doubts`: what the tests of the base have against it.
    """
    judged = judge_diff(diff) if isinstance(diff, str) else diff
    found = [(planned, "the plan")]
    found += _path_floors(files, policy)
    named = named_judges(checks, files, judged.before)
    for path in named:
        found.append((Risk.HIGH, f"changes {path}, which judges this task"))
    found += [(Risk.HIGH, said) for said in said_of(judged, named)]
    found += [(Risk.HIGH, doubt) for doubt in doubts]
    return _assessment(found)


def is_document(path: str, policy: Policy) -> bool:
    """Say whether a path holds documentation."""
    return any(_path_matches(path, pattern) for pattern in policy.documents)


def _assessment(found: Sequence[tuple[Risk, str]]) -> Assessment:
    """Join floors; those above low are the factors, each once, in their order."""
    factors = [f"{why}: {risk.value}" for risk, why in found if risk is not Risk.LOW]
    return Assessment(highest([risk for risk, _ in found]), tuple(dict.fromkeys(factors)))


def _path_floors(paths: Iterable[str], policy: Policy) -> list[tuple[Risk, str]]:
    """Give the floors of the paths that a rule protects."""
    return [
        (rule.risk, f"path {path} ({rule.name})")
        for path in paths
        for rule in policy.paths
        if any(_path_matches(path, pattern) for pattern in rule.match)
    ]


def _path_matches(path: str, pattern: str) -> bool:
    """Match a path or its last part, whatever its case: file systems may fold it."""
    folded = unicodedata.normalize("NFKC", path).casefold()
    pattern = pattern.casefold()
    name = folded.rpartition("/")[2]
    return fnmatchcase(folded, pattern) or ("/" not in pattern and fnmatchcase(name, pattern))


def _command_floors(argv: Sequence[str], policy: Policy) -> list[tuple[Risk, str]]:
    """Give the floors of a command: a rule's words occur in it, in this order."""
    command = read_command(argv)
    return [
        (rule.risk, f"command {' '.join(argv)[:80]} ({rule.name})")
        for rule in policy.commands
        if any(runs(command, pattern) for pattern in rule.match)
    ]


def _word_floors(text: str, policy: Policy) -> list[tuple[Risk, str]]:
    """Give the floors of the phrases that a text holds, whatever case, form or ending.

    Of rules with the same name and risk, the first phrase that was found is named.
    """
    readings = read_text(text)
    found: dict[tuple[Risk, str], str] = {}
    for rule in policy.words:
        if (rule.risk, rule.name) in found:
            continue
        heard = next((phrase for phrase in rule.match if says(readings, phrase, rule.gap)), None)
        if heard is not None:
            found[rule.risk, rule.name] = heard
    return [(risk, f"words {phrase!r} ({name})") for (risk, name), phrase in found.items()]


def _named_paths(payload: Json) -> tuple[str, ...]:
    """Give the path that a task's payload names, if any."""
    path = payload.get("path")
    return (path,) if isinstance(path, str) else ()


def _quorum(value: object) -> Mapping[Risk, int]:
    """Read how many people approve; more risk never needs fewer of them."""
    given = value if isinstance(value, Mapping) else {}
    found = {risk: int(given[risk.value]) for risk in Risk}
    if sorted(found.values()) != list(found.values()):
        raise InvalidInput("approvers must not become fewer from low to critical")
    return found


def _floors(value: object) -> Mapping[str, Risk]:
    """Read the least risk of each task type."""
    given = value if isinstance(value, Mapping) else {}
    for name, risk in given.items():
        check_schema(risk, {"enum": [known.value for known in Risk]}, f"floors.{name}")
    return {str(name): Risk(str(risk)) for name, risk in given.items()}


def _texts(value: object) -> tuple[str, ...]:
    """Read a list of texts that the schema has checked."""
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()


def _check_patterns(policy: Policy) -> None:
    """Refuse a pattern in which nothing is left to look for: it holds back nothing, or all."""
    for rule in policy.commands:
        for pattern in rule.match:
            read = command_pattern(pattern)
            if not read.words and not read.flags:
                raise InvalidInput(f"commands: {pattern!r} of {rule.name!r} holds no word")
    for rule in policy.words:
        for phrase in rule.match:
            if not phrase_words(phrase):
                raise InvalidInput(f"words: {phrase!r} of {rule.name!r} holds no word")


def _rules(value: object) -> tuple[Rule, ...]:
    """Read a list of rules that the schema has checked."""
    items = value if isinstance(value, list | tuple) else ()
    return tuple(
        Rule(
            str(item["name"]),
            Risk(str(item["risk"])),
            _texts(item["match"]),
            int(item.get("gap", GAP)),
        )
        for item in items
        if isinstance(item, Mapping)
    )
