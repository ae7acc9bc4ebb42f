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
    "unpublished",
    "held",
    "handshake",
]
# What only a delivery is that has verified. A handshake may have, and `accepted` is one that has unless its line says
# otherwise.
PROVEN: frozenset[str] = frozenset({"duplicate", "filtered", "throttled", "paused", "unpublished", "held"})
