"""A code agent as a program: it talks like Claude Code and does what its model says.

Its tools are write, run, finish, and for the tests: print (raw lines to standard output), exit
(with a code) and hang. It runs as a script of its own.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

TOOLS = ("write", "run", "finish", "print", "exit", "hang")


def say(line: object) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def ask(messages: list[dict[str, object]]) -> dict[str, object]:
    """Ask the model once."""
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in TOOLS]
    body = {"model": "m", "max_tokens": 100, "messages": messages, "tools": tools}
    request = urllib.request.Request(  # noqa: S310 - the address is the test's own
        f"{os.environ['ANTHROPIC_BASE_URL']}/v1/messages?beta=true",
        json.dumps(body).encode(),
        {"content-type": "application/json", "x-api-key": os.environ["ANTHROPIC_API_KEY"]},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        reply: dict[str, object] = json.load(answer)
        return reply


def use(name: str, given: dict[str, object]) -> str:
    """Use a tool that does something."""
    if name == "write":
        Path(str(given["path"])).write_text(str(given["content"]))
    elif name == "run":
        argv = given["argv"]
        assert isinstance(argv, list)
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    elif name == "print":
        sys.stdout.write(str(given["lines"]))
        sys.stdout.flush()
    elif name == "hang":
        subprocess.run(["sleep", "300"], check=False)
    elif name == "exit":
        os._exit(int(str(given["code"])))
    return "done"


def main() -> int:
    """Work until the model calls finish."""
    session = sys.argv[sys.argv.index("--resume") + 1] if "--resume" in sys.argv else "session-1"
    say({"type": "system", "subtype": "init", "session_id": session})
    messages: list[dict[str, object]] = [{"role": "user", "content": sys.stdin.read()}]
    result = {"type": "result", "session_id": session, "num_turns": 1, "subtype": "success"}
    while True:
        try:
            reply = ask(messages)
        except urllib.error.HTTPError as error:
            said = json.load(error)["error"]["message"]
            say({**result, "is_error": True, "result": f"API Error: {error.code} {said}"})
            return 1
        content = reply["content"]
        assert isinstance(content, list)
        messages.append({"role": "assistant", "content": content})
        results: list[dict[str, object]] = []
        for block in content:
            if block["type"] != "tool_use":
                say({"type": "assistant", "message": {"content": [block]}})
            elif block["name"] == "finish":
                say({**result, "is_error": False, "result": block["input"]["summary"]})
                return 0
            else:
                say({"type": "assistant", "message": {"content": [block]}})
                done = use(block["name"], block["input"])
                got = {"type": "tool_result", "tool_use_id": block["id"], "content": done}
                say({"type": "user", "message": {"content": [got]}})
                results.append(got)
        messages.append({"role": "user", "content": results})


if __name__ == "__main__":
    sys.exit(main())
