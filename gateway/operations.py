"""THE table of operations: every operation of S3's model, how a request names it, who may call it, who answers.

A request names its operation by method, level (service, bucket, object) and selector. The selector is what its
query and headers add: a subresource (`tagging`), an upload (`uploadId`), a copy source. A row without a handler
answers 501 NotImplemented, so that no subresource ever falls through to PutObject or CreateBucket.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html;
a test compares the table with botocore's model.
"""

from collections.abc import Iterable

from gateway.context import Level, Operation
from gateway.errors import (
    InvalidArgument,
    InvalidRequest,
    MethodNotAllowed,
    S3Error,
)
from gateway.handlers import (
    acl,
    bucket,
    copy,
    form,
    listing,
    locks,
    multipart,
    notices,
    objects,
    select,
    subresources,
    tagging,
)
from gateway.request import Request

_S, _B, _O = Level.SERVICE, Level.BUCKET, Level.OBJECT

# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    Operation("ListBuckets", "GET", _S, "", "s3:ListAllMyBuckets", bucket.list_buckets, ("ListDirectoryBuckets",)),

    Operation("CreateBucket", "PUT", _B, "", "s3:CreateBucket", bucket.create_bucket),
    Operation("HeadBucket", "HEAD", _B, "", "s3:ListBucket", bucket.head_bucket),
    Operation("DeleteBucket", "DELETE", _B, "", "s3:DeleteBucket", bucket.delete_bucket),
    Operation("GetBucketLocation", "GET", _B, "location", "s3:GetBucketLocation", bucket.get_bucket_location),
    Operation("ListObjects", "GET", _B, "", "s3:ListBucket", listing.list_objects),
    Operation("ListObjectsV2", "GET", _B, "list-type", "s3:ListBucket", listing.list_objects_v2),
    Operation("ListObjectVersions", "GET", _B, "versions", "s3:ListBucketVersions", listing.list_object_versions),
    Operation("ListMultipartUploads", "GET", _B, "uploads", "s3:ListBucketMultipartUploads", multipart.list_multipart_uploads),
    Operation("DeleteObjects", "POST", _B, "delete", "s3:DeleteObject", objects.delete_objects, per_item=True),
    Operation("PostObject", "POST", _B, "", "s3:PutObject", form.post_object, streams=True, form=True),

    Operation("GetObject", "GET", _O, "", "s3:GetObject", objects.get_object,
              versioned_action="s3:GetObjectVersion"),
    Operation("HeadObject", "HEAD", _O, "", "s3:GetObject", objects.head_object,
              versioned_action="s3:GetObjectVersion"),
    Operation("GetObjectAttributes", "GET", _O, "attributes", "s3:GetObjectAttributes", objects.get_object_attributes,
              versioned_action="s3:GetObjectVersionAttributes"),
    Operation("PutObject", "PUT", _O, "", "s3:PutObject", objects.put_object, streams=True),
    Operation("CopyObject", "PUT", _O, "copy", "s3:PutObject", copy.copy_object),
    Operation("RenameObject", "PUT", _O, "renameObject", "s3express:CreateSession", copy.rename_object),
    Operation("DeleteObject", "DELETE", _O, "", "s3:DeleteObject", objects.delete_object,
              versioned_action="s3:DeleteObjectVersion"),

    Operation("CreateMultipartUpload", "POST", _O, "uploads", "s3:PutObject", multipart.create_multipart_upload),
    Operation("UploadPart", "PUT", _O, "uploadId", "s3:PutObject", multipart.upload_part, streams=True),
    Operation("UploadPartCopy", "PUT", _O, "uploadId copy", "s3:PutObject", copy.upload_part_copy),
    Operation("ListParts", "GET", _O, "uploadId", "s3:ListMultipartUploadParts", multipart.list_parts),
    Operation("CompleteMultipartUpload", "POST", _O, "uploadId", "s3:PutObject", multipart.complete_multipart_upload),
    Operation("AbortMultipartUpload", "DELETE", _O, "uploadId", "s3:AbortMultipartUpload", multipart.abort_multipart_upload),

    Operation("GetBucketAcl", "GET", _B, "acl", "s3:GetBucketAcl", acl.get_bucket_acl),
    Operation("PutBucketAcl", "PUT", _B, "acl", "s3:PutBucketAcl", acl.put_bucket_acl),
    Operation("GetObjectAcl", "GET", _O, "acl", "s3:GetObjectAcl", acl.get_object_acl,
              versioned_action="s3:GetObjectVersionAcl"),
    Operation("PutObjectAcl", "PUT", _O, "acl", "s3:PutObjectAcl", acl.put_object_acl,
              versioned_action="s3:PutObjectVersionAcl"),

    # Configurations. Of one that cannot be set, reading says truthfully that there is none; what would set it answers 501.
    Operation("GetBucketAccelerateConfiguration", "GET", _B, "accelerate", "s3:GetAccelerateConfiguration", subresources.never_set),
    Operation("PutBucketAccelerateConfiguration", "PUT", _B, "accelerate", "s3:PutAccelerateConfiguration"),
    Operation("GetBucketCors", "GET", _B, "cors", "s3:GetBucketCORS", subresources.get),
    Operation("PutBucketCors", "PUT", _B, "cors", "s3:PutBucketCORS", subresources.put),
    Operation("DeleteBucketCors", "DELETE", _B, "cors", "s3:PutBucketCORS", subresources.delete),
    Operation("GetBucketEncryption", "GET", _B, "encryption", "s3:GetEncryptionConfiguration", subresources.get),
    Operation("PutBucketEncryption", "PUT", _B, "encryption", "s3:PutEncryptionConfiguration", subresources.put),
    Operation("DeleteBucketEncryption", "DELETE", _B, "encryption", "s3:PutEncryptionConfiguration", subresources.delete),
    Operation("GetBucketLifecycleConfiguration", "GET", _B, "lifecycle", "s3:GetLifecycleConfiguration",
              subresources.get, ("GetBucketLifecycle",)),
    Operation("PutBucketLifecycleConfiguration", "PUT", _B, "lifecycle", "s3:PutLifecycleConfiguration", subresources.put,
              aliases=("PutBucketLifecycle",)),
    Operation("DeleteBucketLifecycle", "DELETE", _B, "lifecycle", "s3:PutLifecycleConfiguration", subresources.delete),
    Operation("GetBucketLogging", "GET", _B, "logging", "s3:GetBucketLogging", subresources.get),
    Operation("PutBucketLogging", "PUT", _B, "logging", "s3:PutBucketLogging", notices.put_bucket_logging),
    Operation("GetBucketNotificationConfiguration", "GET", _B, "notification", "s3:GetBucketNotification",
              subresources.get, ("GetBucketNotification",)),
    Operation("PutBucketNotificationConfiguration", "PUT", _B, "notification", "s3:PutBucketNotification",
              notices.put_bucket_notification, aliases=("PutBucketNotification",)),
    Operation("GetBucketOwnershipControls", "GET", _B, "ownershipControls", "s3:GetBucketOwnershipControls", subresources.get),
    Operation("PutBucketOwnershipControls", "PUT", _B, "ownershipControls", "s3:PutBucketOwnershipControls", subresources.put),
    Operation("DeleteBucketOwnershipControls", "DELETE", _B, "ownershipControls", "s3:PutBucketOwnershipControls", subresources.delete),
    Operation("GetBucketPolicy", "GET", _B, "policy", "s3:GetBucketPolicy", subresources.get),
    Operation("PutBucketPolicy", "PUT", _B, "policy", "s3:PutBucketPolicy", subresources.put),
    Operation("DeleteBucketPolicy", "DELETE", _B, "policy", "s3:DeleteBucketPolicy", subresources.delete),
    Operation("GetBucketPolicyStatus", "GET", _B, "policyStatus", "s3:GetBucketPolicyStatus", subresources.policy_status),
    Operation("GetPublicAccessBlock", "GET", _B, "publicAccessBlock", "s3:GetBucketPublicAccessBlock", subresources.get),
    Operation("PutPublicAccessBlock", "PUT", _B, "publicAccessBlock", "s3:PutBucketPublicAccessBlock", subresources.put),
    Operation("DeletePublicAccessBlock", "DELETE", _B, "publicAccessBlock", "s3:PutBucketPublicAccessBlock", subresources.delete),
    Operation("GetBucketReplication", "GET", _B, "replication", "s3:GetReplicationConfiguration", subresources.never_set),
    Operation("PutBucketReplication", "PUT", _B, "replication", "s3:PutReplicationConfiguration"),
    Operation("DeleteBucketReplication", "DELETE", _B, "replication", "s3:PutReplicationConfiguration"),
    Operation("GetBucketRequestPayment", "GET", _B, "requestPayment", "s3:GetBucketRequestPayment", subresources.get),
    Operation("PutBucketRequestPayment", "PUT", _B, "requestPayment", "s3:PutBucketRequestPayment", subresources.put),
    Operation("GetBucketTagging", "GET", _B, "tagging", "s3:GetBucketTagging", subresources.get),
    Operation("PutBucketTagging", "PUT", _B, "tagging", "s3:PutBucketTagging", subresources.put),
    Operation("DeleteBucketTagging", "DELETE", _B, "tagging", "s3:PutBucketTagging", subresources.delete),
    Operation("GetBucketVersioning", "GET", _B, "versioning", "s3:GetBucketVersioning", subresources.get),
    Operation("PutBucketVersioning", "PUT", _B, "versioning", "s3:PutBucketVersioning", subresources.put),
    Operation("GetBucketWebsite", "GET", _B, "website", "s3:GetBucketWebsite", subresources.get),
    Operation("PutBucketWebsite", "PUT", _B, "website", "s3:PutBucketWebsite", subresources.put),
    Operation("DeleteBucketWebsite", "DELETE", _B, "website", "s3:DeleteBucketWebsite", subresources.delete),
    Operation("GetObjectLockConfiguration", "GET", _B, "object-lock", "s3:GetBucketObjectLockConfiguration", subresources.get),
    Operation("PutObjectLockConfiguration", "PUT", _B, "object-lock", "s3:PutBucketObjectLockConfiguration", subresources.put),
    Operation("GetObjectTagging", "GET", _O, "tagging", "s3:GetObjectTagging", tagging.get_object_tagging,
              versioned_action="s3:GetObjectVersionTagging"),
    Operation("PutObjectTagging", "PUT", _O, "tagging", "s3:PutObjectTagging", tagging.put_object_tagging,
              versioned_action="s3:PutObjectVersionTagging"),
    Operation("DeleteObjectTagging", "DELETE", _O, "tagging", "s3:DeleteObjectTagging", tagging.delete_object_tagging,
              versioned_action="s3:DeleteObjectVersionTagging"),

    Operation("GetBucketAbac", "GET", _B, "abac", "s3:GetBucketAbac"),
    Operation("PutBucketAbac", "PUT", _B, "abac", "s3:PutBucketAbac"),
    Operation("ListBucketAnalyticsConfigurations", "GET", _B, "analytics", "s3:GetAnalyticsConfiguration"),
    Operation("GetBucketAnalyticsConfiguration", "GET", _B, "analytics id", "s3:GetAnalyticsConfiguration"),
    Operation("PutBucketAnalyticsConfiguration", "PUT", _B, "analytics id", "s3:PutAnalyticsConfiguration"),
    Operation("DeleteBucketAnalyticsConfiguration", "DELETE", _B, "analytics id", "s3:PutAnalyticsConfiguration"),
    Operation("ListBucketIntelligentTieringConfigurations", "GET", _B, "intelligent-tiering",
              "s3:GetIntelligentTieringConfiguration"),
    Operation("GetBucketIntelligentTieringConfiguration", "GET", _B, "intelligent-tiering id",
              "s3:GetIntelligentTieringConfiguration"),
    Operation("PutBucketIntelligentTieringConfiguration", "PUT", _B, "intelligent-tiering id",
              "s3:PutIntelligentTieringConfiguration"),
    Operation("DeleteBucketIntelligentTieringConfiguration", "DELETE", _B, "intelligent-tiering id",
              "s3:PutIntelligentTieringConfiguration"),
    Operation("ListBucketInventoryConfigurations", "GET", _B, "inventory", "s3:GetInventoryConfiguration"),
    Operation("GetBucketInventoryConfiguration", "GET", _B, "inventory id", "s3:GetInventoryConfiguration"),
    Operation("PutBucketInventoryConfiguration", "PUT", _B, "inventory id", "s3:PutInventoryConfiguration"),
    Operation("DeleteBucketInventoryConfiguration", "DELETE", _B, "inventory id", "s3:PutInventoryConfiguration"),
    Operation("ListBucketMetricsConfigurations", "GET", _B, "metrics", "s3:GetMetricsConfiguration"),
    Operation("GetBucketMetricsConfiguration", "GET", _B, "metrics id", "s3:GetMetricsConfiguration"),
    Operation("PutBucketMetricsConfiguration", "PUT", _B, "metrics id", "s3:PutMetricsConfiguration"),
    Operation("DeleteBucketMetricsConfiguration", "DELETE", _B, "metrics id", "s3:PutMetricsConfiguration"),
    Operation("CreateBucketMetadataConfiguration", "POST", _B, "metadataConfiguration", "s3:CreateBucketMetadataTableConfiguration"),
    Operation("GetBucketMetadataConfiguration", "GET", _B, "metadataConfiguration", "s3:GetBucketMetadataTableConfiguration"),
    Operation("DeleteBucketMetadataConfiguration", "DELETE", _B, "metadataConfiguration",
              "s3:DeleteBucketMetadataTableConfiguration"),
    Operation("CreateBucketMetadataTableConfiguration", "POST", _B, "metadataTable", "s3:CreateBucketMetadataTableConfiguration"),
    Operation("GetBucketMetadataTableConfiguration", "GET", _B, "metadataTable", "s3:GetBucketMetadataTableConfiguration"),
    Operation("DeleteBucketMetadataTableConfiguration", "DELETE", _B, "metadataTable", "s3:DeleteBucketMetadataTableConfiguration"),
    Operation("UpdateBucketMetadataAnnotationTableConfiguration", "PUT", _B, "metadataAnnotationTable",
              "s3:UpdateBucketMetadataAnnotationTableConfiguration"),
    Operation("UpdateBucketMetadataInventoryTableConfiguration", "PUT", _B, "metadataInventoryTable",
              "s3:UpdateBucketMetadataInventoryTableConfiguration"),
    Operation("UpdateBucketMetadataJournalTableConfiguration", "PUT", _B, "metadataJournalTable",
              "s3:UpdateBucketMetadataJournalTableConfiguration"),
    Operation("CreateSession", "GET", _B, "session", "s3express:CreateSession"),

    Operation("ListObjectAnnotations", "GET", _O, "annotation", "s3:ListObjectAnnotations"),
    Operation("GetObjectAnnotation", "GET", _O, "annotation annotationName", "s3:GetObjectAnnotation"),
    Operation("PutObjectAnnotation", "PUT", _O, "annotation annotationName", "s3:PutObjectAnnotation"),
    Operation("DeleteObjectAnnotation", "DELETE", _O, "annotation annotationName", "s3:DeleteObjectAnnotation"),
    Operation("GetObjectLegalHold", "GET", _O, "legal-hold", "s3:GetObjectLegalHold", locks.get_legal_hold,
              versioned_action="s3:GetObjectLegalHold"),
    Operation("PutObjectLegalHold", "PUT", _O, "legal-hold", "s3:PutObjectLegalHold", locks.put_legal_hold,
              versioned_action="s3:PutObjectLegalHold"),
    Operation("GetObjectRetention", "GET", _O, "retention", "s3:GetObjectRetention", locks.get_retention,
              versioned_action="s3:GetObjectRetention"),
    Operation("PutObjectRetention", "PUT", _O, "retention", "s3:PutObjectRetention", locks.put_retention,
              versioned_action="s3:PutObjectRetention"),
    Operation("GetObjectTorrent", "GET", _O, "torrent", "s3:GetObjectTorrent"),
    Operation("RestoreObject", "POST", _O, "restore", "s3:RestoreObject", objects.restore_object,
              versioned_action="s3:RestoreObject"),
    Operation("SelectObjectContent", "POST", _O, "select", "s3:GetObject", select.select_object_content,
              versioned_action="s3:GetObjectVersion"),
    Operation("UpdateObjectEncryption", "PUT", _O, "encryption", "s3:UpdateObjectEncryption"),
    Operation("WriteGetObjectResponse", "POST", _B, "route", "s3-object-lambda:WriteGetObjectResponse"),
)
# fmt: on

