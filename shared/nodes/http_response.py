"""Reading an HTTP response: its size limit, its decoding, and the error class of a failed one."""

from __future__ import annotations

import base64
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

import httpx

from shared.domain.json.body_parsing import is_json, read_json
from shared.errors import InvalidRequestError
from shared.nodes.charsets import charset_of
from shared.nodes.content_decoding import BodyDecoder
from shared.nodes.node_kinds import Completed, NodeError

# How much of a failed response's body its error contains, in characters, and how much of it is read for that: secrets
# are redacted first, and one that is cut off after the latter stands far behind the former.
ERROR_BODY_CHARACTERS = 2_000
_SEARCHED_CHARACTERS = 262_144
_TEXTUAL = ("text/", "application/xml", "application/javascript", "application/x-www-form-urlencoded")
# Cookies are credentials, and a response's headers are stored permanently.
_DROPPED = frozenset({"set-cookie", "set-cookie2"})


class Wanted(Protocol):
    """The node's parameters that say how its response is read."""

    @property
    def response(self) -> str: ...
    @property
    def success(self) -> list[int | str]: ...
    @property
    def max_response_bytes(self) -> int: ...


class Received(NamedTuple):
    """A successful response, its body not parsed yet."""

    status: int
    headers: dict[str, str]
    raw: bytes


async def received(
    wanted: Wanted, response: httpx.Response, now: float, redact: Callable[[str], str] = str, note: str = ""
) -> Received:
    """The whole response; a status that is no success, or a body that is too large, raises `NodeError`, which has the
    beginning of the body as `redact` leaves it, and `note` at the end of its message."""
    raw = await _read(response, wanted.max_response_bytes)
    status = response.status_code
    headers = {name: value for name, value in response.headers.items() if name not in _DROPPED}
    if not any(_matches(status, pattern) for pattern in wanted.success):
        body = redact(raw.decode(errors="replace")[:_SEARCHED_CHARACTERS])
        details = {"status": status, "body": body[:ERROR_BODY_CHARACTERS]}
        message = f"The server answered {status} {response.reason_phrase}".strip() + "." + note
        raise NodeError(_class(status), message, details, retry_after(response.headers, now))
    return Received(status, headers, raw)


def completed(wanted: Wanted, response: Received) -> Completed:
    """The output `{status, headers, body}`; a body that cannot be read raises `NodeError`."""
    body = _body(wanted.response, response.headers, response.raw)
    return Completed({"status": response.status, "headers": response.headers, "body": body})


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
    # Raw: httpx would decode every coding that the header lists, and each chunk as a whole.
    async for chunk in response.aiter_raw():
        decoder.take(chunk)
    return decoder.finish()


def _body(wanted: str, headers: dict[str, str], raw: bytes) -> object:
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if wanted == "json" or (wanted == "auto" and is_json(content_type)):
        if not raw and wanted == "auto":
            return None
        try:
            return read_json(raw)
        except InvalidRequestError as error:
            if wanted == "json":
                raise NodeError("invalid_output", f"The answer is not JSON: {error.detail}") from error
            return raw.decode(errors="replace")
    if wanted == "base64":
        return base64.b64encode(raw).decode()
    if wanted == "text" or content_type.startswith(_TEXTUAL):
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
