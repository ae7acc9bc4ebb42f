"""ETags of aggregates: the version of their stream, so that every change makes a new one."""

from __future__ import annotations

from shared.errors import PreconditionFailedError
from shared.http.request import Request


def etag(stream_version: int) -> str:
    """The strong ETag of an aggregate at this version of its stream."""
    return f'"{stream_version}"'


def check_if_match(request: Request, stream_version: int) -> None:
    """Raises `PreconditionFailedError` for an If-Match header that names neither this version nor `*`.

    Weak tags never match (RFC 9110, section 13.1.1).
    """
    header = request.headers.get("if-match")
    if header is None:
        return
    # A weak tag has the prefix W/, and so never equals ours.
    tags = [tag.strip() for tag in header.split(",")]
    if "*" not in tags and etag(stream_version) not in tags:
        raise PreconditionFailedError
