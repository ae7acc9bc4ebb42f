"""Takes secrets out of a delivery's texts that are not where they belong.

A sender may be set up wrongly: the right token under another header, or as `?key=`, or an API key or a user's token of
this service in the webhook's URL. Intake knows these values, and what it writes down is kept and shown.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from shared.domain.expressions.redaction import UnsearchableError, redacted
from shared.webhooks.intake.webhook_cache import LONG_CHARACTERS

WEBHOOK_SECRET, API_KEY, USER_TOKEN = "[webhook_secret]", "[api_key]", "[user_token]"
_API_KEY = re.compile(r"wk_[0-9a-f]{32}_[A-Za-z0-9_-]*", re.ASCII)
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]*\.(eyJ[A-Za-z0-9_-]*)\.[A-Za-z0-9_-]*", re.ASCII)
# How the issuer of Supabase's tokens ends. A sender's own token has another one, and may be what its workflow reads.
_ISSUER = b'/auth/v1"'


def without_secrets(texts: Sequence[str], secrets: Sequence[str]) -> list[str]:
    """The texts with placeholders for these secrets, in any form, and for this service's API keys and user tokens."""
    short = {secret for secret in secrets if len(secret) < LONG_CHARACTERS}
    left = [WEBHOOK_SECRET if text in short else _without_keys(text) for text in texts]
    try:
        # One by one, as all have the same placeholder.
        for secret in secrets:
            if len(secret) >= LONG_CHARACTERS:
                left = redacted(left, {WEBHOOK_SECRET: secret})
    except UnsearchableError:
        return [WEBHOOK_SECRET if text else text for text in left]
    return left


def _without_keys(text: str) -> str:
    return _JWT.sub(_unless_foreign, _API_KEY.sub(API_KEY, text))


def _unless_foreign(token: re.Match[str]) -> str:
    # One character more than whole groups is no base64, and whoever sends it must not end the request.
    encoded = token[1][:-1] if len(token[1]) % 4 == 1 else token[1]
    claims = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    return USER_TOKEN if _ISSUER in claims else token[0]
