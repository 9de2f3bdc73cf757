"""Why an operation of S3's model answers 501, by the first word of its selector in the operations table.

A configuration that nothing would act on is refused, never kept: kept, it would be a lie.
"""

from collections.abc import Mapping

_TIERS = "every object here is kept alike, so there is nothing to move, and no other tier to move it to"
_REPORTS = "no such reports are made here"
_TABLES = "there are no S3 tables beside the objects; list the bucket instead"

REASONS: Mapping[str, str] = {
    "abac": "policies can ask for tags (s3:ExistingObjectTag) without being told to",
    "accelerate": "there is one endpoint, and it is as fast as it can be",
    "analytics": _REPORTS,
    "annotation": "annotations are not kept yet; user metadata and tags are",
    "encryption": "the encryption of an object changes when it is copied onto itself",
    "intelligent-tiering": _TIERS,
    "inventory": _REPORTS,
    "metadataAnnotationTable": _TABLES,
    "metadataConfiguration": _TABLES,
    "metadataInventoryTable": _TABLES,
    "metadataJournalTable": _TABLES,
    "metadataTable": _TABLES,
    "metrics": _REPORTS,
    "replication": "one gateway keeps one copy; replication among several stores is the gateway's own affair",
    "route": "there is no Object Lambda",
    "session": "there are no directory buckets; signatures are cheap here",
    "torrent": "AWS itself gave it up",
}


def reason(selector: str) -> str:
    """Why the operation with this selector is not served; empty if nobody said."""
    return REASONS.get(selector.partition(" ")[0], "")
