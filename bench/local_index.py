"""Measure the local backend alone, without HTTP: `python bench/local_index.py [--quick]`.

Prints operations a second and CPU microseconds an operation; compare lines of one run, not of two.
"""

import argparse
import asyncio
import hashlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing
from typing import Literal

from backends.base import ListQuery, Ref, Sealed
from backends.local import LocalBackend
from backends.local.sqlite import connect

Durability = Literal["full", "relaxed"]


class Bytes:
    """A payload that is in memory already."""

    def __init__(self, data: bytes) -> None:
        self._sealed = Sealed(len(data), hashlib.md5(data).hexdigest(), data=data)

    @property
    def length(self) -> int:
        """Bytes."""
        return self._sealed.size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._sealed.data or b""

    async def seal(self, directory: str) -> Sealed:
        """The bytes as they are."""
        return self._sealed


@asynccontextmanager
async def opened(path: str, durability: Durability) -> AsyncIterator[LocalBackend]:
    """A store."""
    store = LocalBackend.open(path, durability=durability)
    try:
        yield store
    finally:
        await store.aclose()


async def timed(label: str, count: int, work: Callable[[], Awaitable[object]]) -> None:
    """Run `work`, which does `count` operations, and print what each cost."""
    cpu, start = time.process_time(), time.perf_counter()
    await work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{label:58s} {count / seconds:9.0f}/s {cpu / count * 1e6:9.1f} us", flush=True)


async def puts(store: LocalBackend, who: int, clients: int, count: int, size: int) -> None:
    """Put `count` objects of `size` bytes from as many clients."""
    payload = Bytes(os.urandom(size))

    async def client(number: int) -> None:
        for turn in range(count // clients):
            await store.put_object(Ref("b", f"{who}/{number}/{turn}"), payload)

    await asyncio.gather(*map(client, range(clients)))


def put_process(path: str, durability: Durability, who: int, share: tuple[int, int, int]) -> None:
    """One of several writing processes."""

    async def main() -> None:
        async with opened(path, durability) as store:
            await puts(store, who, *share)

    asyncio.run(main())


async def measure_puts(durability: Durability, processes: int, clients: int, size: int, count: int) -> None:
    """Puts by several processes at once, their start included."""
    with tempfile.TemporaryDirectory(dir=".") as path:
        async with opened(path, durability) as store:
            await store.create_bucket("b")
            label = f"put {size} B {durability}, {processes} processes, {clients} clients"
            if processes == 1:
                await timed(label, count, lambda: puts(store, 0, clients, count, size))
                return
            context = multiprocessing.get_context("spawn")
            share = (clients // processes, count // processes, size)
            children = [
                context.Process(target=put_process, args=(path, durability, who, share))
                for who in range(processes)
            ]
            start = time.perf_counter()
            for child in children:
                child.start()
            for child in children:
                await asyncio.to_thread(child.join)
            print(
                f"{label:58s} {count / (time.perf_counter() - start):9.0f}/s (with their start)", flush=True
            )


def fill(path: str, bucket: str, keys: Iterable[str]) -> None:
    """Insert rows without bodies worth mentioning, straight into the index."""
    with closing(connect(f"{path}/index.sqlite")) as index:
        index.execute("BEGIN IMMEDIATE")
        index.execute("INSERT OR IGNORE INTO bodies (id, refs, data) VALUES (1, 1, x'00')")
        index.executemany(
            "INSERT INTO objects (bucket, key, seq, owner, size, etag, modified, storage_class, body)"
            " SELECT id, ?, 1, '', 1, ?, 0, 'STANDARD', 1 FROM buckets WHERE name = ?",
            ((key, "0" * 32, bucket) for key in keys),
        )
        index.execute("COMMIT")


async def measure_lists(store: LocalBackend, path: str, keys: int) -> None:
    """Pages of 1,000 from a bucket of so many keys: flat, folded in small groups, folded in few."""
    for name, shape in (("plain", "{0:08d}"), ("groups", "{1:06d}/{2}"), ("few", "{3}/{0:08d}")):
        bucket = f"{name}{keys}"
        await store.create_bucket(bucket)
        rows = (shape.format(n, n // 10, n % 10, n * 5 // keys) for n in range(keys))
        await asyncio.to_thread(fill, path, bucket, rows)
        for delimiter in ("", "/"):
            query = ListQuery(delimiter=delimiter)

            async def pages(bucket: str = bucket, query: ListQuery = query) -> None:
                for _ in range(20):
                    await store.list_objects(bucket, query)

            await timed(f"list 1,000 of {keys} {name}, delimiter {delimiter!r}", 20, pages)


async def measure_reads(store: LocalBackend, size: int, count: int) -> None:
    """HEAD and GET of one size."""
    await store.create_bucket(f"r{size}")
    for number in range(100):
        await store.put_object(Ref(f"r{size}", str(number)), Bytes(os.urandom(size)))

    async def heads() -> None:
        for number in range(count):
            await store.head_object(Ref(f"r{size}", str(number % 100)))

    async def gets() -> None:
        for number in range(count):
            async with await store.open_object(Ref(f"r{size}", str(number % 100))) as content:
                if not isinstance(content.body, bytes):
                    for span in content.body:  # type: ignore[union-attr]
                        os.pread(span.fd, span.length, span.offset)

    await timed(f"head {size} B", count, heads)
    await timed(f"get {size} B", count, gets)


async def main(quick: bool) -> None:
    """Everything."""
    scale = 5 if quick else 1
    for durability in ("full", "relaxed"):
        for processes in (1, 2, 8):
            for clients in (16, 64):
                await measure_puts(durability, processes, clients, 4096, 20_000 // scale)
    for size in (16_384, 65_536, 131_072):
        await measure_puts("full", 1, 16, size, 2000 // scale)
    with tempfile.TemporaryDirectory(dir=".") as path:
        async with opened(path, "relaxed") as store:
            for size in (4096, 16_384, 65_536, 65_537, 131_072):
                await measure_reads(store, size, 20_000 // scale)
            for keys in (10_000, 1_000_000 // scale):
                await measure_lists(store, path, keys)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the operations")
    asyncio.run(main(parser.parse_args().quick))
