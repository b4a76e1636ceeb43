"""Cut the part of GitHub's published description that the double is held to.

Run by hand when GitHub's description changes, never by a test:

    npm pack @octokit/openapi && tar xzf octokit-openapi-*.tgz
    python -m tests.fakes.github.extract_openapi package/package.json \
        package/generated/api.github.com.json

What comes out is described in PROVENANCE.md beside this file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXTRACT = HERE / "openapi.json"
JSON_TYPE = "application/json"
REF = "#/components/schemas/"
# Words that say nothing about which values are right.
TALK = frozenset(
    {"description", "example", "examples", "title", "externalDocs", "deprecated", "default"}
    | {"readOnly", "writeOnly", "nullable", "discriminator"}
)

OPERATIONS = """
GET /user
GET /app
GET /rate_limit
GET /repos/{owner}/{repo}
GET /repos/{owner}/{repo}/installation
POST /app/installations/{installation_id}/access_tokens
GET /app/installations/{installation_id}
GET /repos/{owner}/{repo}/git/ref/{ref}
GET /repos/{owner}/{repo}/git/matching-refs/{ref}
POST /repos/{owner}/{repo}/git/refs
PATCH /repos/{owner}/{repo}/git/refs/{ref}
DELETE /repos/{owner}/{repo}/git/refs/{ref}
GET /repos/{owner}/{repo}/git/commits/{commit_sha}
POST /repos/{owner}/{repo}/git/commits
GET /repos/{owner}/{repo}/git/trees/{tree_sha}
POST /repos/{owner}/{repo}/git/trees
GET /repos/{owner}/{repo}/git/blobs/{file_sha}
POST /repos/{owner}/{repo}/git/blobs
GET /repos/{owner}/{repo}/contents/{path}
PUT /repos/{owner}/{repo}/contents/{path}
GET /repos/{owner}/{repo}/branches/{branch}
GET /repos/{owner}/{repo}/branches/{branch}/protection
GET /repos/{owner}/{repo}/rules/branches/{branch}
GET /repos/{owner}/{repo}/commits/{ref}
GET /repos/{owner}/{repo}/commits/{ref}/check-runs
GET /repos/{owner}/{repo}/commits/{ref}/status
GET /repos/{owner}/{repo}/commits/{ref}/statuses
POST /repos/{owner}/{repo}/statuses/{sha}
POST /repos/{owner}/{repo}/check-runs
GET /repos/{owner}/{repo}/check-runs/{check_run_id}
PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}
GET /repos/{owner}/{repo}/compare/{basehead}
GET /repos/{owner}/{repo}/pulls
POST /repos/{owner}/{repo}/pulls
GET /repos/{owner}/{repo}/pulls/{pull_number}
PATCH /repos/{owner}/{repo}/pulls/{pull_number}
GET /repos/{owner}/{repo}/pulls/{pull_number}/merge
PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge
PUT /repos/{owner}/{repo}/pulls/{pull_number}/update-branch
GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews
POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews
PUT /repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}/dismissals
GET /repos/{owner}/{repo}/pulls/{pull_number}/comments
POST /repos/{owner}/{repo}/pulls/{pull_number}/comments
GET /repos/{owner}/{repo}/pulls/comments/{comment_id}
POST /repos/{owner}/{repo}/pulls/{pull_number}/comments/{comment_id}/replies
GET /repos/{owner}/{repo}/issues/{issue_number}/comments
POST /repos/{owner}/{repo}/issues/{issue_number}/comments
GET /repos/{owner}/{repo}/issues/comments/{comment_id}
GET /repos/{owner}/{repo}/issues/{issue_number}/labels
POST /repos/{owner}/{repo}/issues/{issue_number}/labels
GET /repos/{owner}/{repo}/issues/{issue_number}
GET /repos/{owner}/{repo}/actions/jobs/{job_id}
GET /repos/{owner}/{repo}/actions/jobs/{job_id}/logs
GET /repos/{owner}/{repo}/actions/runs/{run_id}/jobs
"""


def main(argv: list[str]) -> None:
    """Read the package's two files and write the extract."""
    package = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    spec = json.loads(Path(argv[1]).read_text(encoding="utf-8"))
    extract = cut(spec)
    extract["provenance"] = {
        "package": package["name"],
        "version": package["version"],
        "license": package["license"],
    }
    text = json.dumps(extract, separators=(",", ":"), sort_keys=True)
    EXTRACT.write_text(text + "\n", encoding="utf-8")


def cut(spec: dict[str, Any]) -> dict[str, Any]:
    """Give the operations named above and every schema that they reach."""
    operations = {}
    for line in OPERATIONS.split("\n"):
        if line:
            method, path = line.split()
            operations[line] = operation(spec, spec["paths"][path][method.lower()])
    schemas: dict[str, Any] = {}
    wanted = set(references(operations))
    while wanted:
        name = wanted.pop()
        schemas[name] = plain(spec["components"]["schemas"][name])
        wanted |= set(references(schemas[name])) - set(schemas)
    return {"operations": operations, "components": {"schemas": schemas}}


def operation(spec: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """Give one operation: its query, its request body, and its answers by status."""
    query = {}
    for parameter in raw.get("parameters", []):
        known = resolved(spec, parameter)
        if known["in"] == "query":
            query[known["name"]] = plain(known["schema"])
    answers = {}
    for status, answer in raw["responses"].items():
        content = resolved(spec, answer).get("content", {})
        answers[status] = plain(content.get(JSON_TYPE, {}).get("schema", {})) if content else None
    body = raw.get("requestBody", {}).get("content", {}).get(JSON_TYPE, {}).get("schema")
    return {"query": query, "request": plain(body) if body else None, "answers": answers}


def resolved(spec: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """Follow one reference to a parameter or an answer."""
    if "$ref" not in item:
        return item
    found: Any = spec
    for part in item["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def plain(schema: Any) -> Any:
    """Turn an OpenAPI 3.0 schema into JSON Schema: no talk, `nullable` as a type."""
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: plain(part) for name, part in value.items()}
        elif key in {"enum", "required"}:
            kept[key] = value
        elif key not in TALK and not key.startswith("x-"):
            kept[key] = plain(value)
    return or_null(kept) if schema.get("nullable") is True else kept


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Let a schema be null as well."""
    if isinstance(schema.get("type"), str):
        allowed = dict(schema, type=[schema["type"], "null"])
        if "enum" in allowed and None not in allowed["enum"]:
            allowed["enum"] = [*allowed["enum"], None]
        if not {"anyOf", "oneOf", "allOf"} & set(allowed):
            return allowed
    return {"anyOf": [schema, {"type": "null"}]} if schema else {}


def references(node: Any) -> Iterator[str]:
    """Yield the names of the schemas that something refers to."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(REF)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


if __name__ == "__main__":
    main(sys.argv[1:])
