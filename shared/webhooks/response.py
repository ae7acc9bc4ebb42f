"""The answer to a provider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from shared.json_types import JsonObject


class Answer(NamedTuple):
    """A status, headers and a body."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = MappingProxyType({})


def json_answer(status: int, body: JsonObject) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(body, separators=(",", ":")).encode())
