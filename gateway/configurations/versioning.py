"""`?versioning`: whether a bucket keeps what is replaced. Kept as the word alone, which every write looks at.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketVersioning.html
"""

from backends.base import Doc
from backends.versions import ENABLED, SUSPENDED
from gateway import xml
from gateway.context import Context
from gateway.errors import (
    IllegalVersioningConfigurationException,
    InvalidBucketState,
    MalformedXML,
    NotImplemented_,
)

STATES = (ENABLED, SUSPENDED)


def read(data: bytes, context: Context) -> str:
    """The state that a VersioningConfiguration asks for.

    Raises MalformedXML, IllegalVersioningConfigurationException, InvalidBucketState (object lock needs versions),
    NotImplemented (MFA delete).
    """
    found = xml.fields(xml.parse(data, "VersioningConfiguration"))
    if found.keys() - {"Status", "MfaDelete"}:
        raise MalformedXML()
    if found.get("MfaDelete", "Disabled") != "Disabled":
        if found["MfaDelete"] != "Enabled":
            raise MalformedXML()
        raise NotImplemented_("MFA delete is not supported: there are no MFA devices here.")
    status = found.get("Status")
    if status is None:
        raise IllegalVersioningConfigurationException()
    if status not in STATES:
        raise MalformedXML()
    if status == SUSPENDED and context.document_of_bucket(Doc.OBJECT_LOCK):
        raise InvalidBucketState(
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        )
    return status


def show(status: str) -> bytes:
    """The document that GET answers."""
    return xml.document("VersioningConfiguration", xml.element("Status", status))
