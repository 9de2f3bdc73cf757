"""The first key: made when there is none, and shown with lines to paste."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auth.store import Credential, CredentialStore
    from gateway.config import S3GatewaySettings

LOCAL_NAMES = frozenset({"0.0.0.0", "::", "::1", "127.0.0.1", "localhost"})


def load_store(path: Path) -> "CredentialStore":
    """The credential store at a path, loaded; a key pair in the environment is entered into it."""
    from auth.store import CredentialStore

    store = CredentialStore(path)
    store.load()
    return store


def ensure_first(store: "CredentialStore") -> "Credential | None":
    """Make a key if there is none at all: not even a disabled one, nor one in the environment. Raises OSError."""
    stats = store.stats()
    if stats.entries or stats.environment or stats.state == "unreadable":
        return None
    return store.generate("First key, made at the first start")


def endpoint(gateway: "S3GatewaySettings") -> str:
    """The URL that a client on this machine uses."""
    scheme = "https" if gateway.tls_certificate else "http"
    host = "localhost" if gateway.host in LOCAL_NAMES else gateway.listen.rpartition(":")[0]
    return gateway.public_url.rstrip("/") or f"{scheme}://{host}:{gateway.port}"


def client_variables(credential: "Credential", gateway: "S3GatewaySettings") -> dict[str, str]:
    """What aws cli and the SDKs read from the environment to reach this gateway."""
    return {
        "AWS_ACCESS_KEY_ID": credential.access_key,
        "AWS_SECRET_ACCESS_KEY": credential.secret_key,
        "AWS_DEFAULT_REGION": gateway.region,
        "AWS_ENDPOINT_URL": endpoint(gateway),
    }


def welcome(credential: "Credential", gateway: "S3GatewaySettings") -> str:
    """What to paste after the first start."""
    return "\n".join(_welcome_lines(credential, gateway))


def _welcome_lines(credential: "Credential", gateway: "S3GatewaySettings") -> Iterator[str]:
    aws = f"aws --endpoint-url {endpoint(gateway)} s3"
    yield "There was no key yet, so one was made. To use it, paste:"
    yield ""
    yield f"export AWS_ACCESS_KEY_ID={credential.access_key}"
    yield f"export AWS_SECRET_ACCESS_KEY={credential.secret_key}"
    yield f"export AWS_DEFAULT_REGION={gateway.region}"
    yield f"{aws} mb s3://my-bucket"
    yield f"echo 'Hello' | {aws} cp - s3://my-bucket/hello.txt"
    yield f"{aws} ls s3://my-bucket/"
    yield ""
