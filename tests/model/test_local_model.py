"""Random sequences of operations: the local backend answers what the model in memory answers."""

import asyncio
import re
import shutil
import tempfile

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from payloads import get, put, put_part

from backends.base import (
    BucketQuery,
    ByteRange,
    ChosenPart,
    Completion,
    Conditions,
    Copy,
    Delete,
    Doc,
    Doomed,
    ListQuery,
    NewBucket,
    Read,
    Ref,
    UploadQuery,
    VersionQuery,
    Write,
)
from backends.local import LocalBackend, fsck
from backends.memory import MemoryBackend
from gateway.errors import S3Error

BUCKETS = st.sampled_from(["one", "two"])
KEYS = st.one_of(
    st.sampled_from(["a", "a/", "a/b", "a/b/c", "a//b", "b/1", "b/2", "é/x", "\U0010ffff", "\U0010ffff/a"]),
    st.text(alphabet="ab/|é\U0010ffff", min_size=1, max_size=5),
)
NAMES = st.one_of(st.just(""), KEYS)
BODIES = st.builds(
    lambda seed, size: bytes([seed]) * size,
    st.integers(0, 255),
    st.sampled_from([0, 1, 100, 70_000, 200_000]),
)
CONDITIONS = st.sampled_from(
    [
        Conditions(),
        Conditions(if_none_match=("*",)),
        Conditions(if_match=("*",)),
        Conditions(if_match=("d41d8cd98f00b204e9800998ecf8427e",)),
        Conditions(if_size=100),
    ]
)
GOVERNED = "GOVERNANCE 9000000000000"
DELETES = st.builds(Delete, conditions=CONDITIONS, bypass_governance=st.booleans())
OLD = st.one_of(st.none(), st.integers(0, 3))
"""Which version of a key: none is named, or the newest, the one before it, ..."""
WRITES = st.builds(
    Write,
    headers=st.sampled_from([{}, {"content-type": "text/plain"}]),
    user=st.sampled_from([{}, {"a": "1"}, {"ö": "ü"}]),
    docs=st.sampled_from(
        [
            {},
            {},
            {Doc.ACL: "public-read"},
            {Doc.TAGGING: "{}"},
            {Doc.LEGAL_HOLD: "ON"},
            {Doc.RETENTION: GOVERNED},
        ]
    ),
    owner=st.sampled_from(["", "me"]),
    conditions=CONDITIONS,
)
READS = st.builds(
    Read,
    range=st.sampled_from(
        [None, ByteRange(0, 0), ByteRange(50, None), ByteRange(None, 10), ByteRange(99, 100_000)]
    ),
    conditions=CONDITIONS,
)


_VERSION = re.compile("[0-9A-Za-z]{32}(?<![0-9a-f]{32})")
"""Ids of versions; ETags are 32 hexadecimal digits."""


