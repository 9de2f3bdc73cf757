"""Columns that hold more than one value: how they are written and read."""

import json

from backends.base import ChecksumType, Doc, Write


def encode_write(write: Write) -> str:
    """The column `write` of an upload: all of a Write but its conditions, which are the completion's."""
    return json.dumps(
        {
            "headers": dict(write.headers),
            "user": dict(write.user),
            "docs": dict(write.docs),
            "storage_class": write.storage_class,
            "owner": write.owner,
            "initiator": write.initiator,
            "checksum_algorithm": write.checksum_algorithm,
            "checksum_type": write.checksum_type,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def decode_write(text: str) -> Write:
    """The reverse."""
    values = json.loads(text)
    kind = values["checksum_type"]
    return Write(
        headers=values["headers"],
        user=values["user"],
        docs={Doc(name): content for name, content in values["docs"].items()},
        storage_class=values["storage_class"],
        owner=values.get("owner", ""),  # schema 1 had none
        initiator=values.get("initiator", ""),
        checksum_algorithm=values["checksum_algorithm"],
        checksum_type=kind and ChecksumType(kind),
    )
