"""The `Idempotency-Key` header, under which a repeated request has an effect only once."""

from __future__ import annotations

from collections.abc import Mapping

from shared.domain.json.values import is_storable
from shared.errors import InvalidRequestError

MAX_LENGTH = 255


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """The key, quoted or not; `None` without one. An empty, too long or unstorable one raises `InvalidRequestError`.

    https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ has it in quotes; many clients do not.
    """
    header = headers.get("idempotency-key")
    if header is None:
        return None
    key = header.strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1]
    if not 0 < len(key) <= MAX_LENGTH:
        raise InvalidRequestError(f"An Idempotency-Key has 1 to {MAX_LENGTH} characters.")
    if not is_storable(key):
        raise InvalidRequestError("An Idempotency-Key has neither NUL characters nor halves of surrogate pairs.")
    return key
