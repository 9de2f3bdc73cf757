"""Server access logs: a line for each request to a bucket that is logged, written as objects into another bucket.

Best effort, as on AWS: lines are gathered in memory and become an object every `flush_seconds`, when there are many, and
when the worker ends; a worker that is killed loses what it had gathered. What the log itself writes is not logged.

A multi-object delete and a copy are one line each; AWS adds one for each object that was deleted, or was the source.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from auth import acl
from auth.access import ENFORCED
from auth.accounts import number_of
from auth.acl import Acl, Grant, Permission
from auth.identity import ANONYMOUS, OWNER_ID, Verified
from auth.principals import principal_arn
from backends.base import BucketInfo, Content, Doc, ObjectInfo, Ref, Span, Write
from gateway.checksums import ExpectedChecksum
from gateway.configurations import logging as configuration
from gateway.configurations.logging import DELIVERY_TIME, EVENT_TIME, Logging
from gateway.context import NO_BUCKET, Context, Level, Operation, Services
from gateway.errors import S3Error
from gateway.logline import Record, line, operation_name, redacted
from gateway.policy_keys import source_ip
from gateway.reply import HOST_ID, Reply, new_request_id
from gateway.request import TLS, Request, Scope

log = logging.getLogger("gateway.serverlog")

NOBODY = Verified(ANONYMOUS)
"""The caller of a request whose signature was refused, or that needs none."""
PREFLIGHT = Operation("Preflight", "OPTIONS", Level.OBJECT, "", "")
PAGE = Operation("Page", "GET", Level.OBJECT, "", "s3:GetObject")
"""What is no operation of S3: a question before a request of a script, and a page of a website."""

_LOGGED = "s3gw.logged"
"""Where a scope carries the context of a request to a logged bucket, and when it came."""

_OBJECT_BYTES = 4 * 1024 * 1024
"""So many gathered bytes of a bucket are written at once."""
_MOST_BYTES = 64 * 1024 * 1024
"""Bytes that may be gathered in a worker; what comes beyond it is dropped, and counted."""
_AUTH_TYPES = {True: "QueryString", False: "AuthHeader"}


class Ending(NamedTuple):
    """How a request ended. `answered`: when the answer was ready, `finished`: when it was sent, ns since 1970."""

    request_id: str
    error_code: str
    reply: Reply
    answered: int
    finished: int


@dataclass(slots=True)
class _Gathered:
    """The lines of a bucket by day of the request; `context` is that of the last one."""

    context: Context
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    size: int = 0


class ServerLog:
    """The access logs of one worker. `flush_seconds`: how often they are written."""

    def __init__(self, flush_seconds: float = 300) -> None:
        self._flush_seconds = flush_seconds
        self._buckets: dict[str, _Gathered] = {}
        self._size = 0
        self._dropped = 0
        self._full = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write; on the loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Write what is gathered, and stop."""
        self._stopping = True
        self._full.set()
        if self._task is not None:
            await self._task
        await self.flush()

    def begin(self, context: Context) -> None:
        """A request to a logged bucket begins, or one whose bucket has not been looked at: a refused one, or a preflight."""
        context.request.scope[_LOGGED] = (context, time.time_ns())

    def concerns(self, scope: Scope) -> bool:
        """Whether a request is one to `note`."""
        return _LOGGED in scope

    async def note(self, scope: Scope, ending: Ending) -> None:
        """Gather a request that was answered, if its bucket is logged."""
        context, started = scope[_LOGGED]
        if context.bucket is NO_BUCKET:
            with contextlib.suppress(S3Error):
                context.bucket = await context.backend.head_bucket(context.request.bucket)
        if Doc.LOGGING in context.bucket.docs:
            self._add(self._gathered(context), _record(context, started, ending), started)

    def _gathered(self, context: Context) -> _Gathered:
        name = context.bucket.name
        gathered = self._buckets.get(name)
        if gathered is None:
            gathered = self._buckets[name] = _Gathered(context)
        gathered.context = context
        return gathered

    def _add(self, gathered: _Gathered, record: Record, started: int) -> None:
        text = line(record) + "\n"
        if self._size + len(text) > _MOST_BYTES:
            self._dropped += 1
            return
        day = datetime.fromtimestamp(started // 1_000_000_000, UTC).strftime("%Y/%m/%d")
        gathered.lines[day].append(text)
        gathered.size += len(text)
        self._size += len(text)
        if gathered.size > _OBJECT_BYTES:
            self._full.set()

    async def _run(self) -> None:
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), self._flush_seconds)
            self._full.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write what is gathered. What cannot be written is dropped, and said so in the gateway's own log."""
        if self._dropped:
            log.error("%d lines of server access logs are lost: too many at once", self._dropped)
            self._dropped = 0
        buckets, self._buckets, self._size = self._buckets, {}, 0
        for name, gathered in buckets.items():
            try:
                await _deliver(gathered.context, gathered.lines)
            except Exception as error:  # whatever a backend raises: the next bucket's log is another matter
                log.warning("the access log of %s is not written: %s", name, error)


