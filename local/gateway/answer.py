"""Answers: status and headers from the row that a statement gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from local.gateway.errors import JSON_TYPE, GatewayError, Headers, guc_headers, guc_status
from local.gateway.request import OBJECT_TYPE
from local.gateway.session import Row

Answer: TypeAlias = tuple[int, Headers, bytes]

_OBJECT = (b"content-type", OBJECT_TYPE + b"; charset=utf-8")


@dataclass(slots=True)
class Result:
    """A statement's row: the body, its number of rows, the total, and the headers and status that SQL has set."""

    body: bytes
    count: int
    total: int | None
    headers: Headers
    status: int | None
    inserted: int | None

    @classmethod
    def of(cls, row: Row) -> Result:
        """The result in a row of the statements in `tables` and `functions`. Raises `GatewayError`."""
        body, count, total, headers, status, inserted = row
        return cls(
            body=body or b"",
            count=int(count or 0),
            total=None if total is None else int(total),
            headers=[] if headers is None else guc_headers(headers),
            status=None if status is None else guc_status(status),
            inserted=None if inserted is None else int(inserted),
        )

    def require_one(self) -> None:
        """Raises `GatewayError` when it is not exactly one row."""
        if self.count != 1:
            message = "Cannot coerce the result to a single JSON object"
            raise GatewayError(406, "PGRST116", message, details=f"The result contains {self.count} rows")


@dataclass(slots=True)
class Reply:
    """An answer that is not finished; `profile` is the schema to name, None where only one is exposed."""

    status: int
    result: Result
    profile: str | None = None
    applied: list[str] = field(default_factory=list)
    headers: Headers = field(default_factory=list)
    single: bool = False
    empty: bool = False

    def answer(self) -> Answer:
        """The finished answer; headers and status that SQL has set take precedence."""
        status = self.result.status or self.status
        headers = list(self.headers)
        if not self.empty:
            headers.append(_OBJECT if self.single else JSON_TYPE)
        if self.profile is not None:
            headers.append((b"content-profile", self.profile.encode()))
        if self.applied:
            headers.append((b"preference-applied", ", ".join(self.applied).encode()))
        if self.result.headers:
            replaced = {name for name, _ in self.result.headers}
            headers = [pair for pair in headers if pair[0] not in replaced] + self.result.headers
        body = b"" if self.empty else self.result.body
        if status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        return status, headers, body


def content_range(first: int, count: int, total: int | None) -> tuple[bytes, bytes]:
    """The Content-Range header: `0-24/573`; a star where the range is empty or the total unknown."""
    rows = f"{first}-{first + count - 1}" if count else "*"
    return b"content-range", f"{rows}/{'*' if total is None else total}".encode()


def range_status(first: int, count: int, total: int | None) -> int:
    """200 for all rows, 206 for a part. Raises `GatewayError` (416) when the first is beyond the last."""
    if total is None:
        return 200
    if first > total:
        details = f"An offset of {first} was requested, but there are only {total} rows."
        headers = [(b"content-range", f"*/{total}".encode())]
        raise GatewayError(416, "PGRST103", "Requested range not satisfiable", details=details, headers=headers)
    return 206 if count < total else 200
