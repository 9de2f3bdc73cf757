"""THE table of errors: every code that this gateway answers, with its HTTP status and AWS's message.

An error is data. It is raised in one line and rendered in one place (`gateway.reply`)::

    raise NoSuchKey(Key=ref.key)
    raise InvalidArgument("Argument partNumber must be an integer.", ArgumentName="partNumber")

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from collections.abc import Mapping
from dataclasses import dataclass


class S3Error(Exception):
    """An answer to the client that is not a success.

    `fields` are further elements of the `<Error>` document (`Key`, `BucketName`, ...);
    `headers` are further headers of the answer.
    """

    def __init__(
        self,
        kind: "Kind",
        message: str | None = None,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.code, message or kind.message)
        self.kind = kind
        self.message = message or kind.message
        self.fields = dict(fields or {})
        self.headers = dict(headers or {})

    @property
    def code(self) -> str:
        """S3's name of the error, e.g. `NoSuchKey`."""
        return self.kind.code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.kind.status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table. Calling it makes the exception to raise."""

    code: str
    status: int
    message: str

    def __call__(self, message: str | None = None, /, **fields: str | int) -> S3Error:
        """Make the exception; `fields` become elements of the error document."""
        return S3Error(self, message, {name: str(value) for name, value in fields.items()})


ERRORS: dict[str, Kind] = {}


def _kind(code: str, status: int, message: str) -> Kind:
    kind = ERRORS[code] = Kind(code, status, message)
    return kind


AccessControlListNotSupported = _kind("AccessControlListNotSupported", 400, "The bucket does not allow ACLs")
AccessDenied = _kind("AccessDenied", 403, "Access Denied")
AuthorizationHeaderMalformed = _kind(
    "AuthorizationHeaderMalformed", 400, "The authorization header that you provided is not valid."
)
AuthorizationQueryParametersError = _kind(
    "AuthorizationQueryParametersError", 400, "Error parsing the X-Amz-Credential parameter."
)
BadDigest = _kind("BadDigest", 400, "The Content-MD5 you specified did not match what we received.")
BadRequest = _kind("BadRequest", 400, "The request could not be understood.")
BucketAlreadyExists = _kind(
    "BucketAlreadyExists",
    409,
    "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
    "Please select a different name and try again.",
)
BucketAlreadyOwnedByYou = _kind(
    "BucketAlreadyOwnedByYou",
    409,
    "Your previous request to create the named bucket succeeded and you already own it.",
)
BucketNotEmpty = _kind("BucketNotEmpty", 409, "The bucket you tried to delete is not empty.")
ConditionalRequestConflict = _kind(
    "ConditionalRequestConflict",
    409,
    "The conditional request cannot succeed due to a conflicting operation against this resource.",
)
EntityTooLarge = _kind("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed object size.")
EntityTooSmall = _kind("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size")
IllegalLocationConstraintException = _kind(
    "IllegalLocationConstraintException",
    400,
    "The specified location-constraint is not valid for the region that this endpoint serves.",
)
IncompleteBody = _kind(
    "IncompleteBody",
    400,
    "You did not provide the number of bytes specified by the Content-Length HTTP header.",
)
InternalError = _kind("InternalError", 500, "We encountered an internal error. Please try again.")
InvalidAccessKeyId = _kind(
    "InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."
)
InvalidArgument = _kind("InvalidArgument", 400, "Invalid Argument")
InvalidBucketAclWithObjectOwnership = _kind(
    "InvalidBucketAclWithObjectOwnership",
    400,
    "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
)
InvalidBucketName = _kind("InvalidBucketName", 400, "The specified bucket is not valid.")
InvalidChunkSizeError = _kind(
    "InvalidChunkSizeError", 403, "Only the last chunk is allowed to have a size less than 8192 bytes"
)
InvalidDigest = _kind("InvalidDigest", 400, "The Content-MD5 you specified was invalid.")
InvalidLocationConstraint = _kind(
    "InvalidLocationConstraint", 400, "The specified location-constraint is not valid"
)
InvalidPart = _kind(
    "InvalidPart",
    400,
    "One or more of the specified parts could not be found.  The part may not have been uploaded, "
    "or the specified entity tag may not match the part's entity tag.",
)
InvalidPartNumber = _kind("InvalidPartNumber", 416, "The requested partnumber is not satisfiable")
InvalidPartOrder = _kind(
    "InvalidPartOrder",
    400,
    "The list of parts was not in ascending order. Parts must be ordered by part number.",
)
InvalidRange = _kind("InvalidRange", 416, "The requested range is not satisfiable")
InvalidRedirectLocation = _kind(
    "InvalidRedirectLocation",
    400,
    "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
)
InvalidRequest = _kind("InvalidRequest", 400, "Invalid Request")
InvalidSecurity = _kind("InvalidSecurity", 403, "The provided security credentials are not valid.")
InvalidStorageClass = _kind("InvalidStorageClass", 400, "The storage class you specified is not valid")
InvalidToken = _kind("InvalidToken", 400, "The provided token is malformed or otherwise invalid.")
InvalidURI = _kind("InvalidURI", 400, "Couldn't parse the specified URI.")
KeyTooLongError = _kind("KeyTooLongError", 400, "Your key is too long")
MalformedACLError = _kind(
    "MalformedACLError",
    400,
    "The XML you provided was not well-formed or did not validate against our published schema",
)
MalformedTrailerError = _kind(
    "MalformedTrailerError",
    400,
    "The request contained trailing data that was not well-formed or did not conform to our published schema.",
)
MalformedXML = _kind(
    "MalformedXML",
    400,
    "The XML you provided was not well-formed or did not validate against our published schema",
)
MaxMessageLengthExceeded = _kind("MaxMessageLengthExceeded", 400, "Your request was too big.")
MetadataTooLarge = _kind(
    "MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size"
)
MethodNotAllowed = _kind(
    "MethodNotAllowed", 405, "The specified method is not allowed against this resource."
)
MissingContentLength = _kind("MissingContentLength", 411, "You must provide the Content-Length HTTP header.")
MissingRequestBodyError = _kind("MissingRequestBodyError", 400, "Request Body is empty")
MissingSecurityHeader = _kind("MissingSecurityHeader", 400, "Your request was missing a required header")
NoSuchBucket = _kind("NoSuchBucket", 404, "The specified bucket does not exist")
NoSuchKey = _kind("NoSuchKey", 404, "The specified key does not exist.")
NoSuchUpload = _kind(
    "NoSuchUpload",
    404,
    "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
    "aborted or completed.",
)
NoSuchVersion = _kind("NoSuchVersion", 404, "The specified version does not exist.")
NotImplemented_ = _kind(
    "NotImplemented", 501, "A header you provided implies functionality that is not implemented"
)
NotModified = _kind("NotModified", 304, "Not Modified")
ObjectLockConfigurationNotFoundError = _kind(
    "ObjectLockConfigurationNotFoundError",
    404,
    "Object Lock configuration does not exist for this bucket",
)
PreconditionFailed = _kind(
    "PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold"
)
RequestHeaderSectionTooLarge = _kind(
    "RequestHeaderSectionTooLarge",
    400,
    "Your request header section exceeds the maximum allowed request header section size.",
)
RequestTimeout = _kind(
    "RequestTimeout",
    400,
    "Your socket connection to the server was not read from or written to within the timeout period. "
    "Idle connections will be closed.",
)
RequestTimeTooSkewed = _kind(
    "RequestTimeTooSkewed",
    403,
    "The difference between the request time and the server's time is too large.",
)
SignatureDoesNotMatch = _kind(
    "SignatureDoesNotMatch",
    403,
    "The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method.",
)
SlowDown = _kind("SlowDown", 503, "Please reduce your request rate.")
ServiceUnavailable = _kind("ServiceUnavailable", 503, "Service is unable to handle request.")
TooManyBuckets = _kind("TooManyBuckets", 400, "You have attempted to create more buckets than allowed.")
UnexpectedContent = _kind("UnexpectedContent", 400, "This request does not support content")
XAmzContentChecksumMismatch = _kind(
    "XAmzContentChecksumMismatch",
    400,
    "The provided 'x-amz-checksum' header does not match what was computed.",
)
XAmzContentSHA256Mismatch = _kind(
    "XAmzContentSHA256Mismatch",
    400,
    "The provided 'x-amz-content-sha256' header does not match what was computed.",
)

# Access, documents, locks, encryption, forms, events.
MalformedPolicy = _kind("MalformedPolicy", 400, "Policies must be valid JSON and the first byte must be '{'")
InvalidTag = _kind("InvalidTag", 400, "The tag provided was not a valid tag.")
InvalidBucketState = _kind(
    "InvalidBucketState", 409, "The request is not valid for the current state of the bucket."
)
InvalidObjectState = _kind(
    "InvalidObjectState", 403, "The operation is not valid for the object's storage class"
)
NoSuchObjectLockConfiguration = _kind(
    "NoSuchObjectLockConfiguration", 404, "The specified object does not have a ObjectLock configuration"
)
UnresolvableGrantByEmailAddress = _kind(
    "UnresolvableGrantByEmailAddress",
    400,
    "The e-mail address you provided does not match any account on record.",
)
IllegalVersioningConfigurationException = _kind(
    "IllegalVersioningConfigurationException",
    400,
    "The Versioning element must be specified and be either Enabled or Suspended.",
)
KMSNotFoundException = _kind("KMS.NotFoundException", 400, "The key does not exist.")
KMSDisabledException = _kind("KMS.DisabledException", 400, "The key is disabled.")
InvalidPolicyDocument = _kind("InvalidPolicyDocument", 400, "Invalid Policy: Invalid JSON.")
MalformedPOSTRequest = _kind(
    "MalformedPOSTRequest", 400, "The body of your POST request is not well-formed multipart/form-data."
)
MaxPostPreDataLengthExceeded = _kind(
    "MaxPostPreDataLengthExceededError",
    400,
    "Your POST request fields preceding the upload file were too large.",
)
IncorrectNumberOfFilesInPostRequest = _kind(
    "IncorrectNumberOfFilesInPostRequest", 400, "POST requires exactly one file upload per request."
)
ExpiredToken = _kind("ExpiredToken", 400, "The provided token has expired.")
InvalidTargetBucketForLogging = _kind(
    "InvalidTargetBucketForLogging",
    400,
    "The target bucket for logging does not exist, is not owned by you, or does not have the appropriate grants "
    "for the log-delivery group.",
)

# SelectObjectContent.
CSVParsingError = _kind(
    "CSVParsingError", 400, "Encountered an error parsing the CSV file. Check the file and try again."
)
CastFailed = _kind(
    "CastFailed",
    400,
    "Attempt to convert from one data type to another using CAST failed in the SQL expression.",
)
EmptyRequestBody = _kind("EmptyRequestBody", 400, "Request body cannot be empty.")
ExpressionTooLong = _kind(
    "ExpressionTooLong",
    400,
    "The SQL expression is too long: The maximum byte-length for the SQL expression is 256 KB.",
)
ExternalEvalException = _kind(
    "ExternalEvalException", 400, "The query cannot be evaluated. Check the file and try again."
)
InvalidColumnIndex = _kind("InvalidColumnIndex", 400, "The column index in the SQL expression is not valid.")
InvalidCompressionFormat = _kind(
    "InvalidCompressionFormat",
    400,
    "The file is not in a supported compression format. Only GZIP and BZIP2 are supported.",
)
InvalidDataSource = _kind(
    "InvalidDataSource", 400, "The data source type is not valid. Only CSV, JSON, and Parquet are supported."
)
InvalidDataType = _kind("InvalidDataType", 400, "The SQL expression contains a data type that is not valid.")
InvalidExpressionType = _kind(
    "InvalidExpressionType", 400, "The ExpressionType value is not valid. Only SQL expressions are supported."
)
InvalidFileHeaderInfo = _kind(
    "InvalidFileHeaderInfo",
    400,
    "The FileHeaderInfo value is not valid. Only NONE, USE, and IGNORE are supported.",
)
InvalidJsonType = _kind(
    "InvalidJsonType", 400, "The JsonType value is not valid. Only DOCUMENT and LINES are supported."
)
InvalidQuoteFields = _kind(
    "InvalidQuoteFields", 400, "The QuoteFields value is not valid. Only ALWAYS and ASNEEDED are supported."
)
InvalidRequestParameter = _kind(
    "InvalidRequestParameter",
    400,
    "The value of a parameter in the SelectRequest element is not valid. Check the service API "
    "documentation and try again.",
)
JSONParsingError = _kind(
    "JSONParsingError", 400, "Encountered an error parsing the JSON file. Check the file and try again."
)
LexerInvalidChar = _kind(
    "LexerInvalidChar", 400, "The SQL expression contains a character that is not valid."
)
MissingHeaders = _kind(
    "MissingHeaders",
    400,
    "Some headers in the query are missing from the file. Check the file and try again.",
)
MissingRequiredParameter = _kind(
    "MissingRequiredParameter",
    400,
    "The SelectRequest entity is missing a required parameter. Check the service documentation and "
    "try again.",
)
ObjectSerializationConflict = _kind(
    "ObjectSerializationConflict",
    400,
    "The SelectRequest entity can only contain one of CSV, JSON, or Parquet. Check the service "
    "documentation and try again.",
)
OverMaxRecordSize = _kind(
    "OverMaxRecordSize",
    400,
    "The length of a record in the input or result is greater than the maxCharsPerRecord limit of 1 MB.",
)
ParquetParsingError = _kind(
    "ParquetParsingError", 400, "Encountered an error parsing the Parquet file. Check the file and try again."
)
ParseInvalidPathComponent = _kind(
    "ParseInvalidPathComponent", 400, "The SQL expression contains a path component that is not valid."
)
ParseUnexpectedToken = _kind("ParseUnexpectedToken", 400, "The SQL expression contains an unexpected token.")
ParseUnsupportedSyntax = _kind(
    "ParseUnsupportedSyntax", 400, "The SQL expression contains unsupported syntax."
)
UnsupportedFunction = _kind("UnsupportedFunction", 400, "Encountered an unsupported SQL function.")

# What a subresource without a document answers: GetBucketCors without a configuration, and so on.
NoSuchBucketPolicy = _kind("NoSuchBucketPolicy", 404, "The bucket policy does not exist")
NoSuchCORSConfiguration = _kind("NoSuchCORSConfiguration", 404, "The CORS configuration does not exist")
NoSuchLifecycleConfiguration = _kind(
    "NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist"
)
NoSuchTagSet = _kind("NoSuchTagSet", 404, "The TagSet does not exist")
NoSuchWebsiteConfiguration = _kind(
    "NoSuchWebsiteConfiguration", 404, "The specified bucket does not have a website configuration"
)
NoSuchPublicAccessBlockConfiguration = _kind(
    "NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found"
)
OwnershipControlsNotFoundError = _kind(
    "OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found"
)
ReplicationConfigurationNotFoundError = _kind(
    "ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found"
)
ServerSideEncryptionConfigurationNotFoundError = _kind(
    "ServerSideEncryptionConfigurationNotFoundError",
    404,
    "The server side encryption configuration was not found",
)
AccessForbidden = _kind("AccessForbidden", 403, "CORSResponse: CORS is not enabled for this bucket.")
NoSuchConfiguration = _kind("NoSuchConfiguration", 404, "The specified configuration does not exist.")
