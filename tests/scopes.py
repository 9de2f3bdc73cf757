"""Requests without a server: an ASGI scope from a method, a target and headers."""

from gateway.request import Request, Scope


def scope(method: str, target: str, headers: dict[str, str] | None = None) -> Scope:
    path, _, query = target.partition("?")
    given = {"host": "localhost", **(headers or {})}
    return {
        "type": "http",
        "method": method,
        "scheme": "http",
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "extensions": {},
    }


def request(method: str, target: str, headers: dict[str, str] | None = None) -> Request:
    return Request(scope(method, target, headers), None)
