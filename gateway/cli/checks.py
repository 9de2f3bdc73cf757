"""The checks of `s3gw doctor`. Each looks at one thing, changes nothing, and says what to do."""

import ctypes
import errno
import os
import resource
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import Loaded, S3GatewaySettings, Settings

OK, WARN, FAIL = "ok", "warn", "fail"

GIB = 1024**3
DAY = 86400
LOW_SPACE_BYTES = 5 * GIB
OPEN_FILES = 65536
"""What `ulimit -n` should say."""
KERNEL = {
    "net.ipv4.tcp_keepalive_time": (600, "at most"),
    "net.core.rmem_max": (16777216, "at least"),
    "net.core.wmem_max": (16777216, "at least"),
}
"""Advised kernel settings: seconds, bytes, bytes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `advice` says what to do, empty when there is nothing to do."""

    check: str
    status: str
    detail: str
    advice: str = ""


def run_checks(loaded: "Loaded") -> list[Finding]:
    """All checks, in the order in which they matter."""
    source = str(loaded.path) if loaded.path else "defaults and environment, no file"
    findings = [Finding("configuration", OK, source)]
    for check in CHECKS:
        findings += check(loaded.settings)
    return findings


def check_credentials(settings: "Settings") -> Iterator[Finding]:
    """There is a key that works, and only its owner can read the store."""
    from auth.store import CredentialStore

    path = settings.s3_gateway.credentials_path
    store = CredentialStore(path)
    store.load()
    enabled = sum(credential.enabled for credential in store.credentials())
    if not enabled:
        yield Finding("credentials", WARN, f"no key works, {path}", "make one: s3gw credential generate")
    else:
        yield Finding("credentials", OK, f"{enabled} enabled, {path}")
    if path.exists() and path.stat().st_mode & 0o077:
        mode = path.stat().st_mode & 0o777
        yield Finding("credential file", FAIL, f"others may read it (mode {mode:o})", f"chmod 600 {path}")


def check_keys(settings: "Settings") -> Iterator[Finding]:
    """The key ring of the encryption can be read, by its owner only."""
    from gateway.encryption.keyring import KeyRing, KeyRingError

    path = settings.encryption.key_file
    try:
        count = sum(key.enabled for key in KeyRing(path).all())
    except KeyRingError as error:
        yield Finding(
            "key ring", FAIL, str(error), "put back the copy of the key file, or correct S3GW_MASTER_KEY"
        )
        return
    detail = f"{count} enabled, {path}" if count else "no key yet: nothing was encrypted"
    yield Finding("key ring", OK, detail)
    if path.exists() and path.stat().st_mode & 0o077:
        mode = path.stat().st_mode & 0o777
        yield Finding("key ring", FAIL, f"others may read it (mode {mode:o})", f"chmod 600 {path}")


def check_anonymous(settings: "Settings") -> Iterator[Finding]:
    """Unsigned requests cannot do everything from outside."""
    if settings.auth.anonymous == "full" and not is_loopback(settings.s3_gateway.host):
        advice = 'set [auth] anonymous = "public-read", or listen on 127.0.0.1'
        yield Finding(
            "anonymous access", FAIL, "anyone who reaches the port may read and delete everything", advice
        )


def is_loopback(host: str) -> bool:
    """Whether an address is only reachable from this machine."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def check_data(settings: "Settings") -> Iterator[Finding]:
    """The data directory can be written, and its file system can do what the store does."""
    path = settings.backend.path
    place = existing_parent(path)
    name = f"{path}" if path == place else f"{path} (will be made in {place})"
    try:
        missing = file_system_gaps(place)
    except OSError as error:
        yield Finding(
            "data directory", FAIL, f"{name}: {error.strerror}", f"make {place} writable for this user"
        )
        return
    if missing:
        advice = "use a local file system such as ext4, XFS or Btrfs"
        yield Finding(
            "data directory", WARN, f"{name}: its file system has no {', no '.join(missing)}", advice
        )
    else:
        yield Finding("data directory", OK, name)
    yield from _space("data space", place)


def existing_parent(path: Path) -> Path:
    """The path itself, or the nearest directory above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def file_system_gaps(directory: Path) -> list[str]:
    """What a directory's file system cannot do. Raises OSError if it cannot be written."""
    missing = []
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".s3gw-doctor-") as file:
        os.fsync(file.fileno())
        link = Path(f"{file.name}.link")
        try:
            os.link(file.name, link)
            link.unlink()
        except OSError:
            missing.append("hard links")
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600))
    except OSError:
        missing.append("nameless files (O_TMPFILE)")
    return missing