def _record(context: Context, started: int, ending: Ending) -> Record:
    request, headers, verified = context.request, context.request.headers, context.verified
    signed = not verified.identity.anonymous
    cipher, tls, _ = request.scope.get("extensions", {}).get(TLS) or ("", "", 0)
    target = request.raw_path + (f"?{request.raw_query}" if request.raw_query else "")
    waited = not headers.get("content-length", "0").strip("0") and "transfer-encoding" not in headers
    return Record(
        bucket_owner=context.bucket_owner,
        bucket=context.bucket.name,
        time=started,
        remote_ip=source_ip(request, context.services.trusted_proxies),
        requester=principal_arn(verified.identity) if signed else "",
        request_id=ending.request_id,
        operation=_operation_of(context),
        key=request.key or context.audit.get("key", ""),
        request_uri=f"{request.method} {redacted(target)} HTTP/{request.scope['http_version']}",
        status=ending.reply.status,
        error_code=ending.error_code or ending.reply.headers.get("x-amz-error-code", ""),
        bytes_sent=_bytes_sent(request, ending.reply),
        object_size=_object_size(context, ending.reply),
        total_time=ending.finished - started,
        # From the last byte of the request; when that came is not known of a request with a body.
        turn_around_time=ending.answered - started if waited else None,
        referer=redacted(headers.get("referer", "")),
        user_agent=headers.get("user-agent", ""),
        version_id=ending.reply.headers.get("x-amz-version-id", ""),
        host_id=HOST_ID,
        signature_version=f"Sig{verified.scheme.upper()}" if signed else "",
        cipher_suite=cipher,
        auth_type=_AUTH_TYPES[verified.presigned] if signed else "",
        host_header=headers.get("host", ""),
        tls_version=tls,
        acl_required=context.audit.get("acl") == "Yes",
    )


def _operation_of(context: Context) -> str:
    row = context.operation
    if row is PREFLIGHT:
        return "REST.OPTIONS.PREFLIGHT"
    if row is PAGE:
        return f"WEBSITE.{context.request.method}.OBJECT"
    try:
        return operation_name(row.name, context.request.method, row.level, row.selector)
    except KeyError:  # a combination of parameters that nobody knows
        return f"REST.{context.request.method}.{row.level.upper()}"


def _bytes_sent(request: Request, reply: Reply) -> int | None:
    return None if request.method == "HEAD" or reply.status in (204, 304) else _length(reply)


def _length(reply: Reply) -> int | None:
    return len(reply.body) if reply.length is None and isinstance(reply.body, bytes) else reply.length


