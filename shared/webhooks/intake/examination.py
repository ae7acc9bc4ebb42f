"""The order of work on a request, the same at intake and offline: handshake, signature and time, handshake again.

Nothing is parsed, decompressed or deduplicated before it has verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.handshake import HandshakeAnswer, answer, is_challenge, unusable
from shared.webhooks.providers.provider import Provider
from shared.webhooks.signatures.comparison import keys_of
from shared.webhooks.signatures.verification import Verification, verify


class Examination(NamedTuple):
    """What a request is: a handshake with its answer, or a delivery with its verdict; neither for a method that the
    provider does not use. A handshake that was asked for under a signature has both."""

    handshake: HandshakeAnswer | None = None
    verification: Verification | None = None


def examine(
    provider: Provider, delivery: Delivery, secrets: Sequence[str], now: float, public_keys: Sequence[object] = ()
) -> Examination:
    """The examination of a request at Unix time `now`; `public_keys` are fetched ones, where the scheme wants some."""
    asked = any(each.method == delivery.method for each in provider.handshakes)
    keys = keys_of(provider.scheme.key, secrets, delivery) if asked and provider.scheme.kind != "asymmetric" else []
    secret, key = keys[0] if keys else (None, None)
    if asked and (found := answer(provider.handshakes, delivery, verified=False, secret=secret, key=key)):
        return Examination(found)
    if delivery.method != "POST" and not asked:
        return Examination()
    verification = verify(provider.scheme, delivery, secrets, now, public_keys)
    if verification.accepted and provider.refuses_challenges and is_challenge(delivery.body):
        # We sign such texts for anybody who asks; as a delivery this one proves nothing.
        verification = Verification("body_malformed: it has the form of a challenge")
    if asked and (why := unusable(provider.handshakes, delivery, verified=verification.accepted)):
        verification = Verification(f"config_unusable: {why}")
    if not verification.accepted:
        return Examination(verification=verification)
    if asked and (found := answer(provider.handshakes, delivery, verified=True, secret=secret, key=key)):
        return Examination(found, verification)
    return Examination(verification=verification) if delivery.method == "POST" else Examination()