class Twins(RuleBasedStateMachine):
    """Every rule does the same to both, and compares what they say. Times, version ids and upload ids are their own."""

    uploads = Bundle("uploads")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.path = tempfile.mkdtemp()
        self.local = LocalBackend.open(self.path, durability="relaxed")
        self.model = MemoryBackend()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.local.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        report = fsck.check(self.path, verify=True)
        shutil.rmtree(self.path)
        assert report.ok, report
        assert report.alone

    def both(self, call):
        outcomes = [self.loop.run_until_complete(outcome(call, store)) for store in (self.local, self.model)]
        assert outcomes[0] == outcomes[1]

    def at(self, ref, old, call):
        """Do `call(store, ref)` with both, on a version of the key that each of them calls otherwise."""

        async def on(store):
            return await call(store, await version_of(store, ref, old))

        self.both(on)

    @rule(bucket=BUCKETS, owner=st.sampled_from(["", "me"]))
    def create_bucket(self, bucket, owner):
        self.both(lambda store: store.create_bucket(bucket, NewBucket(owner)))

    @rule(bucket=BUCKETS, state=st.sampled_from(["Enabled", "Enabled", "Suspended"]))
    def set_versioning(self, bucket, state):
        self.both(lambda store: store.put_doc(Ref(bucket, ""), Doc.VERSIONING, state))

    @rule(bucket=BUCKETS)
    def delete_bucket(self, bucket):
        self.both(lambda store: store.delete_bucket(bucket))

    @rule(bucket=BUCKETS, key=KEYS, body=BODIES, how=WRITES)
    def put_object(self, bucket, key, body, how):
        self.both(lambda store: put(store, Ref(bucket, key), body, how))

    @rule(bucket=BUCKETS, key=KEYS, old=OLD, how=READS)
    def read_object(self, bucket, key, old, how):
        self.at(Ref(bucket, key), old, lambda store, ref: get(store, ref, how))
        self.at(Ref(bucket, key), old, lambda store, ref: store.head_object(ref, how))

    @rule(bucket=BUCKETS, key=KEYS, old=OLD, how=DELETES)
    def delete_object(self, bucket, key, old, how):
        self.at(Ref(bucket, key), old, lambda store, ref: store.delete_object(ref, how))

    @rule(bucket=BUCKETS, keys=st.lists(st.tuples(KEYS, OLD), max_size=4), how=DELETES)
    def delete_objects(self, bucket, keys, how):
        async def delete(store):
            refs = [await version_of(store, Ref(bucket, key), old) for key, old in keys]
            return await store.delete_objects(bucket, [Doomed(ref.key, ref.version, how) for ref in refs])

        self.both(delete)

    @rule(
        source=BUCKETS,
        bucket=BUCKETS,
        keys=st.tuples(KEYS, KEYS),
        old=OLD,
        how=st.builds(Copy, write=WRITES, replace_metadata=st.booleans(), copy_tags=st.booleans()),
    )
    def copy_object(self, source, bucket, keys, old, how):
        target = Ref(bucket, keys[1])
        self.at(Ref(source, keys[0]), old, lambda store, ref: store.copy_object(ref, target, how))

    @rule(bucket=BUCKETS, keys=st.tuples(KEYS, KEYS))
    def rename_object(self, bucket, keys):
        self.both(lambda store: store.rename_object(Ref(bucket, keys[0]), Ref(bucket, keys[1])))

    @rule(bucket=BUCKETS, key=NAMES, old=OLD, content=st.sampled_from(["private", None]))
    def put_doc(self, bucket, key, old, content):
        self.at(Ref(bucket, key), old, lambda store, ref: store.put_doc(ref, Doc.ACL, content))
        self.at(Ref(bucket, key), old, lambda store, ref: store.get_doc(ref, Doc.ACL))

    @rule(
        bucket=BUCKETS,
        key=KEYS,
        old=OLD,
        change=st.sampled_from(
            [
                (Doc.LEGAL_HOLD, "ON"),
                (Doc.LEGAL_HOLD, "OFF"),
                (Doc.RETENTION, GOVERNED),
                (Doc.RETENTION, "GOVERNANCE 8000000000000"),
                (Doc.RETENTION, None),
            ]
        ),
        bypass=st.booleans(),
    )
    def lock(self, bucket, key, old, change, bypass):
        doc, content = change
        put = {"bypass_governance": bypass}
        self.at(Ref(bucket, key), old, lambda store, ref: store.put_doc(ref, doc, content, **put))

    @rule(
        bucket=BUCKETS,
        query=st.builds(
            ListQuery,
            prefix=NAMES,
            delimiter=st.sampled_from(["", "/", "//", "|", "a"]),
            after=NAMES,
            limit=st.sampled_from([0, 1, 2, 3, 1000]),
        ),
    )
    def list_objects(self, bucket, query):
        self.both(lambda store: store.list_objects(bucket, query))

    @rule(
        bucket=BUCKETS,
        prefix=NAMES,
        delimiter=st.sampled_from(["", "/", "//", "|", "a"]),
        after=NAMES,
        old=OLD,
        limit=st.sampled_from([0, 1, 2, 3, 1000]),
    )
    def list_versions(self, bucket, prefix, delimiter, after, old, limit):
        async def page(store):
            marker = await version_of(store, Ref(bucket, after), old)
            query = VersionQuery(prefix, delimiter, after, marker.version or "", limit)
            return await store.list_versions(bucket, query)

        self.both(page)

    @rule(target=uploads, bucket=BUCKETS, key=KEYS, how=WRITES)
    def create_upload(self, bucket, key, how):
        ref, ids = Ref(bucket, key), {}

        async def create(store):
            ids[store] = (await store.create_upload(ref, how)).upload

        self.both(create)
        return ref, ids

    @rule(made=uploads, number=st.integers(1, 3), body=BODIES)
    def put_part(self, made, number, body):
        ref, ids = made
        self.both(lambda store: put_part(store, ref, ids.get(store, ""), number, body))

    @rule(
        made=uploads, numbers=st.lists(st.integers(1, 3), unique=True, min_size=1, max_size=2), how=CONDITIONS
    )
    def complete_upload(self, made, numbers, how):
        ref, ids = made

        async def complete(store):
            upload = ids.get(store, "")
            etags = {part.number: part.etag for part in (await store.list_parts(ref, upload)).parts}
            lines = [ChosenPart(number, etags.get(number, "")) for number in numbers]
            return await store.complete_upload(ref, upload, Completion(lines, how))

        self.both(complete)

    @rule(made=consumes(uploads))
    def abort_upload(self, made):
        ref, ids = made
        self.both(lambda store: store.abort_upload(ref, ids.get(store, "")))

    @rule(
        bucket=BUCKETS,
        query=st.builds(
            UploadQuery,
            prefix=NAMES,
            delimiter=st.sampled_from(["", "/"]),
            after=NAMES,
            limit=st.sampled_from([1, 1000]),
        ),
    )
    def list_uploads(self, bucket, query):
        async def keys(store):
            page = await store.list_uploads(bucket, query)
            return [info.key for info in page.uploads], list(page.prefixes), page.next

        self.both(keys)

    @invariant()
    def buckets_agree(self):
        async def names(store):
            return [bucket.name for bucket in (await store.list_buckets(BucketQuery())).buckets]

        self.both(names)


