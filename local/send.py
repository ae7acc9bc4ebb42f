"""`python -m local send <provider>`: signs a delivery as the provider does and sends it to a webhook's URL."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from shared.ids import new_id
from shared.webhooks.catalog import provider as find_provider
from shared.webhooks.catalog import provider_data
from shared.webhooks.delivery import Delivery
from shared.webhooks.signing import sign

STALE_SECONDS = 7 * 86_400


def main(argv: Sequence[str]) -> int:
    """0 when the answers were what the options should lead to, 1 when not, 2 for what cannot be signed."""
    parser = argparse.ArgumentParser(prog="python -m local send", description=__doc__)
    parser.add_argument("provider", help="an id of the provider catalog")
    parser.add_argument("--url", required=True, help="the webhook's URL, as the API gave it")
    parser.add_argument("--secret", default="", help="the webhook's secret; of public keys: the private key in PEM")
    parser.add_argument("--event", help="the event's type, where it stands in a header")
    parser.add_argument("--payload", type=Path, help="a file with the body; unset: a small JSON object")
    parser.add_argument("--config", default="{}", help="the webhook's configuration, in JSON")
    parser.add_argument("--forge", action="store_true", help="change the body after signing it")
    parser.add_argument("--replay", action="store_true", help="send the same delivery twice")
    parser.add_argument("--stale", action="store_true", help="sign with a time of a week ago")
    given = parser.parse_args(argv)
    data, config = provider_data(given.provider), json.loads(given.config)
    if data is None:
        print(f"There is no provider {given.provider!r}.", file=sys.stderr)
        return 2
    try:
        url, headers, body = signed(data, config, given)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if given.forge:
        body += b" "
    expected = [401] if given.forge or (given.stale and "timestamp" in data) else [202, 200] if given.replay else [202]
    found = []
    with httpx.Client(timeout=30) as client:
        for _ in range(2 if given.replay else 1):
            answer = client.post(url, content=body, headers=headers)
            found.append(answer.status_code)
            print(f"{answer.status_code} {answer.text}")
    return 0 if found == expected else 1


def signed(data: dict[str, Any] | Any, config: dict[str, Any], given: Any) -> tuple[str, dict[str, str], bytes]:
    """The URL, headers and body of one delivery."""
    body = given.payload.read_bytes() if given.payload else json.dumps({"id": new_id(), "type": "test"}).encode()
    provider = find_provider(data["id"], config)
    assert provider is not None, "its data was found"
    headers = {"content-type": "application/json"}
    for place, text in _named(data, given.event):
        headers[place.partition(":")[2].lower()] = text
    parts = urlsplit(given.url)
    delivery = Delivery("POST", headers, body, url=given.url.partition("?")[0], config=config, raw_query=parts.query)
    now = time.time() - (STALE_SECONDS if given.stale else 0)
    return given.url, dict(sign(provider, delivery, given.secret, now)), body


def _named(data: dict[str, Any], event: str | None) -> list[tuple[str, str]]:
    """What the provider writes into headers beside the proof."""
    ids = data.get("delivery", {}).get("id", ())
    types = data.get("event", {}).get("type", ())
    found = [(place, new_id()) for place in ([ids] if isinstance(ids, str) else ids) if place.startswith("header:")]
    places = [types] if isinstance(types, str) else types
    return found + [(place, event) for place in places if event and place.startswith("header:")]
