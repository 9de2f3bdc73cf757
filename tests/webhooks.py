"""A real webhook: an HTTP server in a thread that keeps what it gets, and answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness import eventually


@dataclass
class Webhook:
    """`answer` says the status and headers for each body; a negative status cuts the connection."""

    answer: Callable[[bytes], tuple[int, dict[str, str]]] = lambda _: (200, {})
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=x"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    def names(self, bucket: str = "") -> list[str]:
        """The events that came (of one bucket), as `eventName key`."""
        return [f"{record['eventName']} {record['s3']['object']['key']}" for record in self.records(bucket)]

    def records(self, bucket: str = "") -> list[dict[str, Any]]:
        """The records that came (of one bucket)."""
        records = [record for message in self.messages for record in message.get("Records", ())]
        return [record for record in records if bucket in ("", record["s3"]["bucket"]["name"])]

    def wait_for_records(self, bucket: str, count: int) -> list[dict[str, Any]]:
        """The first records of a bucket."""
        eventually(lambda: len(self.records(bucket)) >= count, f"{count} records of {bucket}")
        return self.records(bucket)

    def wait_for(self, count: int, seconds: float = 15.0) -> list[dict[str, Any]]:
        eventually(
            lambda: len(self.bodies) >= count, f"{count} messages, of which {len(self.bodies)} came", seconds
        )
        return self.messages


@contextmanager
def webhook(
    port: int = 0, answer: Callable[[bytes], tuple[int, dict[str, str]]] | None = None
) -> Iterator[Webhook]:
    """A webhook for the time of a `with`."""
    hook = Webhook(answer) if answer else Webhook()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hook.headers.append({name.lower(): value for name, value in self.headers.items()})
            hook.paths.append(self.path)
            hook.bodies.append(body)
            status, headers = hook.answer(body)
            if status < 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in ({"content-length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    hook.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
