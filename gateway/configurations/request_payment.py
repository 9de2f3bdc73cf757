"""`?requestPayment`: who pays for requests. Kept as the XML that GET answers; see `gateway.payment` for its effect.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketRequestPayment.html
"""

import functools
from dataclasses import dataclass

from gateway import xml
from gateway.context import Context
from gateway.errors import MalformedXML

_PAYERS = ("BucketOwner", "Requester")


@dataclass(frozen=True, slots=True)
class RequestPayment:
    """Whether who asks pays, instead of the bucket's owner."""

    requester: bool = False


def read(data: bytes, _: Context | None = None) -> str:
    """The document to keep. Raises MalformedXML."""
    found = xml.fields(xml.parse(data, "RequestPaymentConfiguration"))
    if found.keys() != {"Payer"} or found["Payer"] not in _PAYERS:
        raise MalformedXML()
    return show(found["Payer"]).decode()


def show(payer: str) -> bytes:
    """The document that names the payer."""
    return xml.document("RequestPaymentConfiguration", xml.element("Payer", payer))


ABSENT = show("BucketOwner")
"""What GET answers where nothing was put."""


@functools.lru_cache(maxsize=64)
def load(text: str) -> RequestPayment:
    """The kept configuration."""
    payer = xml.text(xml.parse(text.encode(), "RequestPaymentConfiguration"), "Payer")
    return RequestPayment(payer == "Requester")
