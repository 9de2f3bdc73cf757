"""`s3gw fsck`."""


def fsck() -> None:
    """Check the store."""
