"""Deliveries out of the catalog's vectors and samples, with only the fields that matter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from shared.json_types import JsonObject
from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.catalog import provider, provider_data
from shared.webhooks.providers.provider import Provider
from shared.webhooks.signatures.public_keys import load
from shared.webhooks.signatures.verification import Verification, verify

SAMPLES = Path(__file__).parents[3] / "events" / "intake"
SECRET = "an-example-webhook-secret"


def fitted(provider_id: str, **config: Any) -> Provider:
    """A provider with a configuration."""
    found = provider(provider_id, config)
    assert found is not None
    return found


def vector(provider_id: str, name: str) -> tuple[Provider, Delivery, JsonObject]:
    """A provider fitted to one of its vectors, the vector's delivery, and the vector."""
    data = provider_data(provider_id)
    assert data is not None
    found = data["vectors"][name]
    config = found.get("config", {})
    delivery = Delivery(
        method=found.get("method", "POST"),
        headers={header.lower(): value for header, value in found.get("headers", {}).items()},
        body=found.get("body", "").encode(),
        query=found.get("query", {}),
        url=found.get("url", ""),
        config=config,
        raw_query=urlencode(found.get("query", {})),
    )
    return fitted(provider_id, **config), delivery, found


def verdict(provider: Provider, delivery: Delivery, data: Mapping[str, Any]) -> Verification:
    """The verdict with a vector's secret, at its time, and with the key that would have been fetched."""
    fetched = load(data["fetched"], "pem") if "fetched" in data else None
    secrets = [data["secret"]] if "secret" in data else []
    return verify(provider.scheme, delivery, secrets, data["now"], [fetched] if fetched else [])


def good(provider_id: str, **changed: str | None) -> tuple[Provider, Delivery, JsonObject]:
    """The good vector with some headers (underscores for dashes) replaced, or left out where `None`."""
    found, delivery, data = vector(provider_id, "good")
    headers = {**delivery.headers, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return found, replace(delivery, headers={n: v for n, v in headers.items() if v is not None}), data


def sample(name: str) -> JsonObject:
    """A sample event."""
    found: JsonObject = json.loads((SAMPLES / f"{name}.json").read_text())
    return found
