"""A model provider on 127.0.0.1: a real HTTP server that speaks a provider's wire format.

What it answers comes from the file of a scripted model; what goes wrong comes from a list of
faults, one per request, until the list is empty. It runs in its own thread, so that programs
which block the event loop, and other processes, can use it.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from juggernaut.adapters.llm.script import Heard, Script, Turn, load_script
from juggernaut.domain.errors import ModelRefused

KEY = "FAKE-model-key-0123456789"
RETRY_AFTER_SECONDS = 7

Body = dict[str, Any]


class Fault(StrEnum):
    """What can go wrong with one request."""

    NONE = "none"
    UNAUTHORIZED = "unauthorized"
    BAD_REQUEST = "bad_request"
    NO_SUCH_MODEL = "no_such_model"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    DISCONNECT = "disconnect"
    CUT_BODY = "cut_body"
    NO_STOP = "no_stop"
    STRANGE_STOP = "strange_stop"
    REFUSAL = "refusal"
    CUT_AT_LIMIT = "cut_at_limit"
    GARBLED = "garbled"
    NOT_AN_OBJECT = "not_an_object"
    BAD_ARGUMENTS = "bad_arguments"
    STALL = "stall"
    NO_USAGE = "no_usage"
    REDIRECT = "redirect"
    FLOOD = "flood"
    CONTEXT_OVERFLOW = "context_overflow"
    WRONG_MODEL = "wrong_model"
    NO_STREAM = "no_stream"
    TRUNCATED = "truncated"
    STALL_INSIDE = "stall_inside"
    ERROR_INSIDE = "error_inside"


STATUSES: Mapping[Fault, tuple[int, str]] = {
    Fault.UNAUTHORIZED: (401, f"the key {KEY} is not valid"),
    Fault.BAD_REQUEST: (400, "messages: something is wrong with them"),
    Fault.NO_SUCH_MODEL: (404, "model: not found"),
    Fault.RATE_LIMITED: (429, "too many requests"),
    Fault.SERVER_ERROR: (500, "internal error"),
    Fault.OVERLOADED: (529, "overloaded"),
    Fault.CONTEXT_OVERFLOW: (400, "prompt is too long: 250000 tokens > 200000 maximum"),
    Fault.NO_STREAM: (400, "stream: this server does not stream"),
}


class Refused(Exception):
    """The provider refuses a request: its status and its words."""

    def __init__(self, status: int, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: Body


@dataclass(slots=True)
class _Journal:
    """Requests so far and faults to come; the lock is for the server's threads."""

    faults: list[Fault]
    requests: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    arrived: threading.Event = field(default_factory=threading.Event)

    def note(self, seen: Seen) -> Fault:
        """Keep a request and give its fault."""
        with self.lock:
            self.requests.append(seen)
            self.arrived.set()
            return self.faults.pop(0) if self.faults else Fault.NONE


class WireServer(ABC):
    """The part that all providers share; use it as `async with WireAnthropic(script) as server`."""

    path: ClassVar[str]
    base_path: ClassVar[str] = ""
    says_done: ClassVar[bool] = False

    def __init__(self, script: Path | Script | None = None, faults: Sequence[Fault] = ()) -> None:
        """Take the file that answers (None: always "ok") and what shall go wrong, in order."""
        self.key = KEY
        self._script = load_script(script) if isinstance(script, Path) else script
        self._journal = _Journal(list(faults))
        self._closing = threading.Event()
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """Give the base URL for the SDK."""
        return f"http://127.0.0.1:{self._http.server_address[1]}{self.base_path}"

    @property
    def requests(self) -> list[Seen]:
        """Give the requests so far, in order."""
        with self._journal.lock:
            return list(self._journal.requests)

    def wait_for_request(self) -> None:
        """Block until a first request is here; raises TimeoutError after ten seconds."""
        if not self._journal.arrived.wait(10):
            raise TimeoutError("no request came in")

    def fail_next(self, *faults: Fault) -> None:
        """Let the next requests go wrong."""
        with self._journal.lock:
            self._journal.faults.extend(faults)

    async def __aenter__(self) -> Self:
        """Start to serve."""
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let stalled requests go, stop, and wait until every thread has ended."""
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def note(self, seen: Seen) -> Fault:
        """Keep a request and give its fault."""
        return self._journal.note(seen)

    def stall(self) -> None:
        """Hold a request until the server is closed."""
        self._closing.wait()

    def turn(self, heard: Heard) -> Turn:
        """Give the script's answer; what the script refuses, the provider refuses."""
        if self._script is None:
            return Turn("ok", (), {})
        try:
            return self._script.answer(heard, None)
        except ModelRefused as error:
            raise Refused(400, str(error)) from error

    def answer(self, seen: Seen) -> Body:
        """Check a request as strictly as the provider does and give the reply."""
        self.check_key(seen.headers)
        if seen.path != f"{self.base_path}{self.path}":
            raise Refused(404, f"no such path: {seen.path}")
        return self.reply(seen.body, self.turn(self.heard(seen.body)))

    @abstractmethod
    def check_key(self, headers: Mapping[str, str]) -> None:
        """Refuse a request without the right key."""

    @abstractmethod
    def heard(self, body: Body) -> Heard:
        """Check the body and give what a script is matched against."""

    @abstractmethod
    def reply(self, body: Body, turn: Turn) -> Body:
        """Give a whole reply in the provider's form."""

    @abstractmethod
    def spoil(self, reply: Body, fault: Fault) -> None:
        """Break a reply in place, in the provider's form."""

    @abstractmethod
    def pieces(self, reply: Body, body: Body) -> list[Body]:
        """Give a reply as a stream, in the provider's form; `body` is the request."""

    @abstractmethod
    def stream_error(self) -> Body:
        """Give the event by which a stream breaks off, in the provider's form."""

    @abstractmethod
    def error(self, status: int, message: str) -> Body:
        """Give an error in the provider's form."""


