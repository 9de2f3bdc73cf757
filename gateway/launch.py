"""From settings to a running server: what the launcher and each of its workers need. No command line here."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from auth.access import Anonymous
from gateway import log

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.config import Settings
    from gateway.worker import Factory, ServeOptions


@dataclass(frozen=True, slots=True)
class AppOptions:
    """What a worker needs of the configuration, as plain values: a worker imports no configuration library."""

    store: Path
    durability: Literal["full", "relaxed"]
    credentials: Path
    refresh_seconds: float
    region: str
    anonymous: Anonymous
    clock_skew: float
    memory_threshold: int
    max_memory: int
    temp_dir: str
    chunk_bytes: int
    domains: tuple[str, ...]
    public_url: str


def app_factory(settings: "Settings", log_spec: str) -> "Factory":
    """Makes the application of a worker; it can be pickled, because workers are processes of their own."""
    return partial(make_app, app_options(settings), log_spec)


def make_app(options: AppOptions, log_spec: str) -> "App":
    """The application of this process, its logging set up first."""
    log.configure(log_spec)
    from gateway.app import create_app

    return create_app(options)


def app_options(settings: "Settings") -> AppOptions:
    """The application's part of the settings."""
    gateway, backend = settings.s3_gateway, settings.backend
    return AppOptions(
        store=backend.path,
        durability=backend.durability,
        credentials=gateway.credentials_path,
        refresh_seconds=gateway.cache_refresh_interval_secs,
        region=gateway.region,
        anonymous=settings.auth.anonymous,
        clock_skew=settings.auth.clock_skew_seconds,
        memory_threshold=gateway.put_memory_buffer_threshold,
        max_memory=gateway.put_max_memory_buffer,
        temp_dir=gateway.put_temp_dir,
        chunk_bytes=gateway.get_chunk_bytes,
        domains=gateway.domains,
        public_url=gateway.public_url.rstrip("/"),
    )


def serve_options(settings: "Settings") -> "ServeOptions":
    """The server's part of the settings."""
    from gateway.worker import ServeOptions

    gateway = settings.s3_gateway
    return ServeOptions(
        host=gateway.host,
        port=gateway.port,
        workers=gateway.workers,
        tls_certificate=gateway.tls_certificate,
        tls_key=gateway.tls_key,
        shutdown_timeout=gateway.shutdown_timeout_seconds,
        idle_timeout=gateway.idle_timeout_seconds,
        header_timeout=gateway.header_timeout_seconds,
        body_timeout=gateway.body_timeout_seconds,
        max_connections=gateway.max_connections,
    )
