"""Cross-checked with the Standard Webhooks reference library, in both directions."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from local.signing.deliveries import sign
from shared.webhooks.delivery import Delivery
from shared.webhooks.signatures.verification import verify
from tests.unit.webhooks.builders import fitted

bodies = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), st.integers(), max_size=3)
keys = st.binary(min_size=24, max_size=64).filter(lambda key: key.strip(b" \t\r\n\v\f\x00"))
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)


@given(body=bodies, key=keys, message_id=ids)
def test_theirs_signs_ours_verifies(body: dict[str, int], key: bytes, message_id: str) -> None:
    """What the library signs is accepted."""
    secret, now = f"whsec_{base64.b64encode(key).decode()}", datetime.now(UTC)
    text = json.dumps(body)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, text),
    }
    delivery = Delivery("POST", headers, text.encode())
    assert verify(fitted("standard_webhooks").scheme, delivery, [secret], now.timestamp()).accepted


@given(body=bodies, key=keys, message_id=ids)
def test_ours_signs_theirs_verifies(body: dict[str, int], key: bytes, message_id: str) -> None:
    """What we sign is accepted by the library."""
    secret = f"whsec_{base64.b64encode(key).decode()}"
    text = json.dumps(body)
    delivery = Delivery("POST", {"webhook-id": message_id}, text.encode())
    headers = sign(fitted("standard_webhooks"), delivery, secret, datetime.now(UTC).timestamp())
    assert Webhook(secret).verify(text, dict(headers)) == body
