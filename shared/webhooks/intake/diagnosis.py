"""Why a delivery was refused, for the webhook's owner to act on; a sender never sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.provider import Provider
from shared.webhooks.signatures.encodings import DECODERS
from shared.webhooks.signatures.scheme import Key, Scheme
from shared.webhooks.signatures.verification import verify

# Diagnosis hashes the body several times more, which a forger must not be able to make expensive.
MAX_GUESSED_BYTES = 65_536


def diagnose(
    provider: Provider, delivery: Delivery, secrets: Sequence[str], now: float, reason: str
) -> tuple[str, str]:
    """The delivery log's verdict and the reason, more precise than the verification's `reason` where that is
    possible."""
    kind = reason.partition(":")[0]
    if kind in ("timestamp_too_old", "timestamp_in_future"):
        return "rejected_stale", reason
    if kind == "header_missing":
        other = other_provider(provider.id, delivery.headers)
        if other:
            return "rejected_signature", f"wrong_provider_path: this looks like a delivery of {other}"
        return "rejected_signature", reason
    if kind in ("body_malformed", "timestamp_malformed"):
        return "rejected_malformed", reason
    if kind != "signature_mismatch":
        return "rejected_signature", reason
    is_cheap = len(delivery.body) <= MAX_GUESSED_BYTES and delivery.work.is_light
    if is_cheap and provider.scheme.kind in ("hmac", "hash"):
        return "rejected_signature", _guess(provider.scheme, delivery, secrets, now)
    return "rejected_signature", "wrong_secret"


def other_provider(provider_id: str, headers: Mapping[str, str]) -> str | None:
    """The provider whose signature header the delivery has; `None` for none, or several."""
    providers = {name for header, name in _signature_headers().items() if header in headers and name != provider_id}
    return providers.pop() if len(providers) == 1 else None


def _guess(scheme: Scheme, delivery: Delivery, secrets: Sequence[str], now: float) -> str:
    for body, what in _bodies(delivery.body):
        if _signed(scheme, replace(delivery, body=body), secrets, now):
            return f"body_modified: {what}"
    for changed, texts, what in _secrets(scheme, secrets):
        if _signed(changed, delivery, texts, now):
            return f"wrong_secret: {what}"
    return "wrong_secret"


def _signed(scheme: Scheme, delivery: Delivery, secrets: Sequence[str], now: float) -> bool:
    reason = verify(scheme, delivery, secrets, now).reason
    # The time is judged after the signature: that had fitted.
    return reason is None or reason.startswith("timestamp_")


def _bodies(body: bytes) -> Iterator[tuple[bytes, str]]:
    """What the body may have been before a proxy changed it, and how it was changed."""
    from shared.domain.json.values import parse_json
    from shared.errors import InvalidRequestError

    yield body.rstrip(b"\r\n"), "line breaks were added at its end"
    yield body + b"\n", "the line break at its end was cut off"
    yield body.replace(b"\r\n", b"\n"), "its line breaks were changed"
    yield body.replace(b"\n", b"\r\n"), "its line breaks were changed"
    yield body.removeprefix(b"\xef\xbb\xbf"), "a byte order mark was added"
    try:
        value: object = parse_json(body, refuse_unstorable=False)
        # Not exactly as JavaScript writes it, at a tenth of the cost: a forger may cause many of these.
        yield _compact(value, ensure_ascii=False), "its JSON was written again with other spaces"
        yield _compact(value, ensure_ascii=True), "its JSON was written again, unescaped"
    except (InvalidRequestError, UnicodeEncodeError, RecursionError):
        return


def _compact(value: object, *, ensure_ascii: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ensure_ascii, separators=(",", ":")).encode()


def _secrets(scheme: Scheme, secrets: Sequence[str]) -> Iterator[tuple[Scheme, list[str], str]]:
    stripped = [secret.strip() for secret in secrets]
    if stripped != list(secrets):
        yield scheme, stripped, "there is blank space around it"
    for encoding in ("utf8", *DECODERS):
        if encoding not in scheme.key.encodings:
            key = Key((encoding,), scheme.key.prefixes, scheme.key.template)
            yield scheme._replace(key=key), list(secrets), f"it would fit as {encoding}"


@cache
def _signature_headers() -> dict[str, str]:
    """Every provider's own signature header, where no two share it."""
    from shared.webhooks.providers.catalog import provider_data, provider_ids

    provider_by_header: dict[str, str | None] = {}
    for provider_id in provider_ids():
        data = provider_data(provider_id) or {}
        places = data["scheme"].get("signature", {}).get("in", ())
        for place in [places] if isinstance(places, str) else places:
            header = place.lower().removeprefix("header:")
            if place.lower().startswith("header:") and header != "authorization":
                provider_by_header[header] = None if header in provider_by_header else provider_id
    return {header: name for header, name in provider_by_header.items() if name is not None}
