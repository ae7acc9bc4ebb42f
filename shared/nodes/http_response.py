"""Reading an HTTP answer: how much of it, as what, and what kind of failure it is."""

from __future__ import annotations

import base64
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol

import httpx

from shared.domain.json.body_parsing import is_json, read_json
from shared.errors import InvalidRequestError
from shared.nodes.charsets import charset_of
from shared.nodes.content_decoding import BodyDecoder
from shared.nodes.node_kinds import Completed, NodeError

# How much of a failure's body is kept in its error, in characters.
ERROR_BODY_CHARACTERS = 2_000
_TEXTUAL = ("text/", "application/xml", "application/javascript", "application/x-www-form-urlencoded")
# Cookies are credentials; an answer's headers are kept for good.
_DROPPED = frozenset({"set-cookie", "set-cookie2"})


class Wanted(Protocol):
    """The parameters that say how an answer is read."""

    @property
    def response(self) -> str: ...
    @property
    def success(self) -> list[Any]: ...
    @property
    def max_response_bytes(self) -> int: ...


class Received(NamedTuple):
    """An answer with a status that is a success, its body as it came."""

    status: int
    headers: dict[str, str]
    raw: bytes


async def received(wanted: Wanted, response: httpx.Response, now: float) -> Received:
    """The whole answer; a status that is no success, or a body that is too large, raises `NodeError`."""
    raw = await _read(response, wanted.max_response_bytes)
    status = response.status_code
    headers = {name: value for name, value in response.headers.items() if name not in _DROPPED}
    if not any(_matches(status, one) for one in wanted.success):
        details = {"status": status, "body": raw.decode(errors="replace")[:ERROR_BODY_CHARACTERS]}
        message = f"The server answered {status} {response.reason_phrase}".strip() + "."
        raise NodeError(_class(status), message, details, retry_after(response.headers, now))
    return Received(status, headers, raw)


def completed(wanted: Wanted, answer: Received) -> Completed:
    """The output `{status, headers, body}`; a body that cannot be read raises `NodeError`."""
    body = _body(wanted.response, answer.headers, answer.raw)
    return Completed({"status": answer.status, "headers": answer.headers, "body": body})


def retry_after(headers: httpx.Headers, now: float) -> float | None:
    """How many seconds the server asks to wait: `Retry-After` (RFC 9110 §10.2.3) or its rate limit's reset."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():  # "²" is a digit, too
        return float(text)
    if text:
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now)
        except (ValueError, OverflowError):  # a year beyond all calendars
            return None
    if headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining")) != "0":
        return None
    reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
    try:
        seconds = float(reset)
    except ValueError:
        return None
    # Some servers give the seconds to wait, others the Unix time to wait for.
    return max(0.0, seconds - now if seconds > 1_000_000_000 else seconds)


async def _read(response: httpx.Response, limit: int) -> bytes:
    decoder = BodyDecoder(response.headers.get("content-encoding", ""), limit)
    # Raw: httpx would take off as many codings as it is told of, each chunk whole.
    async for chunk in response.aiter_raw():
        decoder.take(chunk)
    return decoder.finish()


def _body(kind: str, headers: dict[str, str], raw: bytes) -> Any:
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "json" or (kind == "auto" and is_json(content_type)):
        if not raw and kind == "auto":
            return None
        try:
            return read_json(raw)
        except InvalidRequestError as error:
            if kind == "json":
                raise NodeError("invalid_output", f"The answer is not JSON: {error.detail}") from error
            return raw.decode(errors="replace")
    if kind == "base64":
        return base64.b64encode(raw).decode()
    if kind == "text" or content_type.startswith(_TEXTUAL):
        return raw.decode(charset_of(headers.get("content-type", "")), errors="replace")
    if not raw:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode()


def _matches(status: int, pattern: int | str) -> bool:
    if isinstance(pattern, int):
        return status == pattern
    if pattern.endswith("xx"):
        return status // 100 == int(pattern[0])
    low, _, high = pattern.partition("-")
    return int(low) <= status <= int(high or low)


def _class(status: int) -> str:
    return "http_429" if status == 429 else f"http_{status // 100}xx"
