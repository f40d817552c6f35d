"""A webhook receiver on loopback. It records requests and responds as configured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import standardwebhooks
from msgspec import Struct


class Received(Struct, frozen=True):
    """A received POST."""

    headers: Mapping[str, str]
    body: bytes
    status: int | None
    """The status it got. None: no response."""

    @property
    def event(self) -> dict[str, Any]:
        """The event in its body."""
        return msgspec.json.decode(self.body)

    def verify(self, secret: str) -> None:
        """Verify the signature. Raises if it does not match the secret."""
        standardwebhooks.Webhook(secret).verify(self.body, dict(self.headers))


class Reply(Struct, frozen=True):
    """The response to a POST."""

    status: int | None = 204
    """None: the connection is closed without a response."""
    headers: Mapping[str, str] = {}
    after_s: float = 0.0


TAKEN = Reply()
Behaviour = Callable[[int, dict[str, Any]], Reply]
"""Maps the number of the POST, from 0, and its event to the response."""


class Receiver:
    """Listens from `start` to `stop`, and can be restarted on the same port."""

    def __init__(self, behave: Behaviour = lambda _number, _event: TAKEN) -> None:
        self._behave = behave
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._seen = 0
        self.port = 0
        self.received: list[Received] = []

    @property
    def url(self) -> str:
        """The URL of the receiver."""
        return f"http://127.0.0.1:{self.port}/hooks"

    def taken(self) -> list[dict[str, Any]]:
        """The accepted events, in order, without repetitions."""
        events = [each.event for each in list(self.received) if each.status is not None and each.status < 300]
        return list({event["id"]: event for event in events}.values())

    def start(self) -> None:
        """Start listening."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # the name that the library requires
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.answer(self, body)

            def log_message(self, format: str, *args: Any) -> None:  # the name that the library requires
                del format, args

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Respond as configured."""
        with self._lock:
            reply, self._seen = self._behave(self._seen, msgspec.json.decode(body)), self._seen + 1
        time.sleep(reply.after_s)
        if self._server is None:  # it was stopped in the meantime
            reply = Reply(status=None)
        # Record before responding, so that the order per customer is kept.
        self.received.append(Received(dict(handler.headers.items()), body, reply.status))
        if reply.status is None:
            handler.close_connection = True
            handler.connection.close()
            return
        handler.send_response(reply.status)
        for name, value in {"Content-Length": "0", **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()

    def __enter__(self) -> Receiver:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
