"""What a worker needs of the configuration, as plain values: a worker imports no configuration library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from auth.access import Anonymous

if TYPE_CHECKING:
    from gateway.config import Settings


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """A webhook. `timeout` in seconds is for a whole exchange; with a `secret` each body is signed."""

    url: str
    secret: str = field(default="", repr=False)
    timeout: float = 10


@dataclass(frozen=True, slots=True)
class NotificationOptions:
    """Where events go, by name (`eventbridge` is EventBridge), and how long they wait: seconds, and how many for a target."""

    targets: Mapping[str, TargetOptions] = field(default_factory=dict)
    max_age: float = 86_400
    max_queued: int = 100_000


@dataclass(frozen=True, slots=True)
class AppOptions:
    """The application's part. Sizes are bytes, times seconds; `temp_dir` empty: inside the store."""

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
    object_ownership: str
    trusted_proxies: tuple[str, ...]
    website_domains: tuple[str, ...]
    notifications: NotificationOptions
    log_flush_seconds: float
    key_file: Path
    encrypt_all: bool
    sse_c_over_http: bool
    lifecycle_interval: float
    lifecycle_day: float


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
        object_ownership=settings.auth.object_ownership,
        trusted_proxies=settings.auth.trusted_proxies,
        website_domains=settings.website.domains,
        notifications=_notification_options(settings),
        log_flush_seconds=settings.logging.flush_seconds,
        key_file=settings.encryption.key_file,
        encrypt_all=settings.encryption.default == "AES256",
        sse_c_over_http=settings.encryption.sse_c_over_http,
        lifecycle_interval=settings.lifecycle.interval_seconds,
        lifecycle_day=settings.lifecycle.day_seconds,
    )


def _notification_options(settings: "Settings") -> NotificationOptions:
    notifications = settings.notifications
    targets = {
        name: TargetOptions(target.url, target.secret.get_secret_value(), target.timeout_seconds)
        for name, target in notifications.targets.items()
    }
    if notifications.eventbridge_url:
        secret = notifications.eventbridge_secret.get_secret_value()
        targets["eventbridge"] = TargetOptions(notifications.eventbridge_url, secret)
    return NotificationOptions(targets, notifications.max_age_hours * 3600, notifications.max_queued)
