"""A trivial ASGI application and a server process around it, to test the server without the gateway."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from harness import ROOT, descendants, eventually, free_port

HERE = Path(__file__).parent
EVENTS: list[str] = []
"""What the applications of this process saw."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    """`GET /name?argument=…` calls the function of that name below."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    page = PAGES.get(scope["path"].rpartition("/")[2], echo)
    await page(scope, receive, send, query)


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def reply(send: Any, body: bytes, status: int = 200, **headers: str) -> None:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    given.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any, query: Any) -> None:
    """Reads the body; answers what it saw."""
    digest, size, pieces = hashlib.sha256(), 0, 0
    EVENTS.append("begin")
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            EVENTS.append("disconnect")
            return
        digest.update(message["body"])
        size += len(message["body"])
        pieces += 1
        if not message["more_body"]:
            break
    seen = {
        "pid": os.getpid(),
        "size": size,
        "sha256": digest.hexdigest(),
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "extensions": sorted(scope["extensions"]),
    }
    await reply(send, json.dumps(seen).encode())


async def early(_scope: Any, _receive: Any, send: Any, query: Any) -> None:
    """Refuses without reading."""
    await reply(send, b"no" * 1000, int(query.get("status", "403")))


async def file(scope: Any, receive: Any, send: Any, query: Any) -> None:
    """Sends a file as a file; `spans` times the same piece."""
    offset, count, spans = (int(query.get(name, value)) for name, value in DEFAULTS.items())
    length = int(query.get("length", count * spans))
    fd = os.open(query["path"], os.O_RDONLY)
    EVENTS.append("file")
    try:
        headers = [(b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for left in reversed(range(spans)):
            piece = {"type": "http.response.zerocopysend", "file": fd, "offset": offset, "count": count}
            await send(piece | {"more_body": left > 0})
    except ConnectionError:
        EVENTS.append("disconnect")
        raise
    finally:
        os.close(fd)


DEFAULTS = {"offset": "0", "count": "0", "spans": "1"}


async def stream(_scope: Any, _receive: Any, send: Any, query: Any) -> None:
    """Sends `size` bytes in pieces, without a length unless `length` is given."""
    headers = [(b"content-length", query["length"].encode())] if "length" in query else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    left = int(query["size"])
    EVENTS.append("stream")
    try:
        while left:
            count = min(left, 65536)
            left -= count
            await send({"type": "http.response.body", "body": b"s" * count, "more_body": True})
    except ConnectionError:
        EVENTS.append("disconnect")
        raise
    await send({"type": "http.response.body", "body": b""})


async def fail(_scope: Any, _receive: Any, send: Any, query: Any) -> None:
    """Raises, after so much of the answer."""
    if "start" in query:
        headers = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
    if "body" in query:
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise ValueError("as asked")


async def split(_scope: Any, _receive: Any, send: Any, query: Any) -> None:
    """Tries to smuggle a header."""
    await reply(send, b"body", x_test=query["value"])


async def crash(_scope: Any, _receive: Any, _send: Any, _query: Any) -> None:
    os._exit(3)


async def events(_scope: Any, _receive: Any, send: Any, _query: Any) -> None:
    await reply(send, json.dumps(EVENTS).encode())


PAGES = {page.__name__: page for page in (echo, early, file, stream, fail, split, crash, events)}


def make_app() -> Any:
    """The factory."""
    return app


def make_broken(reason: str) -> Any:
    """A factory that fails."""
    raise ValueError(reason)


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    """Does not start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the index is locked"})


def make_refusing() -> Any:
    return refusing


def make_exiting() -> Any:
    os._exit(7)


FACTORIES = {
    "app": make_app,
    "broken": partial(make_broken, "no such directory"),
    "refusing": make_refusing,
    "exiting": make_exiting,
}


class Server:
    """A server process; `log` is all it wrote."""

    def __init__(self, directory: Path, factory: str = "app", **options: Any) -> None:
        self.options = {"host": "127.0.0.1", "port": free_port(), "workers": 1, **options}
        self.port: int = self.options["port"]
        self.log_path = directory / f"server-{self.port}.log"
        self.ready_path = directory / f"ready-{self.port}"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "trivial.py"), factory, str(self.ready_path), repr(self.options)],
                env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"},
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_ready(self) -> "Server":
        eventually(lambda: self.ready_path.exists() or self.process.poll() is not None, "the server is ready")
        assert self.process.poll() is None, self.log
        return self

    def workers(self) -> list[int]:
        return descendants(self.process.pid)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@contextmanager
def serving(directory: Path, factory: str = "app", **options: Any) -> Iterator[Server]:
    """A server for the time of a `with`."""
    server = Server(directory, factory, **options)
    try:
        yield server.wait_ready()
    finally:
        server.kill()


def main() -> None:
    import ast
    import logging

    from gateway.serve import ServeOptions, StartFailed, serve

    factory, ready, options = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    import trivial  # workers know this module by its name

    def on_ready(port: int) -> None:
        Path(ready).write_text(str(port))

    try:
        code = serve(trivial.FACTORIES[factory], ServeOptions(**ast.literal_eval(options), on_ready=on_ready))
    except StartFailed as error:
        print(f"cannot start: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
