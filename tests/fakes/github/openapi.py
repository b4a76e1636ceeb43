"""Whether requests and answers are what GitHub's published description says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

import jsonschema_rs

from tests.fakes.github.extract_openapi import EXTRACT, REF

# Answers that any operation may give, described or not.
ANY_ERROR = {"$ref": f"{REF}basic-error"}
FIRST_ERROR = 400
OPEN_KEYS = ("anyOf", "oneOf", "allOf", "additionalProperties")
FINDINGS = 5
# GitHub takes a bare list of labels too, as PyGithub sends it; its description lost that form.
BARE_LABELS = "POST /repos/{owner}/{repo}/issues/{issue_number}/labels"


@lru_cache(maxsize=1)
def extract() -> dict[str, Any]:
    """Read the extract, once."""
    read: dict[str, Any] = json.loads(EXTRACT.read_text(encoding="utf-8"))
    return read


def request_problems(name: str, query: Mapping[str, str], body: Any) -> list[str]:
    """Find what is wrong with a request of an operation (`GET /user`)."""
    operation = extract()["operations"][name]
    if name == BARE_LABELS and isinstance(body, list):
        body = {"labels": body}
    found = [
        f"{name}: query {key} is not described" for key in query if key not in operation["query"]
    ]
    for key, value in query.items():
        allowed = operation["query"].get(key, {}).get("enum")
        if allowed and value not in allowed:
            found.append(f"{name}: query {key}={value} is none of {allowed}")
    if operation["request"] is None:
        return found if body in (None, {}) else [*found, f"{name}: takes no body"]
    found += _unknown(operation["request"], body, f"{name}: body")
    return found + [f"{name}: body {text}" for text in _errors(name, "request", body)]


def answer_problems(name: str, status: int, body: Any) -> list[str]:
    """Find what is wrong with an answer of an operation."""
    answers = extract()["operations"][name]["answers"]
    if str(status) not in answers and status < FIRST_ERROR:
        return [f"{name}: no answer {status} is described"]
    schema = answers.get(str(status), ANY_ERROR)
    if schema is None:
        return []
    found = _unknown(schema, body, f"{name}: answer {status}") if status < FIRST_ERROR else []
    return found + [f"{name}: answer {status} {text}" for text in _errors(name, str(status), body)]


def _errors(name: str, part: str, body: Any) -> Iterator[str]:
    """Yield the first things that a schema finds wrong."""
    checker = _checker(name, part)
    for place, error in enumerate(checker.iter_errors(body)):
        if place == FINDINGS:
            return
        where = "/".join(str(step) for step in error.instance_path)
        yield f"at {where or 'the top'}: {error.message[:300]}"


@cache
def _checker(name: str, part: str) -> Any:
    """Build the checker of one body, once."""
    whole = extract()
    operation = whole["operations"][name]
    answers = operation["answers"]
    schema = operation["request"] if part == "request" else answers.get(part, ANY_ERROR)
    closed = {**schema, "components": whole["components"]}
    return jsonschema_rs.Draft202012Validator(closed, validate_formats=True)


def _unknown(schema: dict[str, Any], body: Any, what: str) -> list[str]:
    """Find fields of an object that its description does not name: made up, or misspelt."""
    while "$ref" in schema:
        schema = extract()["components"]["schemas"][schema["$ref"].removeprefix(REF)]
    open_ended = any(key in schema for key in OPEN_KEYS) or "properties" not in schema
    if open_ended or not isinstance(body, dict):
        return []
    return [f"{what} has an unknown field {key}" for key in body if key not in schema["properties"]]