def _space(check: str, place: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(place).free
    detail = f"{free / GIB:.1f} GiB free"
    if free < LOW_SPACE_BYTES:
        yield Finding(check, WARN, detail, f"make room on the file system of {place}")
    else:
        yield Finding(check, OK, detail)


def check_temporary(settings: "Settings") -> Iterator[Finding]:
    """A temporary directory of its own is writable, and best on the data's file system."""
    if not settings.s3_gateway.put_temp_dir:
        return
    place = existing_parent(Path(settings.s3_gateway.put_temp_dir))
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding(
            "upload directory", FAIL, f"{place} is not writable", "change its mode, or put_temp_dir"
        )
    elif place.stat().st_dev != existing_parent(settings.backend.path).stat().st_dev:
        detail = f"{place} is on another file system than the data: large uploads are copied once more"
        yield Finding("upload directory", WARN, detail, 'set put_temp_dir = ""')
    else:
        yield Finding("upload directory", OK, str(place))


def check_gateway(settings: "Settings") -> Iterator[Finding]:
    """The port is free, or this gateway answers on it."""
    gateway = settings.s3_gateway
    try:
        status = ask_healthz(gateway)
    except (OSError, HTTPException) as error:
        yield _check_port(gateway, error)
        return
    if status == 200:
        yield Finding("gateway", OK, f"it answers on {gateway.listen}")
    else:
        advice = "look at its log; if another program listens there, choose a port with --listen"
        yield Finding("gateway", FAIL, f"/healthz on {gateway.listen} answers {status}", advice)


def ask_healthz(gateway: "S3GatewaySettings") -> int:
    """The status of /healthz at the configured address. Raises OSError or HTTPException if there is no answer."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(gateway.host, gateway.host)
    if gateway.tls_certificate:
        context = ssl.create_default_context()
        context.check_hostname = False  # the certificate has a check of its own
        context.verify_mode = ssl.CERT_NONE
        connection: HTTPConnection = HTTPSConnection(host, gateway.port, timeout=5, context=context)
    else:
        connection = HTTPConnection(host, gateway.port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


def _check_port(gateway: "S3GatewaySettings", error: Exception) -> Finding:
    family = socket.AF_INET6 if ":" in gateway.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((gateway.host, gateway.port))
    except OSError as refused:
        if refused.errno == errno.EADDRINUSE:
            advice = f"stop what listens there (ss -ltnp 'sport = :{gateway.port}'), or choose another with --listen"
            return Finding("port", FAIL, f"port {gateway.port} is taken and does not answer: {error}", advice)
        return Finding(
            "port", FAIL, f"cannot listen on {gateway.listen}: {refused.strerror}", "change listen"
        )
    return Finding("gateway", OK, f"not running; port {gateway.port} is free", "start it: s3gw serve")


def check_tls(settings: "Settings") -> Iterator[Finding]:
    """Certificate and key belong together and hold for another month."""
    gateway = settings.s3_gateway
    if not gateway.tls_certificate:
        return
    try:
        expires = certificate_expiry(gateway.tls_certificate, gateway.tls_key)
    except (OSError, ssl.SSLError) as error:
        advice = "check tls_certificate and tls_key: PEM files that belong together and have not expired"
        yield Finding("TLS", FAIL, f"{gateway.tls_certificate}: {error}", advice)
        return
    days = int((expires - time.time()) / DAY)
    detail = f"{gateway.tls_certificate} holds for {days} days"
    yield Finding("TLS", WARN, detail, "renew it") if days < 30 else Finding("TLS", OK, detail)


def certificate_expiry(certificate: str, key: str) -> float:
    """When a certificate ends, in Unix seconds, seen by a client of this pair. Raises ssl.SSLError, OSError.

    The handshake runs in memory: it proves that the key belongs to the certificate and that it holds now.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller, called = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    for side in (caller, called, caller, called):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    found = caller.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(found["notAfter"])))


def check_clock(settings: "Settings") -> Iterator[Finding]:
    """The clock is not in the past, and something keeps it right."""
    limit = settings.auth.clock_skew_seconds
    advice = "start a time service: chrony, systemd-timesyncd"
    if time.time() < Path(__file__).stat().st_mtime - DAY:
        yield Finding("clock", FAIL, f"it is {time.ctime()} here, before this program was installed", advice)
    elif clock_unsynchronised():
        detail = f"the kernel says it is not synchronised; signatures fail when it is {limit:g} s off"
        yield Finding("clock", WARN, detail, advice)
    else:
        yield Finding("clock", OK, "synchronised")


def clock_unsynchronised() -> bool:
    """Whether the kernel says that nothing keeps its clock right. Source: adjtimex(2), state TIME_ERROR."""
    with suppress(OSError, AttributeError):
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024))) == 5
    return False


def check_limits(settings: "Settings") -> Iterator[Finding]:
    """Enough open files, and the advised kernel settings where they can be read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES:
        yield Finding("open files", OK, f"ulimit -n is {soft}")
    else:
        advice = f"ulimit -n {OPEN_FILES} before the start, or LimitNOFILE={OPEN_FILES} in a systemd unit"
        yield Finding("open files", WARN, f"ulimit -n is {soft} (up to {hard})", advice)
    for name, (advised, bound) in KERNEL.items():
        with suppress(OSError, ValueError):
            yield _kernel_setting(name, advised, bound)


def _kernel_setting(name: str, advised: int, bound: str) -> Finding:
    value = int(Path("/proc/sys", *name.split(".")).read_text())
    good = value <= advised if bound == "at most" else value >= advised
    if good:
        return Finding(name, OK, str(value))
    return Finding(
        name, WARN, f"{value}, {bound} {advised} is advised under load", f"sysctl -w {name}={advised}"
    )


CHECKS: tuple[Callable[["Settings"], Iterator[Finding]], ...] = (
    check_credentials,
    check_keys,
    check_anonymous,
    check_data,
    check_temporary,
    check_gateway,
    check_tls,
    check_clock,
    check_limits,
)
