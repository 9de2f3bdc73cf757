"""From settings to a running server: what the launcher and each of its workers need. No command line here."""

from functools import partial
from typing import TYPE_CHECKING

from gateway import log
from gateway.options import AppOptions, app_options

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.config import Settings
    from gateway.worker import Factory, ServeOptions


def app_factory(settings: "Settings", log_spec: str) -> "Factory":
    """Makes the application of a worker; it can be pickled, because workers are processes of their own."""
    return partial(make_app, app_options(settings), log_spec)


def make_app(options: AppOptions, log_spec: str) -> "App":
    """The application of this process, its logging set up first."""
    log.configure(log_spec)
    from gateway.app import create_app

    return create_app(options)


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
