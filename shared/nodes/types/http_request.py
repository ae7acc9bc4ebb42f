"""Sends one HTTP request and yields `{status, headers, body}`.

Each attempt carries the same `Idempotency-Key`, so that a server that supports the header
(https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/) acts once. Only the public internet is
reachable, and the hosts on the tenant's allow-list; see `shared/nodes/outbound.py`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from functools import partial
from typing import Annotated, Literal
from urllib.parse import urlencode

import httpx
from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from shared.domain.expressions.secret_references import NAME_PATTERN
from shared.domain.secret_hosts import Destination
from shared.json_types import JsonObject
from shared.nodes.guarded_transport import OutboundRefusedError
from shared.nodes.http_response import Received, completed, received
from shared.nodes.node_kinds import Completed, Effect, EffectContext, NodeError, Parameters
from shared.nodes.node_type import MAX_OUTPUT_BYTES, NodeType, is_drawn, out_or_error
from shared.nodes.outbound import allowed_of, outbound
from shared.nodes.redirects import origin_of, send
from shared.tracing import current_context

USER_AGENT = "workflow-engine/1"
IDEMPOTENCY_HEADER = "idempotency-key"
# Headers that frame the message: a parameter that set them could smuggle in a second request.
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


def _headers(headers: dict[str, Scalar], info: ValidationInfo) -> dict[str, Scalar]:
    for name, value in headers.items():
        if not name.isascii() or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise ValueError(f"{name!r} is no header name")
        if name.lower() in _OURS:
            raise ValueError(f"the header {name} is set by the request itself")
        text = str(value)
        if not is_drawn(text, info) and (not text.isascii() or any(character in text for character in "\r\n\0")):
            raise ValueError(f"the header {name} must be one line of ASCII")
    return headers


class Auth(Parameters):
    """Credentials from the secret named `secret`.

    `bearer`: `Authorization: Bearer`. `basic`: the secret is the password of `username`, or without one
    `user:password`. `header`: the secret is the value of `header`.
    """

    type: Literal["bearer", "basic", "header"]
    secret: Annotated[str, Field(pattern=NAME_PATTERN)]
    username: Annotated[str, Field(max_length=1_000, pattern=r"^[^:\r\n\x00]*$")] | None = None
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] | None = None

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Auth:
        if (self.type == "header") != (self.header is not None):
            raise ValueError("header is given with the type header, and with no other")
        if self.header is not None:
            _headers({self.header: ""}, info)
        if self.username is not None and self.type != "basic":
            raise ValueError("username is given with the type basic alone")
        return self


class HttpRequest(Parameters):
    """What to send and what counts as success.

    `success` lists statuses, ranges as in `200-299` or classes as in `2xx`. `response` says how the body is read;
    `auto` follows the content type. Unset, the body's type is JSON. With secrets or signals' URLs in it, a request
    follows no redirect: another server would get them. At another origin a redirected request has none of the headers
    given here but `Accept`, `Accept-Language`, `Content-Type`, `Content-Language`, `User-Agent` and `Idempotency-Key`.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    url: Annotated[str, Field(max_length=8_192), AfterValidator(_url)]
    query: dict[str, Scalar | list[Scalar] | None] = Field(default_factory=dict)
    headers: Annotated[dict[str, Scalar], AfterValidator(_headers)] = Field(default_factory=dict)
    body: object = None
    body_type: Literal["json", "form", "text", "base64"] = "json"
    auth: Auth | None = None
    response: Literal["json", "text", "base64", "auto"] = "auto"
    success: list[Status] = Field(default_factory=lambda: list[int | str](["2xx"]))
    follow_redirects: bool = True
    max_response_bytes: Annotated[int, Field(ge=1, le=4_194_304)] = 1_048_576


