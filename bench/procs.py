"""Server processes: start and stop them, and read from /proc what a whole process tree costs."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree, with children that have ended; resolution 10 ms."""
    return sum(_cpu_ticks(member) for member in tree(pid)) / _TICKS


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process tree: `rss` counts shared pages once per process, `pss` once."""

    rss: int = 0
    pss: int = 0

    def peak(self, other: "Memory") -> "Memory":
        """The larger of each."""
        return Memory(max(self.rss, other.rss), max(self.pss, other.pss))


def memory(pid: int) -> Memory:
    """What a process tree holds now."""
    rolls = [_rollup(member) for member in tree(pid)]
    return Memory(sum(roll.get("Rss", 0) for roll in rolls), sum(roll.get("Pss", 0) for roll in rolls))


def _rollup(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its port and the root of its process tree."""

    name: str
    port: int
    pid: int


@contextmanager
def server(
    name: str, command: Sequence[str], port: int, environment: Mapping[str, str], log: Path
) -> Iterator[Server]:
    """Run a server for the time of a `with`. Raises RuntimeError (with the log's end) if it never answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_answering(process, port, log)
        yield Server(name, port, process.pid)
    finally:
        _stop(process)


def _wait_answering(process: "subprocess.Popen[bytes]", port: int, log: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 30) as probe:
            probe.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if probe.recv(1):  # a worker answers, not only the port
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not answer on {port}:\n{log.read_text()[-2000:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