UNKNOWN = Operation("This combination of query parameters", "", Level.OBJECT, "", "s3:PutObject")
"""A write with parameters that nobody knows. Who may write learns that it is not implemented, others that they may not."""

_ROUTES = {(row.method, row.level, row.selector): row for row in OPERATIONS}
_METHODS = frozenset(row.method for row in OPERATIONS)
_READS = frozenset({"GET", "HEAD"})

# Selectors that the query's names make; the second word qualifies the first.
_SUBRESOURCES = frozenset(row.selector.split(" ")[0] for row in OPERATIONS) - {
    "",
    "copy",
    "x-amz-request-route",
}
_QUALIFIERS = ("id", "annotationName")
# Selectors that a header makes, by method; they go with a plain request or with a part of an upload.
_HEADER_SELECTORS = {"PUT": ("x-amz-copy-source", "copy"), "POST": ("x-amz-request-route", "route")}
_NO_COPY = ("x-amz-copy-source", "")
_WITH_HEADER = frozenset({"", "uploadId"})
# Writes that need a part's number, and writes that refuse it.
_PARTS = frozenset({"UploadPart", "UploadPartCopy"})
_WHOLE_OBJECTS = frozenset({"PutObject", "CopyObject"})
_UPLOAD = ["uploadId"]
_UPLOAD_METHODS = ("DELETE", "GET", "POST")

