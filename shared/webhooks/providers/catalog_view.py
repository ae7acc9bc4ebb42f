"""The provider catalog as the API and the documentation show it."""

from __future__ import annotations

from functools import cache

from shared.json_types import JsonMapping, JsonObject
from shared.webhooks.providers.catalog import provider_data, provider_ids
from shared.webhooks.providers.configuration import options_of
from shared.webhooks.providers.rules import secret_origin

# The warning for a provider whose facts could not be verified again.
UNVERIFIED = "How this provider signs could not be checked again: try it with a test delivery first."


@cache
def catalog() -> list[JsonObject]:
    """What the API shows of each provider: `{id, title, scheme, headers, event_type, delivery_id, handshake,
    documentation, category, setup, secret, secret_origin, options, verified, warning}`."""
    return [_entry(data) for provider_id in provider_ids() if (data := provider_data(provider_id))]


def _entry(data: JsonMapping) -> JsonObject:
    scheme = data["scheme"]
    signature = scheme.get("signature", {}).get("in", "header:Authorization" if scheme["kind"] == "basic" else "")
    id_place, event = data.get("delivery", {}).get("id", ()), data.get("event", {}).get("type", ())
    places = {
        "signature": signature if isinstance(signature, str) else signature[0],
        "timestamp": data.get("timestamp", {}).get("in", ""),
        "id": id_place if isinstance(id_place, str) else next(iter(id_place), ""),
    }
    handshakes = [f"{handshake['method']}: {handshake['about']}" for handshake in data.get("handshake", ())]
    return {
        "id": data["id"],
        "title": data["title"],
        "scheme": "-".join(part for part in (scheme["kind"], scheme.get("algorithm")) if part),
        "headers": {
            name: place.removeprefix("header:") for name, place in places.items() if place.startswith("header:")
        },
        "event_type": _together(event),
        "delivery_id": _together(id_place),
        "handshake": "; ".join(handshakes) or None,
        "documentation": data["documentation"],
        "category": data["category"],
        "setup": data["setup"],
        "secret": data.get("secret", {}).get("where"),
        "secret_origin": secret_origin(data),
        "options": {name: option["title"] for name, option in options_of(data).items()},
        "verified": data.get("verified", True),
        "warning": data.get("warning") or (None if data.get("verified", True) else UNVERIFIED),
    }


def _together(places: str | list[str]) -> str | None:
    return " + ".join([places] if isinstance(places, str) else places) or None
