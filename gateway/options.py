"""What a worker needs of the configuration, as plain values: a worker imports no configuration library."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from auth.access import Anonymous

if TYPE_CHECKING:
    from gateway.config import Settings


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
