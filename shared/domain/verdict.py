"""What becomes of a delivery."""

from __future__ import annotations

from typing import Literal

Verdict = Literal[
    "accepted",
    "duplicate",
    "filtered",
    "throttled",
    "rejected_signature",
    "rejected_stale",
    "rejected_malformed",
    "paused",
    "handshake",
]
