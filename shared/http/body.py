"""Parses request bodies into the command's model: JSON, whatever the content type says, at most 1 MiB."""

from __future__ import annotations

import base64
import binascii

from shared.domain.json.values import parse_json
from shared.errors import InvalidRequestError, PayloadTooLargeError, Problem
from shared.http.validation import Model, validated
from shared.json_types import JsonMapping

MAX_BODY_BYTES = 1_048_576


def read_body(event: JsonMapping) -> bytes:
    """The body's bytes as they were sent; empty without one.

    API Gateway encodes it in base64 where the content type is not text: a form (curl's default), or missing.
    """
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRequestError("The body is not base64.") from None
    return str(body).encode("utf-8", "surrogatepass")


def parse_body(event: JsonMapping, model: type[Model], max_bytes: int = MAX_BODY_BYTES) -> Model:
    """The command in the body; no body counts as an empty object.

    Malformed JSON, wrong types and unknown fields raise `InvalidRequestError` with every problem, more than
    `max_bytes` raises `PayloadTooLargeError`.
    """
    raw = read_body(event)
    if len(raw) > max_bytes:
        raise PayloadTooLargeError(f"The body has {len(raw)} bytes; the limit is {max_bytes}.")
    # Of two members with one name, clients and proxies may mean different ones.
    data = parse_json(raw, refuse_duplicates=True) if raw.strip() else {}
    if not isinstance(data, dict):
        problem = Problem("", "The body must be a JSON object.")
        raise InvalidRequestError(problem.message, problems=(problem,))
    return validated(data, model, "The request body")
