"""`python -m local send <provider>`: signs a delivery as the provider does and sends it to a webhook's URL."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from local.signing.deliveries import signed
from local.tools.sample_delivery import forged, sample_delivery
from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.catalog import provider as find_provider
from shared.webhooks.providers.catalog import provider_data
from shared.webhooks.providers.provider import Provider
from shared.webhooks.signatures.encodings import ENCODERS

STALE_SECONDS = 7 * 86_400


def main(argv: Sequence[str]) -> int:
    """0 when the responses are those that the options should lead to, 1 when not, 2 for what cannot be signed."""
    options = _parser().parse_args(argv)
    try:
        provider, deliveries = prepared(options)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    refused = options.forge or options.stale
    fine, taken = True, False
    with httpx.Client(timeout=30) as client:
        for delivery in deliveries:
            answer = client.request(
                delivery.method, delivery.full_url, content=delivery.body, headers=dict(delivery.headers)
            )
            print(f"{answer.status_code} {answer.text}")
            fine &= answer.status_code == 401 if refused else answer.is_success
            taken |= answer.is_success
    if not fine:
        print(_hint(provider, refused, taken), file=sys.stderr)
    return 0 if fine else 1


def prepared(options: argparse.Namespace) -> tuple[Provider, list[Delivery]]:
    """The deliveries that the options ask for; `ValueError` says what cannot be done, and what to do instead."""
    data, config = provider_data(options.provider), json.loads(options.config)
    if data is None:
        raise ValueError(f"There is no provider {options.provider!r}; see docs/reference/providers.md.")
    provider = find_provider(options.provider, config)
    assert provider is not None, "its data was found"
    scheme = provider.scheme
    if scheme.fetch is not None and not options.secret:
        raise ValueError(
            f"{data['title']} signs with keys that are fetched from its own hosts: nobody else's delivery is accepted. "
            "`python -m local verify` explains one offline, with the key in aux."
        )
    if options.stale and not (scheme.kind == "jwt" or (scheme.timestamp and scheme.timestamp.unit != "opaque")):
        raise ValueError(f"{data['title']} sends no time that is judged: an old delivery is like a new one.")
    if options.forge and not scheme.covers_body and (scheme.kind == "none" or scheme.is_public):
        raise ValueError(f"{data['title']} signs nothing of a body that could be changed here.")
    payload = options.payload.read_bytes() if options.payload else None
    delivery = sample_delivery(data, config, options.url, payload, options.event)
    now = time.time() - (STALE_SECONDS if options.stale else 0)
    secret = _secret(options.secret)
    if options.forge and not scheme.covers_body:
        # Such a proof does not cover the body; who does not know the secret makes one with another.
        delivery = signed(provider, delivery, _another(provider), now)
    else:
        delivery = signed(provider, delivery, secret, now)
        delivery = forged(delivery) if options.forge else delivery
    return provider, [delivery] * (2 if options.replay else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local send", description=__doc__)
    parser.add_argument("provider", help="an id of the provider catalog")
    parser.add_argument("--url", required=True, help="the webhook's URL, as the API gave it")
    parser.add_argument(
        "--secret", default="", help="the webhook's secret, or @file; of public keys: the private key in PEM"
    )
    parser.add_argument("--event", help="the event's type, where the provider writes it")
    parser.add_argument("--payload", type=Path, help="a file with the body; unset: the provider's sample")
    parser.add_argument("--config", default="{}", help="the webhook's configuration, in JSON")
    parser.add_argument("--forge", action="store_true", help="change the body after signing it, or the secret before")
    parser.add_argument("--replay", action="store_true", help="send the same delivery twice")
    parser.add_argument("--stale", action="store_true", help="sign with a time of a week ago")
    return parser


def _secret(text: str) -> str:
    return Path(text[1:]).read_text("utf-8").strip() if text.startswith("@") else text


def _another(provider: Provider) -> str:
    """A secret of the right form that is not the webhook's."""
    key = provider.scheme.key
    random = os.urandom(32)
    text = ENCODERS[key.encodings[0]](random) if key.encodings[0] in ENCODERS else random.hex()
    return "".join(key.prefixes[:1]) + (f"user:{text}" if provider.scheme.kind == "basic" else text)


def _hint(provider: Provider, refused: bool, taken: bool) -> str:
    if refused and taken:
        return "This should have been refused."
    if refused:
        return "It was refused, but not for what is wrong with it: see GET /api/webhooks/{id}, and its workflow."
    where = "GET /api/webhooks/{id}/deliveries says why"
    return f"{provider.id} sent what the webhook does not take: {where}, within seconds."
