"""s3gw against versitygw in one run: the same workloads, in turns, on the same disk.

    python -m bench.compare --rounds 3 --seconds 3
    python -m bench.compare --only get-4k,head --json

Every figure is the median of the rounds. CPU is that of the server's whole process tree, per request (µs) or, for
large objects, per GiB (s). A ratio below 1 for CPU and above 1 for throughput is in favour of s3gw.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from bench.load import Result, Workload, prepare, run
from bench.procs import Server, cpu_seconds
from bench.servers import DEFAULT_COMMAND, s3gw, target, versitygw

_MIB = 1 << 20
_GIB = 1 << 30
WORKLOADS = {
    "get-4k": Workload("get", 4096),
    "put-4k": Workload("put", 4096),
    "head": Workload("head", 4096),
    "get-10m": Workload("get", 10 * _MIB, objects=8, connections=4),
    "put-10m": Workload("put", 10 * _MIB, objects=8, connections=4),
    "list-1000": Workload("list", connections=8),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """One round: CPU per request (µs) and per GiB (s; 0 if no bytes count), requests per second, times in ms."""

    cpu_us: float
    cpu_s_per_gib: float
    per_second: float
    mib_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def measure(server: Server, work: Workload) -> Figures:
    """Run a workload and read the server's CPU time around it."""
    before = cpu_seconds(server.pid)
    result = run(target(server), work)
    return figures(result, cpu_seconds(server.pid) - before)


def figures(result: Result, cpu: float) -> Figures:
    """The figures of a result and the CPU seconds the server took for it."""
    done = max(1, result.requests - result.errors)
    return Figures(
        cpu_us=cpu / done * 1e6,
        cpu_s_per_gib=cpu / result.body_bytes * _GIB if result.body_bytes else 0.0,
        per_second=done / result.seconds,
        mib_per_second=result.body_bytes / _MIB / result.seconds,
        p50_ms=result.percentile(50) * 1000,
        p99_ms=result.percentile(99) * 1000,
        errors=result.errors,
    )


def medians(rounds: list[Figures]) -> Figures:
    """The median of each figure; the sum of the errors."""
    columns = {name: [asdict(one)[name] for one in rounds] for name in asdict(rounds[0])}
    errors = sum(columns.pop("errors"))
    return Figures(**{name: median(values) for name, values in columns.items()}, errors=errors)


def compare(servers: list[Server], work: Workload, rounds: int) -> dict[str, Figures]:
    """Prepare each server, then measure them in turns."""
    for server in servers:
        prepare(target(server), work)
        run(target(server), replace(work, seconds=0.3))  # warm
    found: dict[str, list[Figures]] = {server.name: [] for server in servers}
    for number in range(rounds):
        for server in servers if number % 2 == 0 else reversed(servers):
            found[server.name].append(measure(server, work))
    return {name: medians(several) for name, several in found.items()}


def ratios(ours: Figures, peer: Figures) -> dict[str, float]:
    """Ours by the peer's: CPU time per request and requests per second."""
    return {
        "cpu": ours.cpu_us / peer.cpu_us if peer.cpu_us else 0.0,
        "throughput": ours.per_second / peer.per_second,
    }


def row(name: str, found: dict[str, Figures]) -> str:
    """A line of the table."""
    ours, peer = found["s3gw"], found["versitygw"]
    large = WORKLOADS[name].size >= _MIB
    cpu = [one.cpu_s_per_gib if large else one.cpu_us for one in (ours, peer)]
    flow = [one.mib_per_second if large else one.per_second for one in (ours, peer)]
    unit = ("s/GiB", "MiB/s") if large else ("µs/req", "req/s")
    ratio = ratios(ours, peer)
    return (
        f"{name:10} {cpu[0]:9.2f} {cpu[1]:9.2f} {unit[0]:7} {ratio['cpu']:6.2f} "
        f"{flow[0]:9.0f} {flow[1]:9.0f} {unit[1]:6} {ratio['throughput']:6.2f} "
        f"{ours.p50_ms:7.2f} {peer.p50_ms:7.2f} {ours.p99_ms:7.2f} {peer.p99_ms:7.2f} {ours.errors + peer.errors:4}"
    )


HEADER = (
    f"{'workload':10} {'CPU s3gw':>9} {'peer':>9} {'':7} {'ratio':>6} {'flow s3gw':>9} {'peer':>9} {'':6} {'ratio':>6} "
    f"{'p50 ms':>7} {'peer':>7} {'p99 ms':>7} {'peer':>7} {'err':>4}"
)


def main() -> None:
    """Compare and print; exit code 1 if any request failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--command", default=DEFAULT_COMMAND, help="how to start s3gw, with {conf} and {port}"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--durability", choices=("relaxed", "full"), default="relaxed")
    parser.add_argument(
        "--directory", type=Path, help="where both keep their data (default: a temporary directory)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each workload, server and round")
    parser.add_argument("--only", default=",".join(WORKLOADS), help="names of workloads, with commas")
    parser.add_argument("--unsigned-payload", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found: dict[str, dict[str, Figures]] = {}
    with ExitStack() as stack:
        place = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=given.directory, prefix="s3gw-bench-"))
        )
        servers = [
            stack.enter_context(s3gw(place / "s3gw", given.command, given.workers, given.durability)),
            stack.enter_context(versitygw(place / "versitygw")),
        ]
        if not given.json:
            print(HEADER)
        for name in given.only.split(","):
            work = replace(
                WORKLOADS[name], seconds=min(given.seconds, 60.0), signed_payload=not given.unsigned_payload
            )
            found[name] = compare(servers, work, given.rounds)
            if not given.json:
                print(row(name, found[name]), flush=True)
    if given.json:
        print(json.dumps({name: as_json(pair) for name, pair in found.items()}, indent=1))
    sys.exit(any(one.errors for pair in found.values() for one in pair.values()))


def as_json(found: dict[str, Figures]) -> dict[str, object]:
    """Both servers' figures and their ratios."""
    return {
        **{name: asdict(one) for name, one in found.items()},
        "ratios": ratios(found["s3gw"], found["versitygw"]),
    }


if __name__ == "__main__":
    main()
