"""The configuration: what may be set, its defaults, and one way to load it.

Precedence: command-line option > environment (`S3GW_S3_GATEWAY__LISTEN`) > file > default. A value that was given
counts even when it equals the default. `${NAME}` in a string of the file is that environment variable; `$${` is a
plain `${`. Everything that is wrong is reported at once, with the key, the value, and the line of the file.
"""

import difflib
import ipaddress
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from gateway.config_sources import (
    ENVIRONMENT_PREFIX,
    ConfigError,
    Source,
    dotted,
    from_file,
    from_options,
    merged,
    origins,
    tables,
)

__all__ = ["ConfigError", "Loaded", "Settings", "load", "load_with_origins"]

logger = logging.getLogger("gateway.config")

LATER = frozenset(
    {"admin", "buckets", "cache", "metadata", "replication", "rpc", "servers"}
    | {f"backends.{key}" for key in ("access_key", "endpoint_url", "provider", "region")}
    | {f"backends.{key}" for key in ("secret_key", "session_token", "zone_code")}
)
"""Sections and keys that are planned. Refused, because a key that does nothing is a lie."""

ALIASES = {("s3_gateway", "multipart_temp"): "put_temp_dir"}
"""Other names of keys."""


def _refuse(message: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{reason}", {"reason": message})


def _not_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise _refuse("expected a number")
    return value


def _listed(value: object) -> object:
    """An environment variable spells a list with commas."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _expanded(value: Path) -> Path:
    return value.expanduser()


def _expanded_text(value: str) -> str:
    return str(Path(value).expanduser()) if value else value


def split_address(value: str) -> tuple[str, int]:
    """Host and port of `host:port`; an IPv6 host stands in brackets, which are removed. Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]\s]+)):(\d{1,5})", value)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f'expected "ADDRESS:PORT", for example "0.0.0.0:9900", not "{value}"')
    return match[1] or match[2], int(match[3])


def _address(value: str) -> str:
    try:
        split_address(value)
    except ValueError:
        raise _refuse('expected "ADDRESS:PORT", for example "0.0.0.0:9900" or "[::]:9900"') from None
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise _refuse('expected an address or a network, for example "10.0.0.0/8"') from None


