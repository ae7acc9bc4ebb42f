"""The API's OpenAPI document as `make catalog` wrote it: serving it imports no models."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from shared.json_types import JsonObject

# `make catalog` writes it; the build puts it beside the code.
PATH = Path(__file__).parents[2] / "docs" / "openapi.json"


@cache
def document() -> JsonObject:
    """The document that `shared.http.openapi` built; treat it as read-only."""
    parsed: JsonObject = json.loads(PATH.read_bytes())
    return parsed
