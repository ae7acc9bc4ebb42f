"""Responses: JSON, HTML pages, and problems (RFC 9457), whose status and code the error class has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from shared.errors import WorkflowEngineError
from shared.json_types import JsonObject

JSON = "application/json"
PROBLEM = "application/problem+json"
HTML = "text/html"
# For our pages: no external resources, no framing, no Referer that would leak the URL.
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Response(NamedTuple):
    """A status, a JSON body (`None`: no body) and headers."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = MappingProxyType({})
    content_type: str = JSON

    @property
    def text(self) -> str:
        """The body as it is sent."""
        if self.content_type == HTML:
            return str(self.body)
        return "" if self.body is None else json.dumps(self.body, separators=(",", ":"), ensure_ascii=False)


def ok(body: object, etag: str | None = None) -> Response:
    """A 200 with a body and, where given, its ETag."""
    return Response(200, body, {"ETag": etag} if etag else {})


def created(body: object, location: str, etag: str | None = None) -> Response:
    """A 201 with the location of the new resource."""
    return Response(201, body, {"Location": location, **({"ETag": etag} if etag else {})})


def accepted(body: object, location: str) -> Response:
    """A 202 with the location of the future result."""
    return Response(202, body, {"Location": location})


def page(text: str) -> Response:
    """A 200 with a page of HTML."""
    return Response(200, text, _PAGE_HEADERS, HTML)


def no_content() -> Response:
    """A 204."""
    return Response(204)


def problem(error: WorkflowEngineError) -> Response:
    """The error as a problem: `{type, title, status, detail, code, errors?}`, with `Retry-After` for 429 and 503."""
    body: JsonObject = {
        # A reference relative to the API itself, whose documentation explains each code.
        "type": f"/docs#{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    if error.problems:
        body["errors"] = [item.as_json() for item in error.problems]
    retry_after = error.retry_after_seconds or (1 if error.status in (429, 503) else None)
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    return Response(error.status, body, headers, PROBLEM)