def _matching(pattern: str, expected: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise _refuse(f"expected {expected}")
        return value

    return AfterValidator(check)


Whole = Annotated[int, BeforeValidator(_not_boolean)]
Bytes = Annotated[Whole, Field(ge=0)]
Seconds = Annotated[float, BeforeValidator(_not_boolean), Field(gt=0, allow_inf_nan=False)]
FilePath = Annotated[str, AfterValidator(_expanded_text)]
"""A path as text, because it may be empty; `~` is expanded."""
Address = Annotated[str, AfterValidator(_address)]
Region = Annotated[
    str, _matching(r"[A-Za-z0-9-]{1,64}", "letters, digits and hyphens, for example us-east-1")
]
Url = Annotated[str, _matching(r"(https?://[^/\s]+/?)?", "http://HOST or https://HOST, or nothing")]
Network = Annotated[str, AfterValidator(_network)]
Domain = Annotated[
    str, _matching(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", "a host name in lower case, without a port")
]


class Section(BaseModel):
    """A table of the configuration; its fields are the keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class S3GatewaySettings(Section):
    """`[s3_gateway]`: how S3 is served."""

    listen: Address = Field(default="0.0.0.0:9900", description="address and port of S3")
    region: Region = Field(default="us-east-1", description="the region that signatures name")
    workers: Whole = Field(default=0, ge=0, le=256, description="processes; 0 = one per CPU")
    public_url: Url = Field(default="", description="for URLs made here; empty = http://listen")
    domains: Annotated[tuple[Domain, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(), description="host-style addressing: bucket.DOMAIN"
    )
    put_temp_dir: FilePath = Field(
        default="", description="where large uploads wait; empty = inside the store"
    )
    put_memory_buffer_threshold: Bytes = Field(
        default=1048576, description="bytes; up to here a body stays in memory"
    )
    put_max_memory_buffer: Bytes = Field(
        default=16777216,
        description="bytes that all bodies in flight of a worker may hold together; then all spool",
    )
    get_chunk_size_mb: Annotated[float, BeforeValidator(_not_boolean)] = Field(
        default=1.0, gt=0, le=1024, allow_inf_nan=False, description="MB; chunk of reading and writing in GET"
    )
    enable_distributed_auth: bool = Field(
        default=False, description="credentials inside the store; not in this version"
    )
    credentials_path: Annotated[Path, AfterValidator(_expanded)] = Field(
        default=Path("~/.s3gw/credentials.jsonl"),
        validate_default=True,
        description="the credential store, a JSONL file",
    )
    cache_refresh_interval_secs: Seconds = Field(
        default=30.0, description="seconds; how often the credentials are read again"
    )
    tls_certificate: FilePath = Field(
        default="", description="PEM file; with tls_key, S3 is served over HTTPS"
    )
    tls_key: FilePath = Field(default="", description="PEM file of the certificate's key")
    shutdown_timeout_seconds: Seconds = Field(
        default=30.0, description="seconds; requests in flight may finish"
    )
    idle_timeout_seconds: Seconds = Field(
        default=120.0, description="seconds; a connection without a request is closed"
    )
    header_timeout_seconds: Seconds = Field(
        default=30.0, description="seconds; until all headers of a request are there"
    )
    body_timeout_seconds: Seconds = Field(
        default=60.0, description="seconds; without a byte of an announced body"
    )
    max_connections: Whole = Field(default=4096, ge=1, description="connections; per worker")

    @property
    def host(self) -> str:
        """The address of `listen`, without brackets."""
        return split_address(self.listen)[0]

    @property
    def port(self) -> int:
        """The port of `listen`."""
        return split_address(self.listen)[1]

    @property
    def get_chunk_bytes(self) -> int:
        """`get_chunk_size_mb` in bytes."""
        return max(1, int(self.get_chunk_size_mb * 1024 * 1024))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise _refuse("tls_certificate and tls_key: set both or none")
        if self.enable_distributed_auth:
            raise _refuse("enable_distributed_auth = true is not in this version; set it to false")
        return self


class AuthSettings(Section):
    """`[auth]`: who may do what."""

    anonymous: Literal["none", "public-read", "full"] = Field(
        default="public-read",
        description="what unsigned requests may do: nothing, read what is public, or everything",
    )
    clock_skew_seconds: Seconds = Field(default=900.0, description="seconds that a client's clock may differ")
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(), description="networks of proxies whose X-Forwarded-For is believed (aws:SourceIp)"
    )
    object_ownership: Literal["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"] = Field(
        default="BucketOwnerEnforced",
        description="of a new bucket that does not say; with the default, as on AWS, there are no ACLs",
    )


class WebsiteSettings(Section):
    """`[website]`: buckets as websites."""

    domains: Annotated[tuple[Domain, ...], NoDecode, BeforeValidator(_listed)] = Field(
        default=(), description="bucket.DOMAIN is the website of the bucket"
    )


def _kind(value: str) -> str:
    if value in {"s3", "directory"}:
        raise _refuse(f'kind = "{value}" is not in this version; use "local"')
    if value != "local":
        raise _refuse('expected "local"')
    return value


class BackendSettings(Section):
    """One `[[backends]]`: a place where objects lie."""

    name: Annotated[str, _matching(r"[A-Za-z0-9_-]{1,64}", "letters, digits, - and _")] = Field(
        default="local", description="its name in logs and answers"
    )
    kind: Annotated[str, AfterValidator(_kind)] = Field(
        default="local", description="local: a directory of this machine"
    )
    path: Annotated[Path, AfterValidator(_expanded)] = Field(
        default=Path("~/.s3gw/data"), validate_default=True, description="the directory"
    )
    durability: Literal["full", "relaxed"] = Field(
        default="full",
        description="full: an answered write survives power loss | relaxed: a crash of the process",
    )
    enabled: bool = Field(default=True, description="whether it is used")
    is_primary: bool = Field(default=True, description="reads come from here first")


TARGET_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TargetSettings(Section):
    """One `[notifications.targets.NAME]`: a webhook."""

    model_config = ConfigDict(extra="ignore")  # refused below, by name

    url: Annotated[str, _matching(r"https?://[^/\s]+\S*", "http://HOST/PATH or https://HOST/PATH")]
    secret: SecretStr = SecretStr("")
    timeout_seconds: Seconds = 10.0

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        for key in value if isinstance(value, dict) else ():
            if key not in cls.model_fields:
                raise _refuse(f"unknown key {key}; known are {', '.join(cls.model_fields)}")
        return value


class NotificationSettings(Section):
    """`[notifications]`: where events of buckets go."""

    targets: dict[str, TargetSettings] = Field(default_factory=dict, description="webhooks by name")
    eventbridge_url: Annotated[
        str, _matching(r"(https?://[^/\s]+\S*)?", "http://HOST/PATH or https://HOST/PATH, or nothing")
    ] = Field(default="", description="the webhook of buckets that send to EventBridge")
    eventbridge_secret: SecretStr = Field(
        default=SecretStr(""), description="signs what goes to eventbridge_url"
    )
    max_age_hours: Seconds = Field(
        default=24.0, description="hours; an event that could not be delivered is given up"
    )
    max_queued: Whole = Field(
        default=100_000,
        ge=1,
        description="events that wait for one target; beyond it the oldest are given up",
    )

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in self.targets:
            if not TARGET_NAME.fullmatch(name) or name == "eventbridge":
                raise _refuse(
                    f'targets: "{name}" cannot be a name; 1 to 64 letters, digits, - and _, not "eventbridge"'
                )
        return self


class LifecycleSettings(Section):
    """`[lifecycle]`: carrying out the lifecycle rules of buckets."""

    interval_seconds: Annotated[float, BeforeValidator(_not_boolean)] = Field(
        default=3600.0,
        ge=0,
        allow_inf_nan=False,
        description="seconds between two passes over the buckets; 0 = rules are not carried out",
    )
    day_seconds: Seconds = Field(
        default=86400.0, description="seconds that a day of a rule lasts; shorter to try rules out"
    )


class EncryptionSettings(Section):
    """`[encryption]`: encryption at rest."""

    key_file: Annotated[Path, AfterValidator(_expanded)] = Field(
        default=Path("~/.s3gw/keys.jsonl"),
        validate_default=True,
        description="the key ring, a JSONL file; made at the first use",
    )
    default: Literal["", "AES256"] = Field(
        default="", description="AES256: every new object is encrypted | empty: those that ask for it"
    )
    sse_c_over_http: bool = Field(
        default=False, description="customers' keys are taken without TLS from other machines"
    )


class LoggingSettings(Section):
    """`[logging]`: server access logs of buckets."""

    flush_seconds: Seconds = Field(
        default=300.0, description="seconds; how often gathered records become log objects"
    )


class Settings(BaseSettings):
    """Everything that can be set. Made by `load`; made directly, it holds the defaults and what is passed."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__"
    )

    s3_gateway: S3GatewaySettings = Field(default_factory=S3GatewaySettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    website: WebsiteSettings = Field(default_factory=WebsiteSettings)
    notifications: NotificationSettings = Field(default_factory=NotificationSettings)
    encryption: EncryptionSettings = Field(default_factory=EncryptionSettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    lifecycle: LifecycleSettings = Field(default_factory=LifecycleSettings)
    backends: tuple[BackendSettings, ...] = Field(default_factory=lambda: (BackendSettings(),))

    @property
    def backend(self) -> BackendSettings:
        """The store that is used."""
        return next(backend for backend in self.backends if backend.enabled)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: `load` merges the sources itself, to know where each value comes from."""
        return (init_settings,)

    @model_validator(mode="after")
    def _websites_apart(self) -> Self:
        for domain in self.website.domains:
            for other in self.s3_gateway.domains:
                if f".{domain}".endswith(f".{other}") or f".{other}".endswith(f".{domain}"):
                    raise _refuse(
                        f'website.domains: "{domain}" and "{other}" of s3_gateway.domains must not lie within each '
                        "other: a request would be for both"
                    )
        return self

    @model_validator(mode="after")
    def _one_backend(self) -> Self:
        names = [backend.name for backend in self.backends if backend.enabled]
        if len(names) != 1:
            found = f"{len(names)} are: {', '.join(names)}" if names else "none is"
            raise _refuse(f"exactly one backend must be enabled in this version, but {found}")
        return self


SECTIONS: Mapping[str, type[BaseModel]] = {
    "s3_gateway": S3GatewaySettings,
    "auth": AuthSettings,
    "website": WebsiteSettings,
    "notifications": NotificationSettings,
    "encryption": EncryptionSettings,
    "logging": LoggingSettings,
    "lifecycle": LifecycleSettings,
    "backends": BackendSettings,
}
"""The model of each section."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where each value comes from: dotted key → `option`, `environment` or `file`, else the default."""

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None


def load(conf: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Load the configuration; `overrides` are options by dotted key (`s3_gateway.listen`). Raises ConfigError."""
    return load_with_origins(conf, overrides).settings


def load_with_origins(conf: Path | None = None, overrides: Mapping[str, object] | None = None) -> Loaded:
    """As `load`, together with the origin of each value. Raises ConfigError."""
    problems: list[str] = []
    found = [from_options(overrides or {}), _from_environment(problems)]
    path = conf.expanduser() if conf else default_path()
    if path is not None:
        found.append(from_file(path, problems))
    sources = [_without_aliases(source, problems) for source in found]
    for source in sources:
        problems += _unknown(source)
    settings = _validated(sources, problems)
    if settings is None or problems:
        raise ConfigError(problems)
    return Loaded(settings, origins(sources), path)


def default_path() -> Path | None:
    """`$S3GW_HOME/conf/gateway.toml`, if there is one."""
    home = os.environ.get("S3GW_HOME")
    path = Path(home).expanduser() / "conf" / "gateway.toml" if home else None
    return path if path is not None and path.is_file() else None


def _from_environment(problems: list[str]) -> Source:
    for name in sorted(os.environ):
        section, nested, _ = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if name.startswith(ENVIRONMENT_PREFIX) and nested and section not in SECTIONS:
            problems.append(f"environment variable {name}: {_why_unknown('section', section, '', SECTIONS)}")
    try:
        return Source("environment", EnvSettingsSource(Settings)())
    except SettingsError as error:
        problems.append(f"environment: {error}: expected JSON, {error.__cause__}")
        return Source("environment", {})


def _without_aliases(source: Source, problems: list[str]) -> Source:
    """The source with all keys under their own names."""
    tree = source.values
    for (section, alias), name in ALIASES.items():
        table = tree.get(section)
        if not isinstance(table, dict) or alias not in table:
            continue
        logger.info("%s.%s is another name of %s.%s", section, alias, section, name)
        if name in table:
            problems.append(f"{section}.{alias}: another name of {name}, which is set too; keep one")
        renamed = {name: table[alias]} | {key: value for key, value in table.items() if key != alias}
        tree = {**tree, section: renamed}
    return replace(source, values=tree)


def _unknown(source: Source) -> Iterator[str]:
    """A line for each section and key that does not exist."""
    for section, content in source.values.items():
        if section not in SECTIONS:
            reason = _why_unknown("section", section, "", SECTIONS)
            yield f"[{section}] ({source.where((section,))}): {reason}"
            continue
        known = SECTIONS[section].model_fields
        for location, table in tables(section, content):
            for key in sorted(set(table) - set(known)):
                reason = _why_unknown("key", key, f"{section}.", known)
                yield f"{dotted((*location, key))} ({source.where((*location, key))}): {reason}"


def _why_unknown(what: str, name: str, prefix: str, known: Mapping[str, object]) -> str:
    if prefix + name in LATER:
        return f"this {what} is not in this version"
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f'did you mean "{nearest[0]}"?' if nearest else f"known are {', '.join(sorted(known))}"
    return f"unknown {what}; {hint}"


def _validated(sources: list[Source], problems: list[str]) -> Settings | None:
    """The merged values as settings; adds to `problems` what is wrong with them."""
    try:
        return Settings(**merged(sources))
    except ValidationError as error:
        problems += [
            _explain(detail, sources) for detail in error.errors() if detail["type"] != "extra_forbidden"
        ]
        return None


EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text in quotes",
    "path": "a path in quotes",
    "tuple": "a list",
    "model": "a table of keys",
}
"""What was expected, by the first word of pydantic's type of error."""


def _explain(detail: ErrorDetails, sources: list[Source]) -> str:
    """One line: key, value, where it was set, what was expected."""
    location, value = detail["loc"], detail["input"]
    first, _, last = detail["type"].partition("_")
    reason = detail["msg"].replace("Input should be", "must be")
    if first in EXPECTED and last in {"type", "parsing", "from_float"}:
        reason = f"expected {EXPECTED[first]}"
    origin = next((source for source in sources if source.holds(location)), None)
    if origin is None or isinstance(value, dict):
        return f"{dotted(location)}: {reason}".removeprefix(": ")
    return f"{dotted(location)} = {_as_written(value)} ({origin.where(location)}): {reason}"


def _as_written(value: object) -> str:
    return json.dumps(value) if isinstance(value, str | bool) else str(value)
