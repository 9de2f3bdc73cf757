"""THE table of actions that policies may name, and what each is done to.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import lru_cache

from auth.policy_text import matches, template


class Kind(StrEnum):
    """What an action is done to, and so what a resource must name to mean it."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


_SERVICE = """
    s3:ListAllMyBuckets
    sts:AssumeRole sts:GetCallerIdentity sts:GetFederationToken sts:GetSessionToken sts:TagSession
"""
_BUCKET = """
    s3:CreateBucket s3:CreateBucketMetadataTableConfiguration s3:DeleteBucket
    s3:DeleteBucketMetadataTableConfiguration s3:DeleteBucketPolicy s3:DeleteBucketWebsite
    s3:GetAccelerateConfiguration s3:GetAnalyticsConfiguration s3:GetBucketAbac s3:GetBucketAcl s3:GetBucketCORS
    s3:GetBucketLocation s3:GetBucketLogging s3:GetBucketMetadataTableConfiguration s3:GetBucketNotification
    s3:GetBucketObjectLockConfiguration s3:GetBucketOwnershipControls s3:GetBucketPolicy s3:GetBucketPolicyStatus
    s3:GetBucketPublicAccessBlock s3:GetBucketRequestPayment s3:GetBucketTagging s3:GetBucketVersioning
    s3:GetBucketWebsite s3:GetEncryptionConfiguration s3:GetIntelligentTieringConfiguration
    s3:GetInventoryConfiguration s3:GetLifecycleConfiguration s3:GetMetricsConfiguration
    s3:GetReplicationConfiguration s3:ListBucket s3:ListBucketMultipartUploads s3:ListBucketVersions
    s3:ListTagsForResource s3:PutAccelerateConfiguration s3:PutAnalyticsConfiguration s3:PutBucketAbac s3:PutBucketAcl
    s3:PutBucketCORS s3:PutBucketLogging s3:PutBucketNotification s3:PutBucketObjectLockConfiguration
    s3:PutBucketOwnershipControls s3:PutBucketPolicy s3:PutBucketPublicAccessBlock s3:PutBucketRequestPayment
    s3:PutBucketTagging s3:PutBucketVersioning s3:PutBucketWebsite s3:PutEncryptionConfiguration
    s3:PutIntelligentTieringConfiguration s3:PutInventoryConfiguration s3:PutLifecycleConfiguration
    s3:PutMetricsConfiguration s3:PutReplicationConfiguration s3:TagResource s3:UntagResource
    s3:UpdateBucketMetadataAnnotationTableConfiguration s3:UpdateBucketMetadataInventoryTableConfiguration
    s3:UpdateBucketMetadataJournalTableConfiguration
    s3-object-lambda:WriteGetObjectResponse s3express:CreateSession
"""
_OBJECT = """
    s3:AbortMultipartUpload s3:BypassGovernanceRetention s3:DeleteObject s3:DeleteObjectAnnotation
    s3:DeleteObjectTagging s3:DeleteObjectVersion s3:DeleteObjectVersionTagging s3:GetObject s3:GetObjectAcl
    s3:GetObjectAnnotation s3:GetObjectAttributes s3:GetObjectLegalHold s3:GetObjectRetention s3:GetObjectTagging
    s3:GetObjectTorrent s3:GetObjectVersion s3:GetObjectVersionAcl s3:GetObjectVersionAttributes
    s3:GetObjectVersionForReplication s3:GetObjectVersionTagging s3:GetObjectVersionTorrent s3:InitiateReplication
    s3:ListMultipartUploadParts s3:ListObjectAnnotations s3:ObjectOwnerOverrideToBucketOwner s3:PutObject
    s3:PutObjectAcl s3:PutObjectAnnotation s3:PutObjectLegalHold s3:PutObjectRetention s3:PutObjectTagging
    s3:PutObjectVersionAcl s3:PutObjectVersionTagging s3:ReplicateDelete s3:ReplicateObject s3:ReplicateTags
    s3:RestoreObject s3:UpdateObjectEncryption
"""

ACTIONS: Mapping[str, Kind] = {
    action: kind
    for kind, text in ((Kind.SERVICE, _SERVICE), (Kind.BUCKET, _BUCKET), (Kind.OBJECT, _OBJECT))
    for action in text.split()
}

_LOWER = {action.lower(): kind for action, kind in ACTIONS.items()}
_ARN = "arn:aws:s3:::"


@lru_cache(maxsize=4096)
def covered(pattern: str) -> frozenset[str]:
    """The known actions, in lower case, that a pattern of a policy (`s3:Get*`) means. Case does not count."""
    text = template(pattern.lower(), variables=False).constant
    return frozenset(action for action in _LOWER if text is not None and matches(text, action))


def kinds(actions: frozenset[str]) -> Iterator[Kind]:
    """What actions (in lower case) are done to."""
    return (_LOWER[action] for action in actions)


def resource(action: str, bucket: str, key: str) -> str:
    """The ARN of what an action is done to: of the bucket, also where a request names a key, if it is one of buckets."""
    kind = ACTIONS.get(action, Kind.OBJECT if key else Kind.BUCKET)
    if kind is Kind.SERVICE:
        return _ARN
    return f"{_ARN}{bucket}/{key}" if kind is Kind.OBJECT else _ARN + bucket