# Parameters that refine an operation without being one. Names beginning with `x-` are the client's own or a signature's.
_MODIFIERS = frozenset(
    (
        "AWSAccessKeyId Signature Expires versionId partNumber prefix delimiter marker max-keys "
        "key-marker version-id-marker upload-id-marker max-uploads encoding-type max-parts "
        "part-number-marker continuation-token start-after fetch-owner max-buckets bucket-region "
        "response-cache-control response-content-disposition response-content-encoding "
        "response-content-language response-content-type response-expires select-type id annotationName "
        "content-type content-md5"  # boto3 repeats these headers in what it presigns by version 2
    ).split()
)


def resolve(request: Request) -> Operation:
    """The row that a request names.

    Raises MethodNotAllowed, InvalidArgument, InvalidRequest.
    """
    level = Level.OBJECT if request.key else Level.BUCKET if request.bucket else Level.SERVICE
    selector = _subresource(request) if request.params else ""
    header, word = _HEADER_SELECTORS.get(request.method, _NO_COPY)
    if header in request.headers:
        selector = _with_header(request, selector, word)
    row = _ROUTES.get((request.method, level, selector))
    if row is None:
        raise _no_row(request, level, selector)
    if request.params and request.method not in _READS:
        return _checked(request, row)
    return row


def _with_header(request: Request, selector: str, word: str) -> str:
    """The selector when the header is there that makes one."""
    if selector in _WITH_HEADER and word:
        return f"{selector} {word}".lstrip()
    if word != "route":
        raise _only_copies(request)
    return selector


