"""Takes secrets out of a delivery's texts that are not where they belong.

A sender may be set up wrongly: the right token under another header, or as `?key=`, or an API key of this service in
the webhook's URL. Intake knows these values, and what it writes down is kept and shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.domain.expressions.redaction import UnsearchableError, redacted
from shared.webhooks.intake.webhook_cache import LONG_CHARACTERS

WEBHOOK_SECRET, API_KEY = "[webhook_secret]", "[api_key]"
_API_KEY = re.compile(r"wk_[0-9a-f]{32}_[A-Za-z0-9_-]*", re.ASCII)


def without_secrets(texts: Sequence[str], secrets: Sequence[str]) -> list[str]:
    """The texts with placeholders for these secrets, in any form, and for API keys of this service."""
    short = {secret for secret in secrets if len(secret) < LONG_CHARACTERS}
    left = [WEBHOOK_SECRET if text in short else _API_KEY.sub(API_KEY, text) for text in texts]
    try:
        # One by one, as all have the same placeholder.
        for secret in secrets:
            if len(secret) >= LONG_CHARACTERS:
                left = redacted(left, {WEBHOOK_SECRET: secret})
    except UnsearchableError:
        return [WEBHOOK_SECRET if text else text for text in left]
    return left
