"""Signed requests without a server: the gateway's own parsing, AWS's example key, botocore's signers."""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from auth.credential import Credential
from auth.verify import verify
from gateway.request import Request

KEY = Credential("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
OFF = Credential("DISABLED", "12345678", enabled=False)
KEYS = {key.access_key: key for key in (KEY, OFF)}
REGION = "us-east-1"
NOW = 1369353600.0  # 2013-05-24T00:00:00Z
STAMP = "20130524T000000Z"
SCOPE = f"{KEY.access_key}/20130524/{REGION}/s3/aws4_request"
BOTO_KEY = Credentials(KEY.access_key, KEY.secret_key)
VECTORS = Path(__file__).parent / "vectors"


def vectors(name):
    return json.loads((VECTORS / name).read_text())


def encode(key):
    """A key in the path of a URL, as AWS's clients encode it."""
    return quote(key, safe="/-_.~")


def request(method, target, headers: Mapping[str, str] | None = None, domains=()):
    path, _, query = target.partition("?")
    given = {"host": "localhost:9900", **{name.lower(): value for name, value in (headers or {}).items()}}
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "http_version": "1.1",
        "client": ("127.0.0.1", 1),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()],
    }
    return Request(scope, None, domains)


def from_boto(signed: AWSRequest):
    """What arrives when a client sends a request that botocore signed."""
    parts = urlsplit(signed.url)
    target = parts.path + ("?" + parts.query if parts.query else "")
    return request(signed.method, target, {"host": parts.netloc, **dict(signed.headers.items())})


def check(asked, now=NOW, region=REGION, **options):
    return verify(asked, KEYS.get, region=region, now=now, **options)
