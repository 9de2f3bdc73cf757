"""Where bodies wait: memory, then files, and nothing left behind."""

import errno
import os
import stat

import pytest

from gateway import spool as spooling
from gateway.errors import S3Error
from gateway.spool import Spool, open_temporary, write_all


@pytest.fixture
def spool():
    made = Spool(1000, 2500)
    yield made
    assert made.held == 0
    made.close()


@pytest.fixture
def named_only(monkeypatch):
    """A file system without O_TMPFILE."""
    real = os.open

    def refuse(path, flags, *rest, **named):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)


def content(file):
    return os.pread(file.fd, 10**6, 0)


def test_small_stays_in_memory(spool, tmp_path):
    writer = spool.writer(str(tmp_path), 6)
    writer.write([b"abc", memoryview(b"xdef")[1:]], 6)
    assert spool.held == 6
    assert writer.finish() == (b"abcdef", None)
    writer.close()
    writer.close()


def test_an_empty_body(spool, tmp_path):
    assert spool.writer(str(tmp_path)).finish() == (b"", None)


def test_unknown_length_spills_over(spool, tmp_path):
    writer = spool.writer(str(tmp_path))
    writer.write([b"a" * 600], 600)
    assert spool.held == 600
    writer.write([b"b" * 600], 600)
    assert spool.held == 0
    data, file = writer.finish()
    assert data is None
    assert content(file) == b"a" * 600 + b"b" * 600
    writer.close()


def test_known_length_goes_straight_to_its_file(spool, tmp_path):
    writer = spool.writer(str(tmp_path), 1001)
    writer.write([b"a"], 1)
    assert spool.held == 0
    assert content(writer.finish()[1]) == b"a"
    writer.close()


def test_all_bodies_share_the_memory(spool, tmp_path):
    writers = [spool.writer(str(tmp_path), 1000) for _ in range(3)]
    for writer in writers:
        writer.write([b"x" * 1000], 1000)
    assert spool.held == 2000
    assert [writer.finish()[1] is None for writer in writers] == [True, True, False]
    for writer in writers:
        writer.close()
    assert spool.held == 0


def test_files_are_private_and_nameless(spool, tmp_path):
    writer = spool.writer(str(tmp_path), 5000)
    writer.write([b"x"], 1)
    file = writer.finish()[1]
    status = os.fstat(file.fd)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert (file.path is None) == (status.st_nlink == 0)
    writer.close()
    assert file.fd == -1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("named_only")
def test_named_files_vanish(spool, tmp_path):
    writer = spool.writer(str(tmp_path), 5000)
    writer.write([b"x"], 1)
    file = writer.finish()[1]
    assert [str(path) for path in tmp_path.iterdir()] == [file.path]
    assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o600
    writer.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("named_only")
def test_a_named_file_may_be_taken_away(spool, tmp_path):
    writer = spool.writer(str(tmp_path), 5000)
    writer.write([b"x"], 1)
    os.rename(writer.finish()[1].path, tmp_path / "kept")
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_the_configured_directory_wins_and_is_made(tmp_path):
    place = tmp_path / "made" / "when-needed"
    spool = Spool(10, 10, str(place))
    writer = spool.writer("/nonexistent", 100)
    writer.write([b"x"], 1)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    writer.close()
    spool.close()


def test_a_full_disk_is_unavailable(spool, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    writer = spool.writer(str(tmp_path), 5000)
    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(S3Error) as caught:
        writer.write([b"x"], 1)
    assert caught.value.status == 503
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_disk_pass(spool, tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "broken")

    writer = spool.writer(str(tmp_path), 5000)
    monkeypatch.setattr(os, "writev", broken)
    with pytest.raises(OSError, match="broken"):
        writer.write([b"x"], 1)
    writer.close()


def test_short_writes_are_continued(tmp_path, monkeypatch):
    file = open_temporary(str(tmp_path))
    monkeypatch.setattr(os, "writev", lambda fd, pieces: os.write(fd, bytes(b"".join(pieces))[:3]))
    write_all(file.fd, [b"ab", b"", memoryview(b"cdefg"), b"h"])
    assert content(file) == b"abcdefgh"
    file.close()


def test_many_pieces(tmp_path, spool):
    writer = spool.writer(str(tmp_path), 5000)
    writer.write([b"ab"] * 2000, 4000)
    assert content(writer.finish()[1]) == b"ab" * 2000
    writer.close()


def test_prefix_tells_litter():
    assert spooling.TEMPORARY_PREFIX.startswith(".")
