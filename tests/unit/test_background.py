"""Recurring work: one process at a time, once in an interval, whatever fails."""

import asyncio
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from gateway import background
from gateway.background import Periodic, remaining, turn


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "task.lock"


def test_the_turn_is_one_process_s_at_a_time(lock: Path) -> None:
    with turn(lock) as ours:
        assert ours
        with turn(lock) as again:
            assert not again
    with turn(lock) as ours:
        assert ours


def test_a_turn_is_had_once_in_an_interval(lock: Path) -> None:
    with turn(lock, 1000) as ours:
        assert ours
    assert 999 < remaining(lock, 1000) <= 1000
    with turn(lock, 1000) as ours:
        assert not ours
    with turn(lock) as ours:
        assert ours, "without an interval only the lock counts"


def test_who_never_began_is_due_at_once(lock: Path) -> None:
    assert remaining(lock, 1000) == 0
    lock.write_text("no time")
    assert remaining(lock, 1000) == 0


def test_a_clock_that_was_set_back_does_not_stop_the_work(lock: Path) -> None:
    lock.write_text(f"{time.time() + 10**6:017.6f}\n")
    assert remaining(lock, 1000) == 0


def test_a_process_that_dies_leaves_its_turn(lock: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from gateway.background import turn\n"
        "with turn(Path(sys.argv[1])) as ours: print(ours, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"True\n"
        with turn(lock) as ours:
            assert not ours
        child.kill()
    with turn(lock) as ours:
        assert ours


def test_the_file_is_nobody_else_s(lock: Path) -> None:
    with turn(lock):
        assert os.stat(lock).st_mode & 0o777 == 0o600


async def test_work_recurs_and_a_failure_does_not_end_it(
    lock: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = asyncio.Event()
    begun = []

    async def work() -> None:
        begun.append(time.time())
        if len(begun) == 1:
            raise OSError("tired")
        if len(begun) == 3:
            done.set()

    task = Periodic("the work", work, 0.01, lock)
    task.start()
    await asyncio.wait_for(done.wait(), 10)
    await task.stop()
    assert "the work failed" in caplog.text
    assert all(later - earlier >= 0.01 for earlier, later in pairwise(begun))


async def test_of_two_only_one_works(lock: Path) -> None:
    working, most, times = 0, 0, 0
    done = asyncio.Event()

    async def work() -> None:
        nonlocal working, most, times
        working += 1
        times += 1
        most = max(most, working)
        await asyncio.sleep(0.02)
        working -= 1
        if times >= 5:
            done.set()

    tasks = [Periodic("w", work, 0.005, lock) for _ in range(3)]
    for task in tasks:
        task.start()
    await asyncio.wait_for(done.wait(), 10)
    for task in tasks:
        await task.stop()
    assert most == 1


async def test_it_stops_amidst_the_work_and_the_turn_is_free(lock: Path) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    task = Periodic("w", work, 0.001, lock)
    task.start()
    await asyncio.wait_for(begun.wait(), 10)
    await task.stop()
    await task.stop()
    with turn(lock) as ours:
        assert ours


async def test_a_process_that_just_started_waits_a_little(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()

    monkeypatch.setattr(background, "_FIRST_SECONDS", 0.01)
    task = Periodic("w", work, 10**6, lock)
    task.start()
    assert not begun.is_set()
    await asyncio.wait_for(begun.wait(), 10)
    await task.stop()
