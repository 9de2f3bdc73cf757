"""A process that writes to a store and tells each answered write on its output, until somebody kills it.

`python local_child.py PATH DURABILITY NAME [CRASH]`; CRASH names a point at which it kills itself.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[0]), str(Path(__file__).parents[1])]

from payloads import put, put_part  # noqa: E402

from backends.base import MIN_PART_BYTES, ChosenPart, Completion, Ref, Write  # noqa: E402
from backends.local import LocalBackend, bodies, writer  # noqa: E402

SIZES = [10, 5000, 70_000, 300_000]
PART = bytes(MIN_PART_BYTES)


def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def after(function):
    def run(*args, **kwargs):
        function(*args, **kwargs)
        die()

    return run


CRASHES = {
    "before the link": lambda: setattr(bodies.Bodies, "_link", die),
    "after the link": lambda: setattr(bodies.Bodies, "_link", after(bodies.Bodies._link)),
    "before the commit": lambda: setattr(writer.Writer, "_transact", die),
    "after the commit": lambda: setattr(writer.Writer, "_transact", after(writer.Writer._transact)),
    "before the sync": lambda: setattr(writer.Writer, "_sync", die),
    "before the removal": lambda: setattr(bodies.Bodies, "discard", die),
    "after the removal": lambda: setattr(bodies.Bodies, "discard", after(bodies.Bodies.discard)),
}


def body(name: str, turn: int) -> bytes:
    return f"{name} {turn} ".encode().ljust(SIZES[turn % len(SIZES)], b".")


def tell(*words) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def client(store: LocalBackend, name: str) -> None:
    """Overwrite a few keys, delete one now and then, finish an upload now and then."""
    turn = 0
    while True:
        key = f"{name}-{turn % 5}"
        tell("begin", key, name, turn)
        if turn % 7 == 6:
            await store.delete_object(Ref("b", key))
            tell("deleted", key)
        elif turn % 50 == 25:
            upload = (await store.create_upload(Ref("b", key), Write())).upload
            parts = [await put_part(store, Ref("b", key), upload, 1, PART)]
            parts.append(await put_part(store, Ref("b", key), upload, 2, body(name, turn)))
            lines = [ChosenPart(part.number, part.etag) for part in parts]
            await store.complete_upload(Ref("b", key), upload, Completion(lines))
            tell("uploaded", key, turn)
        else:
            await put(store, Ref("b", key), body(name, turn), threshold=100_000)
            tell("put", key, turn)
        turn += 1


async def main(path: str, durability: str, name: str, crash: str = "") -> None:
    store = LocalBackend.open(path, durability=durability)
    tell("ready")
    await put(store, Ref("b", "victim"), b"old" * 50_000)
    if crash:
        CRASHES[crash]()
        await put(store, Ref("b", "victim"), b"new" * 50_000)
        await asyncio.Event().wait()
    await asyncio.gather(*(client(store, f"{name}{number}") for number in range(4)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
