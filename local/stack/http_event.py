"""API Gateway's HTTP API payload format 2.0: requests as events, results as responses.

Source: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html. What that page
leaves open (decoded paths, base64 by content type, the default content type) follows the live service.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from typing import NamedTuple
from urllib.parse import parse_qsl

from local.stack.intrinsics import ACCOUNT_ID
from shared.json_types import JsonObject

API_ID = "local"
DOMAIN_NAME = f"{API_ID}.execute-api.localhost"
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect")
)
_TEXT_TYPES = frozenset(("application/json", "application/javascript", "application/xml"))
# One encoder for all events: `json.dumps` with options would build one each time. Escaping to ASCII saves a third of
# the time of a large body that has other characters.
_escaped = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_unescaped = json.JSONEncoder(separators=(",", ":"), check_circular=False, ensure_ascii=False).encode

# What Lambda accepts of a synchronous invocation.
MAX_EVENT_BYTES = 6 * 1024 * 1024

Headers = list[tuple[bytes, bytes]]


def encode(event: JsonObject, max_bytes: int) -> bytes | None:
    """The event as JSON, or None when it is larger than `max_bytes`, which count no escaping of mere characters."""
    payload = _escaped(event).encode()
    if len(payload) > max_bytes:
        payload = _unescaped(event).encode("utf-8", "surrogatepass")
    return payload if len(payload) <= max_bytes else None


class Response(NamedTuple):
    """What goes back to the client."""

    status: int
    headers: Headers
    body: bytes


class InvalidResultError(ValueError):
    """The function's result is no HTTP response; API Gateway answers 500."""


def message_response(status: int, message: str) -> Response:
    """An answer of the gateway itself: `{"message": …}`."""
    return Response(status, [(b"content-type", b"application/json")], b'{"message":"%s"}' % message.encode())


def request_parts(scope: JsonObject, now: float) -> JsonObject:
    """What integration and authorizer events share: all but the body and the route's own entries."""
    headers, cookies = _headers(scope)
    query = scope["query_string"].decode("latin-1")
    path = scope["path"]
    parts: JsonObject = {"version": "2.0", "routeKey": "", "rawPath": path, "rawQueryString": query}
    if cookies:
        parts["cookies"] = cookies
    parts["headers"] = headers
    if query:
        parts["queryStringParameters"] = _query_parameters(query)
    client = scope.get("client")
    parts["requestContext"] = {
        "accountId": ACCOUNT_ID,
        "apiId": API_ID,
        "domainName": DOMAIN_NAME,
        "domainPrefix": API_ID,
        "http": {
            "method": scope["method"],
            "path": path,
            "protocol": f"HTTP/{scope['http_version']}",
            "sourceIp": client[0] if client else "127.0.0.1",
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": f"{secrets.token_urlsafe(11)}=",
        "routeKey": "",
        "stage": "$default",
        "time": _clf_time(int(now)),
        "timeEpoch": int(now * 1000),
    }
    return parts


def _headers(scope: JsonObject) -> tuple[dict[str, str], list[str]]:
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for name, raw in scope["headers"]:
        if name in _HOP_BY_HOP:
            continue
        value = raw.decode("latin-1")
        if name == b"cookie":
            cookies += [cookie for cookie in map(str.strip, value.split(";")) if cookie]
            continue
        key = name.decode("latin-1")
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    client = scope.get("client")
    source = client[0] if client else "127.0.0.1"
    forwarded = headers.get("x-forwarded-for")
    headers["x-forwarded-for"] = f"{forwarded}, {source}" if forwarded else source
    headers["x-forwarded-port"] = str(scope["server"][1])
    headers["x-forwarded-proto"] = "http"
    if "x-amzn-trace-id" not in headers:
        headers["x-amzn-trace-id"] = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return headers, cookies


def _query_parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True, max_num_fields=None):
        parameters[key] = f"{parameters[key]},{value}" if key in parameters else value
    return parameters


_time_cache: tuple[int, str] = (0, "")


def _clf_time(second: int) -> str:
    global _time_cache
    if _time_cache[0] != second:
        _time_cache = (second, time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second)))
    return _time_cache[1]


def add_body(event: JsonObject, body: bytes) -> None:
    """Put the body into the event: as text for the text types, else as base64; without a body there is no key."""
    if not body:
        event["isBase64Encoded"] = False
        return
    kind = event["headers"].get("content-type", "").partition(";")[0].strip().lower()
    if kind in _TEXT_TYPES or kind.startswith("text/"):
        try:
            event["body"] = body.decode()
        except UnicodeDecodeError:
            pass
        else:
            event["isBase64Encoded"] = False
            return
    event["body"] = base64.b64encode(body).decode()
    event["isBase64Encoded"] = True


def response_of(payload: bytes) -> Response:
    """The response that a function's result describes; raises `InvalidResultError` when it describes none.

    A result without `statusCode` is itself the body, as JSON, of a 200.
    """
    result = json.loads(payload)
    if not isinstance(result, dict) or "statusCode" not in result:
        body = result.encode() if isinstance(result, str) else payload
        return Response(200, [(b"content-type", b"application/json")], body)
    headers = _response_headers(result)
    if not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    return Response(_status(result["statusCode"]), headers, _body(result))


def _status(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidResultError("statusCode is not a number")
    try:
        status = int(value)
    except ValueError:
        raise InvalidResultError("statusCode is not a number") from None
    if not 200 <= status <= 599:
        raise InvalidResultError("statusCode is out of range")
    return status


def _body(result: JsonObject) -> bytes:
    body = result.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise InvalidResultError("body is not a string")
    if not result.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise InvalidResultError("body is not base64") from error


def _response_headers(result: JsonObject) -> Headers:
    returned = result.get("headers") or {}
    cookies = result.get("cookies") or []
    if not isinstance(returned, dict) or not isinstance(cookies, list):
        raise InvalidResultError("headers or cookies have the wrong type")
    headers: Headers = []
    for name, value in returned.items():
        if isinstance(value, dict | list) or value is None:
            raise InvalidResultError(f"the header {name} is not a string")
        lower = name.lower().encode("latin-1", "replace")
        if lower not in _HOP_BY_HOP and lower != b"content-length":
            text = str(value).lower() if isinstance(value, bool) else str(value)
            headers.append((lower, text.encode("utf-8")))
    headers += [(b"set-cookie", str(cookie).encode()) for cookie in cookies]
    return headers
