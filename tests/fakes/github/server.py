"""The HTTP server under the double: threads, kept connections, an end that leaves nothing open."""

from __future__ import annotations

import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.github.answers import Answer
from tests.fakes.github.desk import Desk, Incoming

POLL_SECONDS = 0.02
GONE = (ConnectionError, TimeoutError)


class Server(ThreadingHTTPServer):
    """Binds a free port at once; serves from start() to stop()."""

    daemon_threads = False
    desk: Desk

    def __init__(self) -> None:
        """Bind; the desk is set before the start, since it wants to know the address."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,))

    @property
    def url(self) -> str:
        """Give the address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Cut what is open and wait until every thread has ended."""
        self.shutdown()
        with self._lock:
            for one in self._open:
                self._cut(one)
        self.server_close()
        self._thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember an open connection."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ends."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what broke in the double; a client that went away is no fault of it."""
        error = sys.exc_info()[1]
        if not isinstance(error, GONE):
            self.desk.journal.complain(f"the double broke: {error!r}")

    @staticmethod
    def _cut(connection: socket.socket) -> None:
        """End a connection that may have ended already."""
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


class Handler(BaseHTTPRequestHandler):
    """One connection, any number of requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 30
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the journal has it all."""

    def version_string(self) -> str:
        """Name the server as GitHub does."""
        return "github.com"

    def _serve(self) -> None:
        """Answer one request, or cut the connection."""
        parts = urlsplit(self.path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        incoming = Incoming(self.command, parts.path, parts.query, headers, self._body())
        answer = self.server.desk.handle(incoming)
        if answer is None:
            self.close_connection = True
            return
        self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _body(self) -> bytes:
        """Read the whole body, also one in chunks (git sends long pushes so)."""
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: Answer) -> None:
        """Send an answer in one piece."""
        raw = answer.raw
        headers = dict(answer.headers)
        if raw is None:
            raw = b"" if answer.body is None else json.dumps(answer.body).encode()
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        self.send_response(answer.status)
        for key, value in headers.items():
            self.send_header(key, value)
        if answer.status not in {204, 304}:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()
