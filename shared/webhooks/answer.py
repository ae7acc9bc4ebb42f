"""What a provider is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers and a body."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(status: int, body: dict[str, Any]) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(body, separators=(",", ":")).encode())
