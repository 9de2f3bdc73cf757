"""Buckets: created, listed, removed."""

import pytest
from payloads import BytesPayload, get, put
from refusals import refused

from backends.base import (
    Backend,
    BucketQuery,
    Doc,
    ListQuery,
    Multipart,
    NewBucket,
    Ref,
    UploadQuery,
    Versioned,
    VersionQuery,
    Write,
)
from gateway.errors import S3Error


async def test_the_backend_satisfies_all_protocols(empty):
    assert isinstance(empty, Backend)
    assert isinstance(empty, Versioned)
    assert isinstance(empty, Multipart)


async def test_a_created_bucket_is_there(empty):
    await empty.create_bucket("one", NewBucket(docs={Doc.ACL: "public-read"}))
    info = await empty.head_bucket("one")
    assert (info.name, dict(info.docs)) == ("one", {Doc.ACL: "public-read"})
    assert info.created > 1_600_000_000_000


async def test_creating_a_bucket_twice_is_refused(store):
    with refused("BucketAlreadyOwnedByYou", BucketName="b"):
        await store.create_bucket("b")


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.head_bucket("no"),
        lambda s: s.delete_bucket("no"),
        lambda s: s.head_object(Ref("no", "k")),
        lambda s: s.open_object(Ref("no", "k")),
        lambda s: s.copy_object(Ref("no", "k"), Ref("b", "k")),
        lambda s: s.rename_object(Ref("no", "k"), Ref("no", "l")),
        lambda s: s.delete_object(Ref("no", "k")),
        lambda s: s.delete_objects("no", []),
        lambda s: s.list_objects("no", ListQuery()),
        lambda s: s.list_objects("no", ListQuery(delimiter="/")),
        lambda s: s.list_versions("no", VersionQuery()),
        lambda s: s.head_object(Ref("no", "k", "null")),
        lambda s: s.delete_object(Ref("no", "k", "null")),
        lambda s: s.get_doc(Ref("no", ""), Doc.ACL),
        lambda s: s.put_doc(Ref("no", ""), Doc.ACL, "private"),
        lambda s: s.put_doc(Ref("no", "k"), Doc.ACL, "private"),
        lambda s: s.create_upload(Ref("no", "k"), Write()),
        lambda s: s.list_uploads("no", UploadQuery()),
        lambda s: s.head_upload(Ref("no", "k"), "u"),
    ],
)
async def test_everything_in_a_missing_bucket_is_no_such_bucket(store, call):
    with refused("NoSuchBucket", BucketName="no"):
        await call(store)


async def test_a_put_into_a_missing_bucket_is_refused_before_the_body_is_read(store):
    payload = BytesPayload(b"data")
    with refused("NoSuchBucket"):
        await store.put_object(Ref("no", "k"), payload)
    assert payload.sealed == 0


async def test_copying_into_a_missing_bucket_is_refused(store):
    await put(store, Ref("b", "k"), b"x")
    with refused("NoSuchBucket", BucketName="no"):
        await store.copy_object(Ref("b", "k"), Ref("no", "k"))


async def test_a_bucket_with_an_object_is_not_removed(store):
    await put(store, Ref("b", "k"), b"x")
    with refused("BucketNotEmpty", BucketName="b"):
        await store.delete_bucket("b")
    assert await get(store, Ref("b", "k")) == b"x"


async def test_uploads_in_flight_go_with_their_bucket(store):
    upload = await store.create_upload(Ref("b", "k"), Write())
    await store.put_part(Ref("b", "k"), upload.upload, 1, BytesPayload(b"part"))
    await store.delete_bucket("b")
    await store.create_bucket("b")
    assert (await store.list_uploads("b", UploadQuery())).uploads == []
    with refused("NoSuchUpload"):
        await store.head_upload(Ref("b", "k"), upload.upload)


async def test_buckets_are_listed_by_name_in_pages(empty):
    for name in ("b2", "a", "b10", "c", "b1"):
        await empty.create_bucket(name)
    names, query = [], BucketQuery(prefix="b", limit=2)
    while True:
        page = await empty.list_buckets(query)
        names.append([bucket.name for bucket in page.buckets])
        if not page.next:
            break
        query = BucketQuery(prefix="b", limit=2, after=page.next)
    assert names == [["b1", "b10"], ["b2"]]
    assert len((await empty.list_buckets(BucketQuery())).buckets) == 5


async def test_a_document_of_a_bucket_is_kept_and_removed(store):
    ref = Ref("b", "")
    assert await store.get_doc(ref, Doc.ACL) is None
    await store.put_doc(ref, Doc.ACL, "public-read")
    assert await store.get_doc(ref, Doc.ACL) == "public-read"
    assert (await store.head_bucket("b")).docs == {Doc.ACL: "public-read"}
    await store.put_doc(ref, Doc.ACL, None)
    assert await store.get_doc(ref, Doc.ACL) is None


async def test_a_refusal_is_an_s3_error_with_a_status(store):
    with pytest.raises(S3Error) as caught:
        await store.head_bucket("no")
    assert caught.value.status == 404
