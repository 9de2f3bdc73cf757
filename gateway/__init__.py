"""s3gw: an S3-compatible HTTP gateway."""

__version__ = "0.1.0"