def _only_copies(request: Request) -> S3Error:
    return InvalidArgument(
        "You can only specify a copy source header for copy requests.",
        ArgumentName="x-amz-copy-source",
        ArgumentValue=request.headers["x-amz-copy-source"][:256],
    )


def _checked(request: Request, row: Operation) -> Operation:
    """The row of a write, if its parameters belong together."""
    numbered = "partNumber" in request.params
    if row.name in _PARTS and not numbered:
        raise _not_allowed("PUT", "UPLOAD", _UPLOAD_METHODS)
    if row.name in _WHOLE_OBJECTS and numbered:
        raise InvalidArgument(
            "This operation does not accept partNumber without uploadId",
            ArgumentName="partNumber",
            ArgumentValue="partNumber",
        )
    return row if _all_known(request) else UNKNOWN


def _subresource(request: Request) -> str:
    """The selector in the query; two of them contradict each other."""
    params = request.params
    names = [name for name in params if name in _SUBRESOURCES]
    if not names:
        return ""
    if names == _UPLOAD and request.method == "POST" and "x-amz-copy-source" in request.headers:
        raise _only_copies(request)
    if len(names) > 1:
        raise InvalidArgument(
            f"Conflicting query string parameters: {', '.join(sorted(names))}", ArgumentName="ResourceType"
        )
    qualifier = next((name for name in _QUALIFIERS if name in params), "")
    qualified = f"{names[0]} {qualifier}"
    return qualified if qualified in _QUALIFIED else names[0]


_QUALIFIED = frozenset(row.selector for row in OPERATIONS if row.selector.endswith(_QUALIFIERS))


def _all_known(request: Request) -> bool:
    return all(
        name in _MODIFIERS or name in _SUBRESOURCES or name[:2] in ("x-", "X-") for name in request.params
    )


# Subresources of a bucket, asked of a key.
_MISPLACED: dict[tuple[str, Level, str], str] = {
    ("GET", _O, "uploads"): "Key is not expected for the GET method ?uploads subresource",
    ("GET", _O, "versions"): "There is no such thing as the ?versions sub-resource for a key",
}


def _no_row(request: Request, level: Level, selector: str) -> S3Error:
    misplaced = _MISPLACED.get((request.method, level, selector))
    if misplaced is not None:
        return InvalidRequest(misplaced)
    return _not_allowed(request.method, level.upper(), sorted(_METHODS))


def _not_allowed(method: str, resource: str, allowed: Iterable[str]) -> S3Error:
    error = MethodNotAllowed(Method=method, ResourceType=resource)
    error.headers["allow"] = ", ".join(allowed)
    return error