async def version_of(store, ref, old):
    """The same with the id of the version that so many are newer than, or of the last; unnamed if there is none."""
    if old is None or not ref.key:
        return ref
    try:
        page = await store.list_versions(ref.bucket, VersionQuery(prefix=ref.key))
    except S3Error:
        return ref
    versions = [entry.version or "null" for entry in page.entries if entry.key == ref.key]
    return Ref(ref.bucket, ref.key, versions[min(old, len(versions) - 1)]) if versions else ref


async def outcome(call, store):
    """What a call says, without what differs by nature: times, ids, the kind of a body."""
    try:
        return plain(await call(store))
    except S3Error as error:
        return plain(error)


def plain(value):
    """Comparable values, without times and ids."""
    if isinstance(value, S3Error):
        headers = {name: plain(text) for name, text in value.headers.items() if name != "last-modified"}
        fields = {name: plain(text) for name, text in value.fields.items() if name != "UploadId"}
        return value.code, fields, headers
    if isinstance(value, str) and _VERSION.fullmatch(value):
        return "a version"
    if hasattr(value, "_asdict"):  # before tuple, which a NamedTuple is too
        return {name: plain(item) for name, item in value._asdict().items() if name != "modified"}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        hidden = {"modified", "created", "initiated", "body", "close"}
        return {
            name: plain(getattr(value, name)) for name in value.__dataclass_fields__ if name not in hidden
        }
    return dict(value) if hasattr(value, "keys") else value


TestTwins = Twins.TestCase
TestTwins.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
