"""Errors as PostgREST answers them: `{code, message, details, hint}` and the SQLSTATE → HTTP status table.

The table is PostgREST's (https://docs.postgrest.org/en/v14/references/errors.html).

GatewayError    refused by the gateway itself: codes PGRST…
PostgresError   raised by Postgres: its SQLSTATE is the code
"""

from __future__ import annotations

import json
import re

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json; charset=utf-8")

_STATUS = {
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "42501": 403,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53400": 500,
    "57P01": 503,
    "P0001": 400,
}
# By the class, the first two characters; all others are 400.
_CLASS_STATUS = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "21": 500,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0": 500,
    "XX": 500,
}
_RAISE_HINTS = {
    "MESSAGE": "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: "
    "'details', 'hint'.",
    "DETAIL": "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'.",
}
# What may not stand in a header (RFC 9110, section 5.5).
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class GatewayError(Exception):
    """The request was refused by the gateway."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: str | None = None,
        hint: str | None = None,
        headers: Headers | None = None,
    ) -> None:
        """`headers` are the answer's, beside those that every error has."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.hint = hint
        self.headers = headers or []

    def answer(self) -> tuple[int, Headers, bytes]:
        """The status, headers and body of the response."""
        fields = {"code": self.code, "message": self.message, "details": self.details, "hint": self.hint}
        body = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        headers = [JSON_TYPE, *self.headers]
        names = {name for name, _ in headers}
        headers.append((b"proxy-status", b"PostgREST; error=" + _UNPRINTABLE.sub("", self.code).encode()))
        if self.status == 401 and b"www-authenticate" not in names:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.status == 503 and b"retry-after" not in names:
            headers.append((b"retry-after", b"1"))
        headers.append((b"content-length", b"%d" % len(body)))
        return self.status, headers, body


class PostgresError(Exception):
    """A statement failed in Postgres; its transaction was rolled back."""

    def __init__(self, code: str, message: str, details: str | None, hint: str | None) -> None:
        """`code` is the SQLSTATE."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.hint = hint

    def for_client(self, *, anonymous: bool) -> GatewayError:
        """The answer to a client, who is `anonymous` when it could do more by signing in."""
        if self.code == "PGRST":
            return _raised(self)
        return GatewayError(self._status(anonymous), self.code, self.message, details=self.details, hint=self.hint)

    def _status(self, anonymous: bool) -> int:
        code = self.code
        if code.startswith("PT"):
            number = int(code[2:]) if code[2:].isdigit() else 500
            return number if 200 <= number <= 599 else 500
        if code == "42501" and anonymous:
            return 401
        if code == "22023" and self.message.startswith('role "'):
            return 401
        if code == "21000" and self.message.endswith("requires a WHERE clause"):
            return 400
        return _STATUS.get(code) or _CLASS_STATUS.get(code[:2], 400)


def unsupported(what: str) -> GatewayError:
    """The refusal of a part of PostgREST that this gateway leaves out."""
    return GatewayError(400, "PGRST127", "Feature not implemented", details=f"{what} is not supported by this gateway.")


def unreadable(kind: str, text: str, details: str | None = None) -> GatewayError:
    """The refusal of a part of the query string, with the part."""
    return GatewayError(400, "PGRST100", f'"failed to parse {kind} ({text})" (line 1, column 1)', details=details)


def invalid_body() -> GatewayError:
    """The refusal of a body that is no JSON."""
    return GatewayError(400, "PGRST102", "Empty or invalid json")


def guc_headers(text: bytes) -> Headers:
    """The headers that a function set by `response.headers`: `[{name: value}, …]`. Raises `GatewayError`."""
    try:
        items = json.loads(text)
        headers = [_header(*pair) for item in items for (pair,) in [item.items()]]
        if not isinstance(items, list):
            raise TypeError(text)
    except (ValueError, TypeError, AttributeError):
        message = "response.headers guc must be a JSON array composed of objects with a single key and a string value"
        raise GatewayError(500, "PGRST111", message) from None
    return headers


def guc_status(text: bytes) -> int:
    """The status that a function set by `response.status`. Raises `GatewayError`."""
    if not text.isdigit() or not 200 <= int(text) <= 599:
        raise GatewayError(500, "PGRST112", "response.status guc must be a valid status code")
    return int(text)


def _header(name: str, value: object) -> tuple[bytes, bytes]:
    if not isinstance(value, str) or _UNPRINTABLE.search(name + value) or not name or " " in name or ":" in name:
        raise ValueError(name)
    return name.lower().encode(), value.encode()


def _raised(error: PostgresError) -> GatewayError:
    """The answer that a function described in full by `raise sqlstate 'PGRST'`."""
    try:
        part, text = "MESSAGE", error.message
        message = json.loads(text)
        code, shown = str(message["code"]), str(message["message"])
        part, text = "DETAIL", error.details or ""
        if error.details is None:
            return _unreadable_raise(part, "DETAIL is missing in the RAISE statement")
        detail = json.loads(text)
        status = int(detail["status"])
        headers = [_header(name, value) for name, value in detail["headers"].items()]
    except (ValueError, TypeError, KeyError, AttributeError):
        return _unreadable_raise(part, f"Invalid JSON value for {part}: '{text}'")
    status = status if 200 <= status <= 599 else 500
    return GatewayError(status, code, shown, details=message.get("details"), hint=message.get("hint"), headers=headers)


def _unreadable_raise(part: str, details: str) -> GatewayError:
    message = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"
    return GatewayError(500, "PGRST121", message, details=details, hint=_RAISE_HINTS[part])
