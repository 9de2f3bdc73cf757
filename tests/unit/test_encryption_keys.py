"""The key ring: made once, read anew, and closed when in doubt."""

import json
import multiprocessing
import os
import stat
import subprocess
import sys
from base64 import b64encode

import pytest
from harness import ROOT

from gateway.encryption.keyring import KeyRing, KeyRingError
from gateway.encryption.record import Mode, Record, UnknownRecord, read_record
from gateway.errors import S3Error

DATA_KEY = bytes(range(32))
S3, KMS = Record(Mode.S3), Record(Mode.KMS, kms="mine", context="e30=")
FIRST, SECOND = (b64encode(bytes([number]) * 32).decode() for number in (1, 2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "keys.jsonl"


@pytest.fixture
def ring(path):
    return KeyRing(path, {})


def test_wrapping(ring, path):
    record = ring.wrap(S3, DATA_KEY)
    assert ring.unwrap(read_record(str(record))) == DATA_KEY
    assert KeyRing(path, {}).unwrap(record) == DATA_KEY, "another process"
    assert ring.wrap(S3, DATA_KEY).key != record.key
    assert DATA_KEY not in str(record).encode()


def test_the_file_is_made_at_the_first_use_and_is_private(ring, path):
    assert not path.exists()
    made = ring.master()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert ring.master() == made
    assert made.key not in repr(made)


def _master(path):
    return KeyRing(path, {}).master().id


def test_processes_that_race_agree_on_one_key(path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_master, [path] * 8))) == 1
    assert len(path.read_text().splitlines()) == 1


def test_the_newest_enabled_master_key_wraps_and_older_ones_unwrap(ring, path):
    old = ring.wrap(S3, DATA_KEY)
    other = KeyRing(path, {})
    new = other.add_master()
    assert ring.wrap(S3, DATA_KEY).id == new.id, "known at once"
    assert ring.unwrap(old) == DATA_KEY
    ring.set_enabled(new.id, False)
    assert ring.wrap(S3, DATA_KEY).id == old.id
    ring.set_enabled(old.id, False)
    with pytest.raises(KeyRingError, match="disabled"):
        ring.unwrap(old)


def test_kms_keys(ring):
    with pytest.raises(S3Error) as caught:
        ring.wrap(KMS, DATA_KEY)
    assert caught.value.code == "KMS.NotFoundException"
    ring.add_kms("mine", "for tests")
    record = ring.wrap(KMS, DATA_KEY)
    assert ring.unwrap(record) == DATA_KEY
    for name in ("mine", "arn:aws:kms:us-east-1:123456789012:key/mine", "alias/mine"):
        assert ring.kms(name).id == "mine"
    for name in ("other", "arn:aws:kms:us-east-1:123456789012:key/other", "../mine", "arn:aws:s3:::mine"):
        with pytest.raises(S3Error):
            ring.kms(name)
    ring.set_enabled("mine", False)
    for call in (lambda: ring.kms("mine"), lambda: ring.unwrap(record)):
        with pytest.raises(S3Error) as caught:
            call()
        assert (caught.value.status, caught.value.code) == (400, "KMS.DisabledException")


def test_the_default_kms_key_is_made_at_its_first_use(ring):
    assert ring.kms("").id == ring.kms("aws/s3").id == ring.kms("alias/aws/s3").id == "aws/s3"
    assert [key.kind for key in ring.all()] == ["kms"]


def test_a_master_key_is_no_kms_key(ring):
    master = ring.master()
    with pytest.raises(S3Error):
        ring.kms(master.id)
    record = ring.wrap(S3, DATA_KEY)
    with pytest.raises(KeyRingError):
        ring.unwrap(Record(Mode.KMS, record.id, record.key))


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 129, "a/b", "ä"])
def test_ids_that_cannot_be(ring, name):
    with pytest.raises(ValueError):
        ring.add_kms(name)


def test_an_id_is_taken_once(ring):
    ring.add_kms("mine")
    with pytest.raises(ValueError, match="already"):
        ring.add_kms("mine")


def test_a_wrapped_key_is_bound_to_its_record(ring):
    ring.add_kms("mine")
    record = ring.wrap(KMS, DATA_KEY)
    for changed in ({"context": "eyJhIjoiYiJ9"}, {"key": record.key[:-8] + "AAAAAAA="}):
        with pytest.raises(KeyRingError, match="does not open"):
            ring.unwrap(read_record(json.dumps(json.loads(str(record)) | changed)))


def test_the_environment_takes_the_place_of_master_keys(path):
    old = KeyRing(path, {}).wrap(S3, DATA_KEY)
    own = KeyRing(path, {"S3GW_MASTER_KEY": FIRST})
    record = own.wrap(S3, DATA_KEY)
    assert record.id != old.id
    assert own.unwrap(old) == own.unwrap(record) == DATA_KEY
    rotated = KeyRing(path, {"S3GW_MASTER_KEY": f"{SECOND},{FIRST}"})
    assert rotated.unwrap(record) == DATA_KEY
    assert rotated.wrap(S3, DATA_KEY).id not in (old.id, record.id)
    with pytest.raises(KeyRingError):
        KeyRing(path, {"S3GW_MASTER_KEY": SECOND}).unwrap(record)


def test_with_the_environment_no_file_is_needed(path):
    KeyRing(path, {"S3GW_MASTER_KEY": FIRST}).wrap(S3, DATA_KEY)
    assert not path.exists()


@pytest.mark.parametrize("value", ["short", "!" * 44, FIRST + ",", b64encode(bytes(31)).decode()])
def test_a_bad_key_in_the_environment(path, value):
    with pytest.raises(KeyRingError) as caught:
        KeyRing(path, {"S3GW_MASTER_KEY": value}).master()
    assert value not in str(caught.value)


@pytest.mark.parametrize("line", ["{", "[]", '{"id":"a"}', '{"id":"a","key":"AAAA","kind":"master"}'])
def test_a_line_that_is_no_key_closes_the_ring(ring, path, line):
    record = ring.wrap(S3, DATA_KEY)
    with path.open("a") as file:
        file.write(line + "\n")
    for call in (lambda: ring.wrap(S3, DATA_KEY), lambda: ring.unwrap(record), ring.all, ring.add_master):
        with pytest.raises(KeyRingError, match=":2: not a key"):
            call()


def test_a_ring_that_vanished_is_not_replaced(ring, path):
    ring.master()
    path.unlink()
    with pytest.raises(KeyRingError, match="vanished"):
        ring.wrap(S3, DATA_KEY)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_ring(ring, path):
    ring.master()
    path.chmod(0)
    with pytest.raises(KeyRingError):
        KeyRing(path, {}).master()


def test_a_directory_in_its_place(path):
    path.mkdir(parents=True)
    with pytest.raises(KeyRingError):
        KeyRing(path, {}).master()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"v":2,"mode":"AES256"}', '{"v":1,"mode":"X"}', '{"v":1,"mode":"C","new":1}']
)
def test_records_that_cannot_be_read(text):
    with pytest.raises(UnknownRecord):
        read_record(text)


@pytest.mark.parametrize(
    "record", [S3, KMS, Record(Mode.CUSTOMER, salt="AA==", check="AA=="), Record(Mode.KMS, bucket_key=True)]
)
def test_records(record):
    assert read_record(str(record)) == record


def test_a_worker_without_encryption_does_not_load_the_library():
    code = "import sys, gateway.app, gateway.encryption.service; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
