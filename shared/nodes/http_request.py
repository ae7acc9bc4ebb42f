"""Sends one HTTP request and yields `{status, headers, body}`.

Each attempt carries the same `Idempotency-Key`, so that a server that knows the header
(https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/) acts once. Only the public internet is
reachable, and what the tenant's allow-list opens; see `shared/nodes/outbound.py`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import httpx
from pydantic import AfterValidator, Field

from shared.cause import current
from shared.nodes.http_response import completed
from shared.nodes.node_type import MAX_OUTPUT_BYTES, Completed, Effect, NodeError, NodeType, Parameters
from shared.nodes.outbound import OutboundRefusedError, allowed_of, client_for

USER_AGENT = "workflow-engine/1"
IDEMPOTENCY_HEADER = "idempotency-key"
# The connection's own headers: setting them by hand would let a request be read as two.
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})
_CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
    "base64": "application/octet-stream",
}

Scalar = str | int | float | bool
Status = Annotated[int, Field(ge=100, le=599)] | Annotated[str, Field(pattern=r"^[1-5](\d\d(-[1-5]\d\d)?|xx)$")]


def _url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"this is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("the URL must start with https:// or http:// and name a host")
    return text


def _headers(headers: dict[str, Scalar]) -> dict[str, Scalar]:
    for name, value in headers.items():
        if not name.isascii() or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise ValueError(f"{name!r} is no header name")
        if name.lower() in _OURS:
            raise ValueError(f"the header {name} is set by the request itself")
        if "{%" not in str(value) and any(character in str(value) for character in "\r\n\0"):
            raise ValueError(f"the header {name} must be one line")
    return headers


class HttpRequest(Parameters):
    """What to send and what counts as success.

    `success` lists statuses, ranges as in `200-299` or classes as in `2xx`. `response` says how the body is read;
    `auto` follows the content type. Unset, the body's type is JSON.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    url: Annotated[str, Field(max_length=8_192), AfterValidator(_url)]
    query: dict[str, Scalar | list[Scalar] | None] = Field(default_factory=dict)
    headers: Annotated[dict[str, Scalar], AfterValidator(_headers)] = Field(default_factory=dict)
    body: Any = None
    body_type: Literal["json", "form", "text", "base64"] = "json"
    response: Literal["json", "text", "base64", "auto"] = "auto"
    success: list[Status] = Field(default_factory=lambda: list[int | str](["2xx"]))
    follow_redirects: bool = True
    max_response_bytes: Annotated[int, Field(ge=1, le=4_194_304)] = 1_048_576


def _output_bytes(parameters: HttpRequest) -> int:
    # Base64 makes a body longer by a third, and headers come with it.
    return max(MAX_OUTPUT_BYTES, parameters.max_response_bytes * 3 // 2)


async def _perform(parameters: HttpRequest, effect: Effect) -> Completed:
    client = client_for(allowed_of(effect.tenant_id, effect.reach.outbound))
    try:
        request = _request(client, parameters, effect.idempotency_key)
        async with asyncio.timeout(effect.timeout_seconds):
            response = await client.send(request, stream=True, follow_redirects=parameters.follow_redirects)
            try:
                return await completed(parameters, response, effect.now())
            finally:
                await response.aclose()
    except OutboundRefusedError as error:
        raise NodeError("outbound_refused", str(error)) from error
    except (TimeoutError, httpx.TimeoutException) as error:
        raise NodeError("timeout", f"There was no answer within {effect.timeout_seconds:g} s.") from error
    except httpx.TooManyRedirects as error:
        raise NodeError("network", str(error)) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise NodeError("network", str(error) or type(error).__name__) from error


def _request(client: httpx.AsyncClient, parameters: HttpRequest, idempotency_key: str) -> httpx.Request:
    headers = {"user-agent": USER_AGENT, IDEMPOTENCY_HEADER: idempotency_key}
    if (cause := current()) is not None:
        headers |= cause.headers(idempotency_key)
    content = None
    if parameters.body is not None:
        content = _content(parameters.body, parameters.body_type)
        headers["content-type"] = _CONTENT_TYPES[parameters.body_type]
    headers |= {name.lower(): _scalar(value) for name, value in parameters.headers.items()}
    url = httpx.URL(parameters.url)
    if parameters.query:
        # `params=` would replace the URL's own query instead of adding to it.
        url = url.copy_merge_params({name: _values(value) for name, value in parameters.query.items()})
    return client.build_request(parameters.method, url, headers=headers, content=content)


def _content(body: Any, body_type: str) -> bytes:
    if body_type == "json":
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")
    if body_type == "form":
        if not isinstance(body, dict):
            raise NodeError("invalid_parameters", "/body: a form must be an object")
        return urlencode([(name, one) for name, value in body.items() for one in _values(value)]).encode()
    if not isinstance(body, str):
        raise NodeError("invalid_parameters", f"/body: a body of the type {body_type} must be a text")
    try:
        return body.encode(errors="replace") if body_type == "text" else base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise NodeError("invalid_parameters", f"/body: this is not base64: {error}") from error


def _values(value: Any) -> list[str]:
    if value is None:
        return []
    return [_scalar(item) for item in value] if isinstance(value, list) else [_scalar(value)]


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


NODE = NodeType(
    "http_request",
    "HTTP request",
    HttpRequest,
    handles=lambda _parameters: ("out", "error"),
    perform=_perform,
    output_bytes=_output_bytes,
)