def halves(text: str) -> list[str]:
    """Cut a text in two pieces."""
    middle = len(text) // 2
    return [text[:middle], text[middle:]]


def demand(condition: object, message: str) -> None:
    """Refuse a request with status 400 unless the condition holds."""
    if not condition:
        raise Refused(400, message)


class _Http(ThreadingHTTPServer):
    """The server under a provider; its threads are waited for at the end."""

    daemon_threads = False

    def __init__(self, provider: WireServer) -> None:
        """Bind a free port; serving begins later."""
        self.provider = provider
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    timeout = 10
    server: _Http

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the journal has it all."""

    def do_POST(self) -> None:
        """Answer one request, or let it go wrong."""
        raw = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {key.lower(): value for key, value in self.headers.items()}
        seen = Seen(self.path, headers, json.loads(raw))
        fault = self.server.provider.note(seen)
        if fault is Fault.DISCONNECT:
            return
        if fault is Fault.STALL:
            self.server.provider.stall()
            return
        try:
            self._reply(seen, fault)
        except Refused as refused:
            self._send(refused.status, self.server.provider.error(refused.status, refused.message))

    def _reply(self, seen: Seen, fault: Fault) -> None:
        """Answer as the script says, spoiled by the fault."""
        if fault in STATUSES:
            raise Refused(*STATUSES[fault])
        body = self.server.provider.answer(seen)
        if fault is not Fault.NONE:
            self.server.provider.spoil(body, fault)
        whole = body.get("error") or not seen.body.get("stream")
        if not whole and fault not in {Fault.REDIRECT, Fault.FLOOD}:
            self._stream(self.server.provider.pieces(body, seen.body), fault)
            return
        text = json.dumps(body)
        if fault is Fault.GARBLED:
            text = text[: len(text) // 2]
        if fault is Fault.NOT_AN_OBJECT:
            text = "[1, 2]"
        if fault is Fault.REDIRECT:
            self._send(307, {}, {"location": f"{self.server.provider.url}/elsewhere"})
        elif fault is Fault.FLOOD:
            self._flood()
        else:
            self._send_text(200, text, cut=fault is Fault.CUT_BODY)

    def _stream(self, pieces: list[Body], fault: Fault) -> None:
        """Send a stream, with what goes wrong in the middle of one."""
        if fault is Fault.TRUNCATED:
            pieces = pieces[:1]
        if fault is Fault.ERROR_INSIDE:
            pieces = [pieces[0], self.server.provider.stream_error()]
        texts = [json.dumps(piece) for piece in pieces]
        if fault is Fault.GARBLED:
            texts[-1] = texts[-1][: len(texts[-1]) // 2]
        if fault is Fault.NOT_AN_OBJECT:
            texts[-1] = "[1, 2]"
        if fault not in {Fault.TRUNCATED, Fault.ERROR_INSIDE} and self.server.provider.says_done:
            texts.append("[DONE]")
        blocks = [": a comment\n\n", *(f"event: x\ndata: {text}\n\n" for text in texts)]
        if fault is Fault.STALL_INSIDE:
            self._send_text(200, "".join(blocks), cut=True, kind="text/event-stream")
            self.wfile.flush()
            self.server.provider.stall()
            return
        cut = fault is Fault.CUT_BODY
        self._send_text(200, "".join(blocks), cut=cut, kind="text/event-stream")

    def _send(self, status: int, body: Body, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole JSON answer."""
        more = dict(headers or {})
        if status == 429:
            more["retry-after"] = str(RETRY_AFTER_SECONDS)
        self._send_text(status, json.dumps(body), headers=more)

    def _send_text(
        self,
        status: int,
        text: str,
        *,
        cut: bool = False,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a text as JSON; `cut` sends half of what the length promises."""
        raw = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(raw)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(raw[: len(raw) // 2] if cut else raw)

    def _flood(self) -> None:
        """Send without end, until the client has had enough."""
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        block = b" " * 65_536
        try:
            while True:
                self.wfile.write(block)
        except OSError:
            return
