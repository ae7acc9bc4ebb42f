"""The header `Prefer: wait=N` (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Mapping

# API Gateway's timeout is 30 seconds; the rest is for starting and responding.
MAX_WAIT_SECONDS = 25


def wait_seconds(headers: Mapping[str, str]) -> int:
    """How long the caller wants to wait, at most 25 seconds; 0 without a valid preference."""
    for preference in headers.get("prefer", "").split(","):
        wanted = re.fullmatch(r'wait\s*=\s*"?([0-9]{1,9})"?', preference.split(";")[0].strip(), re.IGNORECASE)
        if wanted:
            return min(int(wanted[1]), MAX_WAIT_SECONDS)
    return 0
