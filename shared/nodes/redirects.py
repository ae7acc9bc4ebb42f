"""Follows redirects: what was meant for one origin does not go to another.

httpx would send on every header but `Authorization` and `Cookie`, and with 307 and 308 the body, wherever the server
points to.
"""

from __future__ import annotations

import re

import httpx

from shared.nodes.guarded_transport import OutboundRefusedError

MAX_REDIRECTS = 5
# What another origin may know: how the body is to be read, what answer is wanted, and that a repetition is one.
# Anything else may be a credential, whatever its name.
SAFE_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-language",
        "content-type",
        "idempotency-key",
        "user-agent",
    }
)
# Those of the message itself.
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection"})
# This service's own credentials: an API key, and the URL of a signal.
_CREDENTIALS = {
    "an API key of this service": re.compile(rb"wk_[0-9a-f]{32}_[A-Za-z0-9_-]{43}"),
    "the URL of a signal": re.compile(rb"signals(?:\\{0,8}/|%(?:25){0,8}2f)[A-Za-z0-9_-]{86}\.", re.IGNORECASE),
}


async def send(client: httpx.AsyncClient, request: httpx.Request, *, follow: bool) -> httpx.Response:
    """The response, its body not read yet; with `follow`, that at the end of the redirects.

    A redirect that would take a credential in the body to another origin raises `OutboundRefusedError`, more than
    `MAX_REDIRECTS` raise `httpx.TooManyRedirects`.
    """
    for _ in range(MAX_REDIRECTS + 1):
        response = await client.send(request, stream=True, follow_redirects=False)
        following = response.next_request
        if not follow or following is None:
            return response
        await response.aclose()
        if not _is_same_origin(request.url, following.url):
            _leave_origin(request.url, following)
        request = following
    raise httpx.TooManyRedirects("Exceeded maximum allowed redirects.", request=request)


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port, as in a message."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"


def _is_same_origin(before: httpx.URL, after: httpx.URL) -> bool:
    """Whether both are one server; from HTTP to HTTPS at their usual ports it stays the same."""
    if before.host != after.host:
        return False
    is_upgrade = (before.scheme, _port(before), after.scheme, _port(after)) == ("http", 80, "https", 443)
    return is_upgrade or (before.scheme, _port(before)) == (after.scheme, _port(after))


def _port(url: httpx.URL) -> int | None:
    return url.port or {"http": 80, "https": 443}.get(url.scheme)


def _leave_origin(before: httpx.URL, following: httpx.Request) -> None:
    """Takes out of the request what was meant for the origin before."""
    for name in set(following.headers) - SAFE_HEADERS - _FRAMING:
        del following.headers[name]
    body = b"".join(following.stream) if isinstance(following.stream, httpx.ByteStream) else b""
    for what, pattern in _CREDENTIALS.items():
        if pattern.search(body):
            raise OutboundRefusedError(
                f"{origin_of(before)} redirects to {origin_of(following.url)}, and the body has {what}, which is not "
                "sent to another origin: write the final URL, or set follow_redirects to false."
            )
