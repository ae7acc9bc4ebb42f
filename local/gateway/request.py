"""A request as the gateway reads it: its path, preferences, content types and range."""

from __future__ import annotations

import json
from dataclasses import dataclass

from local.gateway.errors import GatewayError, invalid_body, unsupported

OBJECT_TYPE = b"application/vnd.pgrst.object+json"
_ACCEPTED = {b"*/*", b"application/*", b"application/json", b"application/vnd.pgrst.array+json"}
_OBJECT_TYPES = {OBJECT_TYPE, b"application/vnd.pgrst.object"}
# In the order in which they are confirmed, and with the values that have an effect here.
_PREFERENCES = {
    "resolution": {"merge-duplicates", "ignore-duplicates"},
    "missing": {"default", "null"},
    "return": {"representation", "minimal"},
    "count": {"exact"},
    "handling": {"strict", "lenient"},
}
_LEFT_OUT = {
    "return": {"headers-only"},
    "count": {"planned", "estimated"},
}


@dataclass(slots=True)
class Request:
    """One request, its body read. `path` is below the mount and decoded; `query` is the raw query string."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def reads(self) -> bool:
        """Whether the method promises to change nothing."""
        return self.method in ("GET", "HEAD")

    def schema(self, exposed: list[str]) -> str:
        """The schema by the profile header; the first one exposed without it. Raises `GatewayError`."""
        header = self.headers.get(b"accept-profile" if self.reads else b"content-profile")
        if header is None:
            return exposed[0]
        wanted = header.decode("utf-8", "replace")
        if wanted not in exposed:
            hint = f"Only the following schemas are exposed: {', '.join(exposed)}"
            raise GatewayError(406, "PGRST106", f"Invalid schema: {wanted}", hint=hint)
        return wanted

    def wants_object(self) -> bool:
        """Whether one row is wanted without a list around it. Raises `GatewayError` for a type that is not served."""
        header = self.headers.get(b"accept", b"*/*")
        if header in _ACCEPTED:
            return False
        types = [item.partition(b";") for item in header.split(b",")]
        for name, _, options in types:
            if b"nulls=stripped" in options:
                raise unsupported("Accept: …;nulls=stripped")
            if name.strip() in _OBJECT_TYPES:
                return True
            if name.strip() in _ACCEPTED:
                return False
        message = f"None of these media types are available: {header.decode('latin-1')}"
        raise GatewayError(406, "PGRST107", message)

    def refuse_range(self) -> None:
        """Raises `GatewayError` for a GET by the Range header: the clients send limit and offset."""
        if self.method == "GET" and b"range" in self.headers:
            raise unsupported("The Range header")

    def check_content_type(self) -> None:
        """Raises `GatewayError` when the body is declared as anything but JSON."""
        header = self.headers.get(b"content-type", b"application/json")
        if header.partition(b";")[0].strip().lower() != b"application/json":
            raise GatewayError(400, "PGRST102", f"Content-Type not acceptable: {header.decode('latin-1')}")


def preferences(header: bytes | None) -> dict[str, str]:
    """The preferences of a Prefer header, in the order of confirmation; of two values the first counts (RFC 7240).

    Raises `GatewayError` for what PostgREST would do and this gateway does not, and, under `handling=strict`, for
    anything unknown.
    """
    if header is None:
        return {}
    values: dict[str, str] = {}
    invalid: list[str] = []
    for item in header.decode("latin-1").split(","):
        key, _, value = item.strip().partition("=")
        if key in values:
            continue
        if value in _LEFT_OUT.get(key, ()) or key in ("timezone", "max-affected"):
            raise unsupported(f"Prefer: {item.strip()}")
        if value in _PREFERENCES.get(key, ()):
            values[key] = value
        elif key != "tx":  # PostgREST's `db-tx-end` leaves it without effect by default
            invalid.append(item.strip())
    if invalid and values.get("handling") == "strict":
        message = "Invalid preferences given with handling=strict"
        raise GatewayError(400, "PGRST122", message, details=f"Invalid preferences: {', '.join(invalid)}")
    return {key: values[key] for key in _PREFERENCES if key in values}


def parse_json(body: bytes) -> object:
    """The value of a JSON body. Raises `GatewayError`."""
    try:
        return json.loads(body, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise invalid_body() from None


def refuse_constant(text: str) -> None:
    """Raises `ValueError`: Python's parser would accept NaN and the infinities, which are not JSON."""
    raise ValueError(text)
