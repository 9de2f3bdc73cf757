"""POST forms written by hand: bodies, policies and their signatures, independent of the gateway's code."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from wire import Answer, Signer, exchange, request_bytes

BOUNDARY = "----s3gwFormBoundary7MA4YWxkTrZu0gW"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    """One part with its boundary, as browsers write it."""
    named = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: text/plain'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def form(
    fields: Mapping[str, str] | Iterable[tuple[str, str]],
    file: bytes | None = b"content",
    filename: str = "a.txt",
    after: Iterable[tuple[str, str]] = (),
) -> bytes:
    """A whole form; `file` None: without one."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    parts = [part(name, value.encode()) for name, value in pairs]
    if file is not None:
        parts.append(part("file", file, filename))
    parts += [part(name, value.encode()) for name, value in after]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def expiration(seconds: float = 600) -> str:
    """A policy's time, some seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def policy_text(conditions: Iterable[Any], seconds: float = 600) -> str:
    """A policy in base64."""
    return base64.b64encode(
        json.dumps({"expiration": expiration(seconds), "conditions": list(conditions)}).encode()
    ).decode()


def signed_v4(signer: Signer, conditions: Iterable[Any], seconds: float = 600) -> dict[str, str]:
    """The fields of a signed policy that, besides `conditions`, covers the signature's own fields."""
    when = signer.now()
    own = {
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{signer.key}/{signer.scope(when)}",
        "x-amz-date": when,
    }
    policy = policy_text([*conditions, *({name: value} for name, value in own.items())], seconds)
    mac = hmac.new(signer.signing_key(when), policy.encode(), hashlib.sha256)
    return own | {"policy": policy, "x-amz-signature": mac.hexdigest()}


def signed_v2(signer: Signer, conditions: Iterable[Any], seconds: float = 600) -> dict[str, str]:
    """The same by version 2."""
    policy = policy_text(conditions, seconds)
    mac = hmac.new(signer.secret.encode(), policy.encode(), hashlib.sha1)
    signature = base64.b64encode(mac.digest()).decode()
    return {"AWSAccessKeyId": signer.key, "policy": policy, "signature": signature}


def post(port: int, target: str, body: bytes, boundary: str = BOUNDARY, **headers: str) -> Answer:
    """Send a form."""
    usual = {
        "host": f"127.0.0.1:{port}",
        "content-type": f"multipart/form-data; boundary={boundary}",
        "content-length": str(len(body)),
    }
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return exchange(port, request_bytes("POST", target, usual | given, body), "POST")
