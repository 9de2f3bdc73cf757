"""Requester Pays: who is not the bucket's owner says that the request may be charged to the caller, or is refused.

Nothing is billed here. What counts is the consent: a bucket that its owner made Requester Pays serves nobody by accident.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html
"""

from auth.identity import OWNER_ID
from backends.base import BucketInfo, Doc
from gateway.configurations import request_payment
from gateway.context import Context
from gateway.errors import AccessDenied

HEADER = "x-amz-request-payer"
"""Of a request: a header, or a parameter of the query."""


def check(context: Context, bucket: BucketInfo | None = None) -> None:
    """Raise AccessDenied if the caller must agree to pay and does not. `bucket` None: the request's; no I/O."""
    if _is_charged(context, bucket or context.bucket) and not _agrees(context):
        raise AccessDenied()


def headers(context: Context) -> dict[str, str]:
    """The headers of an answer that the caller was charged for."""
    return {"x-amz-request-charged": "requester"} if _is_charged(context, context.bucket) else {}


def _is_charged(context: Context, bucket: BucketInfo) -> bool:
    """Whether it is for the caller to pay: neither the bucket's owner nor the owner of everything, who runs the gateway."""
    text = bucket.docs.get(Doc.REQUEST_PAYMENT)
    if text is None or not request_payment.load(text).requester:
        return False
    identity = context.identity
    return identity.anonymous or (
        not identity.owns_everything and identity.account != (bucket.owner or OWNER_ID)
    )


def _agrees(context: Context) -> bool:
    """An anonymous caller has no account that could be charged."""
    return not context.identity.anonymous and "requester" in (context.header(HEADER), context.param(HEADER))
