"""Listings: order, prefixes, delimiters, pages."""

import pytest
from payloads import put

from backends.base import ListQuery, Ref

KEYS = [
    "a",
    "a/1",
    "a/2",
    "a/b/1",
    "a0",
    "b/1",
    "b//2",
    "c",
    "x|y",
    "x|z|1",
    "é/1",
    "\uffff/1",
    "\U0010ffff",
    "\U0010ffff/1",
]


@pytest.fixture
async def filled(store):
    for key in KEYS:
        await put(store, Ref("b", key), key.encode())
    return store


async def pages(store, **options):
    """All pages of a listing, as lists of names in the order of a merge."""
    after, found = options.pop("after", ""), []
    while True:
        page = await store.list_objects("b", ListQuery(after=after, **options))
        found.append(sorted([e.key for e in page.entries] + list(page.prefixes), key=str.encode))
        if not page.next:
            return found
        after = page.next
        assert found[-1][-1] == after


async def listed(store, **options):
    return [name for page in await pages(store, **options) for name in page]


def expected(prefix="", delimiter="", after=""):
    """The plain rule of a listing that starts at the beginning or after a key."""
    names = []
    for key in sorted(KEYS, key=str.encode):
        if not key.startswith(prefix) or key <= after:
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        name = prefix + head + delimiter if found else key
        if name not in names:
            names.append(name)
    return names


async def test_an_empty_bucket_lists_nothing(store):
    page = await store.list_objects("b", ListQuery())
    assert (list(page.entries), list(page.prefixes), page.next) == ([], [], "")


async def test_an_entry_tells_what_a_head_tells(store):
    made = await put(store, Ref("b", "k"), b"12345")
    (entry,) = (await store.list_objects("b", ListQuery())).entries
    assert entry == ("k", 5, made.etag, made.modified, "STANDARD", "CRC64NVME", "FULL_OBJECT", "")


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("delimiter", ["", "/", "|", "//", "1", "/1"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "b/", "x|", "é", "\U0010ffff", "none", "a/b/1"])
async def test_every_listing_holds_what_the_rule_says(filled, prefix, delimiter, limit):
    options = {"prefix": prefix, "delimiter": delimiter}
    assert await listed(filled, limit=limit, **options) == expected(**options)


@pytest.mark.parametrize("after", [*KEYS, "a/", "0", "\U0010ffff\U0010ffff"])
async def test_a_listing_continues_after_any_name(filled, after):
    assert await listed(filled, after=after) == expected(after=after)


async def test_after_a_common_prefix_all_under_it_is_skipped(filled):
    assert await listed(filled, delimiter="/", after="a/") == [n for n in expected(delimiter="/") if n > "a/"]


async def test_after_inside_a_common_prefix_it_still_shows_if_a_later_key_is_in_it(filled):
    assert (await listed(filled, delimiter="/", after="a/1"))[0] == "a/"
    assert (await listed(filled, delimiter="/", after="a/b/1"))[0] == "a0"


async def test_after_before_the_prefix_changes_nothing(filled):
    assert await listed(filled, prefix="b/", after="a/1") == ["b//2", "b/1"]


async def test_after_beyond_the_prefix_is_the_end(filled):
    assert await listed(filled, prefix="a/", after="c") == []


async def test_a_limit_of_zero_is_an_empty_last_page(filled):
    for delimiter in ("", "/"):
        page = await filled.list_objects("b", ListQuery(limit=0, delimiter=delimiter))
        assert (list(page.entries), list(page.prefixes), page.next) == ([], [], "")


async def test_entries_and_prefixes_share_the_limit(filled):
    page = await filled.list_objects("b", ListQuery(limit=3, delimiter="/"))
    assert ([entry.key for entry in page.entries], page.prefixes, page.next) == (["a", "a0"], ["a/"], "a0")


async def test_a_full_last_page_has_no_next(filled):
    assert (await filled.list_objects("b", ListQuery(limit=len(KEYS)))).next == ""


async def test_other_buckets_do_not_show(filled):
    await filled.create_bucket("c")
    await put(filled, Ref("c", "other"), b"")
    assert "other" not in await listed(filled)


async def test_many_keys_under_few_prefixes_fold(store):
    for prefix in ("p", "q"):
        for number in range(30):
            await put(store, Ref("b", f"{prefix}/{number:02d}"), b"")
    page = await store.list_objects("b", ListQuery(delimiter="/"))
    assert (list(page.entries), page.prefixes, page.next) == ([], ["p/", "q/"], "")
