"""Public keys that a provider publishes: fetched from its own hosts, and cached within bounds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.signatures.scheme import Scheme

MAX_DOCUMENT_BYTES = 131_072
MAX_REMEMBERED = 200
TIMEOUT_SECONDS = 3.0
# After a failure the URL is not fetched again at once: forged deliveries must not make us flood the provider.
FAILURE_SECONDS = 30.0
# A key that is not in a cached set may be new: how often the set may be fetched again for that.
REFETCH_SECONDS = 60.0

# Fetched keys belong to no tenant: the connections are the service's own.
OWN = ""

_Place = tuple[str, frozenset[str]]


@dataclass(slots=True)
class _Document:
    fetched_at: float
    raw: bytes | None


class FetchedKeys:
    """This process's cache of keys. `allowed` are always hosts that a tenant may reach although they are not public;
    what was fetched under one such list is not used under another."""

    def __init__(self) -> None:
        """Empty."""
        self._documents: dict[_Place, _Document] = {}
        self._under_way: dict[_Place, asyncio.Task[bytes | None]] = {}

    async def find(
        self, scheme: Scheme, delivery: Delivery, now: float, allowed: frozenset[str] = frozenset()
    ) -> list[Any]:
        """The keys that may have signed this delivery; none where the URL is not the provider's or does not answer."""
        assert scheme.fetch is not None, "only schemes with a place are asked for"
        url = scheme.fetch.url_for(SignatureContext(delivery))
        if url is None:
            return []
        wanted = None
        if scheme.kind == "jwt":
            from shared.webhooks.signatures.jwt import key_id

            wanted = key_id(scheme, delivery)
        place = (url, allowed)
        raw = await self.document(url, scheme.fetch.max_age_seconds, allowed)
        keys, is_known = keys_in_document(raw, scheme.fetch.format, wanted, now)
        if not is_known and self._age(place) > REFETCH_SECONDS:
            self._documents.pop(place, None)
            raw = await self.document(url, scheme.fetch.max_age_seconds, allowed)
            keys, _ = keys_in_document(raw, scheme.fetch.format, wanted, now)
        return keys

    def _age(self, place: _Place) -> float:
        document = self._documents.get(place)
        return 0.0 if document is None else time.monotonic() - document.fetched_at

    async def document(self, url: str, max_age_seconds: int, allowed: frozenset[str] = frozenset()) -> bytes | None:
        """The document at the URL, cached; fetched once, however many callers want it at the same time."""
        place = (url, allowed)
        document = self._documents.get(place)
        if document is not None:
            lifetime = FAILURE_SECONDS if document.raw is None else max_age_seconds
            if self._age(place) < lifetime:
                return document.raw
        if place not in self._under_way:
            self._under_way[place] = asyncio.create_task(self._fetch(place))
        try:
            # Shielded: a caller that is cancelled must not end the fetch for the others.
            return await asyncio.shield(self._under_way[place])
        finally:
            self._under_way.pop(place, None)

    async def _fetch(self, place: _Place) -> bytes | None:
        raw = await fetch_document(*place)
        if len(self._documents) >= MAX_REMEMBERED:
            self._make_room()
        self._documents[place] = _Document(time.monotonic(), raw)
        return raw

    def _make_room(self) -> None:
        """Evicts failed fetches, whose URLs anybody can make up, before any key."""
        silent = [place for place, document in self._documents.items() if document.raw is None]
        for place in silent or [min(self._documents, key=lambda place: self._documents[place].fetched_at)]:
            del self._documents[place]


async def fetch_document(url: str, allowed: frozenset[str]) -> bytes | None:
    """The document at the URL, without following redirects; `None` for anything but a 200 within its bounds of size
    and time."""
    import httpx

    from shared.nodes.guarded_transport import OutboundRefusedError
    from shared.nodes.outbound import outbound

    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), outbound().client(OWN, allowed) as client:
            request = client.build_request("GET", url, headers={"accept-encoding": "identity"})
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                raw = b""
                async for chunk in response.aiter_raw():
                    raw += chunk
                    if len(raw) > MAX_DOCUMENT_BYTES:
                        return None
            finally:
                await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, OutboundRefusedError, TimeoutError, OSError):
        return None
    return raw if response.status_code == 200 else None


def keys_in_document(raw: bytes | None, format_: str, kid: str | None, now: float) -> tuple[list[Any], bool]:
    """The keys in a document, and whether the one that is wanted is among them."""
    from shared.webhooks.signatures.public_keys import certificate_key, jwks, load

    if raw is None:
        # Known, so that a fetch which has just failed is not repeated.
        return [], True
    if format_ == "x509":
        key = certificate_key(raw, now)
        return ([key] if key else []), True
    try:
        if format_ == "jwks":
            keys = jwks(raw)
            named = [key for name, key in keys if kid is not None and name == kid]
            # A `kid` is only a hint, and unsigned: without one of that name, every key is tried.
            return (named or [key for _, key in keys]), kid is None or bool(named)
        text = raw.decode()
        if format_.startswith("json:"):
            from shared.domain.json.values import parse_json
            from shared.errors import InvalidRequestError
            from shared.webhooks.signatures.json_path import parse_path, values

            try:
                value = next(values(parse_json(raw), parse_path(format_.removeprefix("json:"))), None)
            except InvalidRequestError:
                value = None
            text = value if isinstance(value, str) else ""
    except (ValueError, RecursionError):
        return [], True
    loaded = load(text, "pem")
    return ([loaded] if loaded else []), True