def _output_bytes(parameters: HttpRequest) -> int:
    # Base64 makes a body longer by a third, and headers come with it.
    return max(MAX_OUTPUT_BYTES, parameters.max_response_bytes * 3 // 2)


async def _perform(parameters: HttpRequest, effect: EffectContext) -> Completed:
    try:
        async with outbound().client(
            effect.tenant_id, allowed_of(effect.tenant_id, effect.permissions.outbound)
        ) as client:
            # The timeout begins once the tenant's share has room for the request: nothing has been sent before.
            async with asyncio.timeout(effect.timeout_seconds):
                response = await _sent(client, parameters, effect)
    except OutboundRefusedError as error:
        raise NodeError("outbound_refused", str(error)) from error
    except (TimeoutError, httpx.TimeoutException) as error:
        raise NodeError("timeout", f"There was no answer within {effect.timeout_seconds:g} s.") from error
    except httpx.TooManyRedirects as error:
        raise NodeError("network", str(error)) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise NodeError("network", str(error) or type(error).__name__) from error
    # A large body is parsed in the tenant's compute turns, outside of the timeout: the server has answered in time.
    return await effect.turns.take(effect.tenant_id, partial(completed, parameters, response), len(response.raw))


async def _sent(client: httpx.AsyncClient, parameters: HttpRequest, effect: EffectContext) -> Received:
    request = _request(client, parameters, effect)
    # A redirect would send secrets and signals' URLs to a server that they are not for.
    follow = parameters.follow_redirects and not effect.discloses
    response = await send(client, request, follow=follow)
    note = ""
    if parameters.follow_redirects and response.next_request is not None:
        note = f" The redirect to {origin_of(response.next_request.url)} is not followed, because the request has "
        note += f"{', '.join(effect.discloses)} in it: write the final URL."
    try:
        return await received(parameters, response, effect.now(), effect.redact, note)
    finally:
        await response.aclose()


def _request(client: httpx.AsyncClient, parameters: HttpRequest, effect: EffectContext) -> httpx.Request:
    headers = {"user-agent": USER_AGENT, IDEMPOTENCY_HEADER: effect.idempotency_key}
    if (correlation := current_context()) is not None:
        headers |= correlation.headers(effect.idempotency_key)
    content = None
    if parameters.body is not None:
        content = _content(parameters.body, parameters.body_type)
        headers["content-type"] = _CONTENT_TYPES[parameters.body_type]
    # In lower case, so that the parameters' headers replace the ones above.
    headers |= {name.lower(): _scalar(value) for name, value in parameters.headers.items()}
    if parameters.auth is not None:
        headers |= _credentials(parameters.auth, effect.secrets[parameters.auth.secret])
    url = httpx.URL(parameters.url)
    if parameters.query:
        # `params=` would replace the URL's own query instead of adding to it.
        url = url.copy_merge_params({name: _values(value) for name, value in parameters.query.items()})
    return client.build_request(parameters.method, url, headers=headers, content=content)


def _credentials(auth: Auth, secret: str) -> dict[str, str]:
    if auth.type == "basic":
        pair = secret if auth.username is None else f"{auth.username}:{secret}"
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    name, value = ("authorization", f"Bearer {secret}") if auth.header is None else (auth.header.lower(), secret)
    if not value.isascii() or not value.isprintable():
        raise NodeError("invalid_parameters", "/auth/secret: a header's value must be one line of ASCII")
    return {name: value}


def _destination(parameters: HttpRequest) -> Destination:
    url = httpx.URL(parameters.url)
    usual = {"http": 80, "https": 443}[url.scheme]
    # `raw_host` is what is connected to: with a name's letters in their ASCII form.
    return Destination(url.raw_host.decode("ascii").lower(), url.port or usual, url.port in (None, usual))


def _auth_secret(parameters: JsonObject) -> tuple[str, ...]:
    auth = parameters.get("auth")
    name = auth.get("secret") if isinstance(auth, dict) else None
    return (name,) if isinstance(name, str) else ()


def _content(body: object, body_type: str) -> bytes:
    # `errors="replace"`: lone surrogates, which JSON may hold, have no UTF-8.
    if body_type == "json":
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")
    if body_type == "form":
        if not isinstance(body, dict):
            raise NodeError("invalid_parameters", "/body: a form must be an object")
        return urlencode([(name, text) for name, value in body.items() for text in _values(value)]).encode()
    if not isinstance(body, str):
        raise NodeError("invalid_parameters", f"/body: a body of the type {body_type} must be a text")
    try:
        return body.encode(errors="replace") if body_type == "text" else base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise NodeError("invalid_parameters", f"/body: this is not base64: {error}") from error


def _values(value: object) -> list[str]:
    if value is None:
        return []
    return [_scalar(item) for item in value] if isinstance(value, list) else [_scalar(value)]


def _scalar(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)  # `true`, not Python's `True`


NODE = NodeType(
    "http_request",
    "HTTP request",
    HttpRequest,
    Effect(_perform, _destination, _auth_secret),
    handles=out_or_error,
    output_bytes=_output_bytes,
    literal=frozenset({"secret"}),
    urls=frozenset({"url"}),
)
