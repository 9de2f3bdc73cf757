"""Random sequences of operations: the local backend answers what the model in memory answers."""

import asyncio
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
    Doc,
    Doomed,
    ListQuery,
    Read,
    Ref,
    UploadQuery,
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
WRITES = st.builds(
    Write,
    headers=st.sampled_from([{}, {"content-type": "text/plain"}]),
    user=st.sampled_from([{}, {"a": "1"}, {"ö": "ü"}]),
    docs=st.sampled_from([{}, {Doc.ACL: "public-read"}]),
    conditions=CONDITIONS,
)
READS = st.builds(
    Read,
    range=st.sampled_from(
        [None, ByteRange(0, 0), ByteRange(50, None), ByteRange(None, 10), ByteRange(99, 100_000)]
    ),
    conditions=CONDITIONS,
)


class Twins(RuleBasedStateMachine):
    """Every rule does the same to both, and compares what they say. Times and upload ids are their own."""

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

    @rule(bucket=BUCKETS)
    def create_bucket(self, bucket):
        self.both(lambda store: store.create_bucket(bucket))

    @rule(bucket=BUCKETS)
    def delete_bucket(self, bucket):
        self.both(lambda store: store.delete_bucket(bucket))

    @rule(bucket=BUCKETS, key=KEYS, body=BODIES, how=WRITES)
    def put_object(self, bucket, key, body, how):
        self.both(lambda store: put(store, Ref(bucket, key), body, how))

    @rule(bucket=BUCKETS, key=KEYS, how=READS)
    def read_object(self, bucket, key, how):
        self.both(lambda store: get(store, Ref(bucket, key), how))
        self.both(lambda store: store.head_object(Ref(bucket, key), how))

    @rule(bucket=BUCKETS, key=KEYS, conditions=CONDITIONS)
    def delete_object(self, bucket, key, conditions):
        self.both(lambda store: store.delete_object(Ref(bucket, key), conditions))

    @rule(bucket=BUCKETS, keys=st.lists(KEYS, max_size=4), conditions=CONDITIONS)
    def delete_objects(self, bucket, keys, conditions):
        doomed = [Doomed(key, conditions=conditions) for key in keys]
        self.both(lambda store: store.delete_objects(bucket, doomed))

    @rule(source=BUCKETS, bucket=BUCKETS, keys=st.tuples(KEYS, KEYS), how=WRITES, replace=st.booleans())
    def copy_object(self, source, bucket, keys, how, replace):
        copy = Copy(write=how, replace_metadata=replace)
        self.both(lambda store: store.copy_object(Ref(source, keys[0]), Ref(bucket, keys[1]), copy))

    @rule(bucket=BUCKETS, keys=st.tuples(KEYS, KEYS))
    def rename_object(self, bucket, keys):
        self.both(lambda store: store.rename_object(Ref(bucket, keys[0]), Ref(bucket, keys[1])))

    @rule(bucket=BUCKETS, key=NAMES, content=st.sampled_from(["private", None]))
    def put_doc(self, bucket, key, content):
        self.both(lambda store: store.put_doc(Ref(bucket, key), Doc.ACL, content))
        self.both(lambda store: store.get_doc(Ref(bucket, key), Doc.ACL))

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


async def outcome(call, store):
    """What a call says, without what differs by nature: times, ids, the kind of a body."""
    try:
        return plain(await call(store))
    except S3Error as error:
        fields = {name: value for name, value in error.fields.items() if name != "UploadId"}
        return error.code, fields


def plain(value):
    """Comparable values, without times."""
    if isinstance(value, S3Error):
        return value.code, value.fields
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
