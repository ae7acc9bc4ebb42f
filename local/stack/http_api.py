"""An HTTP API in front of the template's functions: the ASGI application that API Gateway would be."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping

from local.stack.authorizer import AuthorizerError, LambdaAuthorizer
from local.stack.function_pool import FunctionPool
from local.stack.http_event import (
    MAX_EVENT_BYTES,
    Headers,
    InvalidResultError,
    Response,
    add_body,
    encode,
    message_response,
    request_parts,
    response_of,
)
from local.stack.routes import Match, Router
from local.stack.template import Cors, Template
from shared.json_types import JsonObject

# docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_HEADER_BYTES = 10_240
INTEGRATION_SECONDS = 30.0

Scope = JsonObject
Receive = Callable[[], Awaitable[JsonObject]]
Send = Callable[[JsonObject], Awaitable[None]]

_NOT_FOUND = message_response(404, "Not Found")
_UNAUTHORIZED = message_response(401, "Unauthorized")
_FORBIDDEN = message_response(403, "Forbidden")
_TOO_LARGE = message_response(413, "Request Entity Too Large")
_HEADERS_TOO_LARGE = message_response(431, "Request Header Fields Too Large")
_INTERNAL_ERROR = message_response(500, "Internal Server Error")
_UNAVAILABLE = message_response(503, "Service Unavailable")


class HttpApi:
    """The ASGI application."""

    def __init__(
        self,
        template: Template,
        pools: Mapping[str, FunctionPool],
        *,
        integration_seconds: float = INTEGRATION_SECONDS,
    ) -> None:
        self._router = Router(template.routes)
        self._pools = pools
        self._cors = template.cors
        self._authorizers = {
            name: LambdaAuthorizer(authorizer, pools[authorizer.function])
            for name, authorizer in template.authorizers.items()
        }
        self._integration_seconds = integration_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http"
        origin = _header(scope, b"origin") if self._cors is not None else None
        response, request_id = await self._respond(scope, receive)
        headers = response.headers
        if self._cors is not None:
            headers = _with_cors(headers, self._cors, origin)
        body = response.body
        headers = [*headers, (b"apigw-requestid", request_id.encode())]
        if response.status not in (204, 304):
            headers.append((b"content-length", str(len(body)).encode()))
        else:
            body = b""
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: Scope, receive: Receive) -> tuple[Response, str]:
        if _header_bytes(scope) > MAX_HEADER_BYTES:
            return _HEADERS_TOO_LARGE, "-"
        parts = request_parts(scope, time.time())
        context = parts["requestContext"]
        request_id: str = context["requestId"]
        # API Gateway answers preflight requests itself; the functions never see them.
        if self._cors is not None and scope["method"] == "OPTIONS" and "origin" in parts["headers"]:
            return Response(204, [], b""), request_id
        body = await _read_body(parts["headers"], receive)
        if body is None:
            return _TOO_LARGE, request_id
        match = self._router.match(scope["method"], scope["path"])
        if match is None:
            return _NOT_FOUND, request_id
        parts["routeKey"] = context["routeKey"] = match.route.key
        if match.parameters:
            parts["pathParameters"] = match.parameters
        # The route is known first: whether and by whom a request is authorised depends on it.
        refusal = await self._authorize(match, parts)
        return (refusal or await self._invoke(match, parts, body)), request_id

    async def _authorize(self, match: Match, parts: JsonObject) -> Response | None:
        if match.route.authorizer is None:
            return None
        authorizer = self._authorizers[match.route.authorizer]
        identity = authorizer.identity(parts)
        if identity is None:
            return _UNAUTHORIZED
        try:
            verdict = await authorizer.decide(identity, parts)
        except AuthorizerError as error:
            print(f"authorizer {match.route.authorizer} failed: {error}", file=sys.stderr)
            return _INTERNAL_ERROR
        if not verdict.allowed:
            return _FORBIDDEN
        parts["requestContext"]["authorizer"] = {"lambda": verdict.context}
        return None

    async def _invoke(self, match: Match, event: JsonObject, body: bytes) -> Response:
        add_body(event, body)
        payload = encode(event, MAX_EVENT_BYTES)
        if payload is None:
            return _TOO_LARGE
        try:
            # After the timeout the function continues, but the gateway no longer waits for it.
            async with asyncio.timeout(self._integration_seconds):
                outcome = await self._pools[match.route.function].invoke(payload)
        except TimeoutError:
            return _UNAVAILABLE
        if outcome.function_error is not None:
            return _INTERNAL_ERROR
        try:
            return response_of(outcome.payload)
        except InvalidResultError as error:
            print(f"{match.route.function} answered {match.route.key} wrongly: {error}", file=sys.stderr)
            return _INTERNAL_ERROR


async def _read_body(headers: Mapping[str, str], receive: Receive) -> bytes | None:
    """The whole body, or None when it is larger than an HTTP API takes."""
    if int(headers.get("content-length", "0")) > MAX_BODY_BYTES:
        return None
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body if len(body) <= MAX_BODY_BYTES else None
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            return None
    return b"".join(chunks)


def _header_bytes(scope: Scope) -> int:
    """The request line and all headers, which API Gateway counts together."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4
    return size


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)


def _with_cors(headers: Headers, cors: Cors, origin: bytes | None) -> Headers:
    """The headers with the gateway's CORS headers for `origin`; the function's own are dropped, as on AWS."""
    result = [(name, value) for name, value in headers if not name.startswith(b"access-control-")]
    if origin is None:
        return result
    allowed = cors.origins
    if "*" not in allowed and origin.decode("latin-1") not in allowed:
        return result
    result.append((b"access-control-allow-origin", b"*" if "*" in allowed else origin))
    listed = (
        (b"access-control-allow-methods", cors.methods),
        (b"access-control-allow-headers", cors.headers),
        (b"access-control-expose-headers", cors.expose),
    )
    result += [(name, ",".join(values).encode()) for name, values in listed if values]
    if cors.max_age_seconds is not None:
        result.append((b"access-control-max-age", str(cors.max_age_seconds).encode()))
    if cors.credentials:
        result.append((b"access-control-allow-credentials", b"true"))
    return result