def _object_size(context: Context, reply: Reply) -> str:
    """The whole size of the object that was read or written, as far as the request and its answer tell."""
    if reply.status >= 300:
        return ""
    headers = context.request.headers
    if context.operation.name in ("PutObject", "UploadPart"):
        framed = context.verified.body.chunked  # else the header is no more than a client's word
        return headers.get("x-amz-decoded-content-length" if framed else "content-length", "")
    if context.operation.name in ("GetObject", "HeadObject", PAGE.name):
        whole = reply.headers.get("content-range", "").rpartition("/")[2]
        return whole or str(_length(reply) or 0)
    return ""


async def _deliver(context: Context, lines: Mapping[str, list[str]]) -> None:
    """Write the lines of a bucket as its configuration said when the last of them was gathered."""
    source, services = context.bucket, context.services
    settings = configuration.load(source.docs[Doc.LOGGING])
    target = await context.backend.head_bucket(settings.bucket)
    if target.owner != source.owner:  # it was made anew by somebody else
        log.warning("the access log of %s has no target: %s has another owner", source.name, target.name)
        return
    inside, now = replace(context, bucket=target), time.time()
    if settings.format == EVENT_TIME:
        for day, of_day in lines.items():
            await _write(inside, _object_key(settings, source, services, now, day), settings, of_day)
    else:
        everything = [text for of_day in lines.values() for text in of_day]
        await _write(inside, _object_key(settings, source, services, now), settings, everything)


def _object_key(settings: Logging, source: BucketInfo, services: Services, now: float, day: str = "") -> str:
    """The key of a log object, delivered `now` (s since 1970). `day` is that of all its requests, if they share one."""
    moment = datetime.fromtimestamp(now, UTC)
    unique = secrets.token_hex(8).upper()
    if settings.format not in (EVENT_TIME, DELIVERY_TIME):
        return f"{settings.prefix}{moment:%Y-%m-%d-%H-%M-%S}-{unique}"
    account = number_of(services.accounts, source.owner or OWNER_ID)
    stamp = f"{day.replace('/', '-')}-00-00-00" if day else f"{moment:%Y-%m-%d-%H-%M-%S}"
    day = day or f"{moment:%Y/%m/%d}"
    return f"{settings.prefix}{account}/{services.region}/{source.name}/{day}/{stamp}-{unique}"


async def _write(context: Context, key: str, settings: Logging, lines: list[str]) -> None:
    """Store a log object in the context's bucket, encrypted as that bucket encrypts by default."""
    from gateway.encryption.service import encryptor_of, sealing_of
    from gateway.stream import payload_of

    data = "".join(lines).encode("ascii")
    write = Write({"content-type": "text/plain"}, docs=_log_acl(context, settings))
    sealing = sealing_of(context, {})
    if sealing is not None:
        write = sealing.kept(write)
    content = Content(ObjectInfo(key, len(data), "", 0), Span(0, len(data)), data)
    spool = context.services.spool
    payload = payload_of(content, ExpectedChecksum("CRC64NVME"), spool, encryptor_of(sealing))
    async with payload as body:
        info = await context.backend.put_object(Ref(context.bucket.name, key), body, write)
    await _tell(context, info)


async def _tell(context: Context, info: ObjectInfo) -> None:
    """A log object is an event like any other that is put."""
    if not context.notifies:
        return
    assert context.services.events is not None
    from gateway.events import Change, service_origin

    change = Change("s3:ObjectCreated:Put", info.key, info.size, info.etag, info.version)
    await context.services.events.publish(context.bucket, [change], service_origin(new_request_id()))


def _log_acl(context: Context, settings: Logging) -> dict[Doc, str]:
    """The ACL of a log object: the grants of the configuration, where ACLs count."""
    if not settings.grants or context.document_of_bucket(Doc.OWNERSHIP) == ENFORCED:
        return {}
    owner = context.bucket_owner
    full = Grant(owner, Permission.FULL_CONTROL)
    return {Doc.ACL: acl.dump(Acl(owner, (full, *settings.grants)))}
