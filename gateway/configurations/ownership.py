"""`?ownershipControls`: who owns the objects of a bucket, and hence whether ACLs count. Kept as the word alone.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
"""

from auth import acl
from auth.access import ENFORCED
from backends.base import Doc
from gateway import xml
from gateway.context import Context
from gateway.errors import InvalidBucketAclWithObjectOwnership, MalformedXML

PREFERRED, WRITER = "BucketOwnerPreferred", "ObjectWriter"
OWNERSHIPS = (ENFORCED, PREFERRED, WRITER)


def read(data: bytes, context: Context) -> str:
    """The setting of an OwnershipControls document.

    Raises MalformedXML, InvalidBucketAclWithObjectOwnership (the bucket's ACL grants something to others).
    """
    rules = xml.children(xml.parse(data, "OwnershipControls"), "Rule")
    setting = xml.text(rules[0], "ObjectOwnership") if len(rules) == 1 else None
    if setting not in OWNERSHIPS:
        raise MalformedXML()
    if setting == ENFORCED and not acl.is_private(
        acl.load(context.document_of_bucket(Doc.ACL), context.bucket_owner)
    ):
        raise InvalidBucketAclWithObjectOwnership()
    return setting


def show(setting: str) -> bytes:
    """The document that GET answers."""
    return xml.document("OwnershipControls", xml.element("Rule", xml.element("ObjectOwnership", setting)))
