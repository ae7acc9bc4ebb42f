"""The provider catalog: one TOML file per provider, read when it is first asked for."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from shared.domain.provider import ProviderRules
from shared.webhooks.configuration import config_problems, options_of
from shared.webhooks.provider import Provider, fit

_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
# What is said of a provider whose facts nobody could check again.
UNVERIFIED = "How this provider signs could not be checked again: try it with a test delivery first."
_FOLDER = Path(__file__).with_name("providers")


@cache
def provider_ids() -> tuple[str, ...]:
    """The ids of all providers, in order."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


def provider_data(provider_id: str) -> Mapping[str, Any] | None:
    """The provider's file as it is; `None` when there is no such provider."""
    # The id comes from a request's path: it must not name another file, and not fill a cache.
    return _read(provider_id) if _ID.fullmatch(provider_id) and provider_id in provider_ids() else None


@cache
def _read(provider_id: str) -> Mapping[str, Any]:
    return tomllib.loads((_FOLDER / f"{provider_id}.toml").read_text("utf-8"))


def provider(provider_id: str, config: Mapping[str, Any]) -> Provider | None:
    """The provider fitted to a webhook's configuration, `None` when there is no such provider; a configuration that
    does not fit raises `ValueError`."""
    return _fitted(provider_id, json.dumps(config, sort_keys=True)) if provider_data(provider_id) is not None else None


@lru_cache(maxsize=256)
def _fitted(provider_id: str, config: str) -> Provider:
    return fit(_read(provider_id), json.loads(config))


def provider_rules(provider_id: str) -> ProviderRules | None:
    """What a webhook of this provider needs; `None` when there is no such provider."""
    data = provider_data(provider_id)
    if data is None:
        return None
    scheme, secret = data["scheme"], data.get("secret", {})
    algorithm: str = scheme.get("algorithm", "")
    public = scheme["kind"] == "asymmetric" or (scheme["kind"] == "jwt" and not algorithm.startswith("HS"))
    takes_secret = scheme["kind"] != "none" and "fetch" not in scheme
    stored = any("stores" in each for each in data.get("handshake", ()))
    prefix, encoding = scheme.get("key_prefix", ""), scheme.get("key_encoding", "utf8")
    return ProviderRules(
        id=provider_id,
        takes_secret=takes_secret or "variants" in data,
        # The contract generates one wherever a shared secret is wanted; a provider that hands its own over in a
        # handshake must find none.
        needs_secret=takes_secret and not public and not stored,
        secret_prefix=prefix if isinstance(prefix, str) else prefix[-1],
        base64_key=encoding == "base64" and not public,
        hex_key=encoding == "hex" and not public,
        where=secret.get("where", ""),
        pattern=secret.get("pattern", ""),
        must_be_given=takes_secret and public and "variants" not in data,
        is_usable=lambda text: _usable(data, text),
        config_problems=lambda config: config_problems(data, config),
    )


def _usable(data: Mapping[str, Any], secret: str) -> bool:
    """Whether a public key is in the secret; other secrets have been looked at before."""
    scheme = data["scheme"]
    if scheme["kind"] != "asymmetric" or "variants" in data:
        return True
    from shared.webhooks.public_keys import keys_in

    return bool(keys_in([secret], fit(data, {}).scheme.key))


@cache
def catalog() -> list[dict[str, Any]]:
    """What the API shows of each provider: `{id, title, scheme, headers, event_type, delivery_id, handshake,
    documentation, category, setup, secret, options, verified, warning}`."""
    return [_entry(_read(provider_id)) for provider_id in provider_ids()]


def _entry(data: Mapping[str, Any]) -> dict[str, Any]:
    scheme = data["scheme"]
    signature = scheme.get("signature", {}).get("in", "header:Authorization" if scheme["kind"] == "basic" else "")
    id_place, event = data.get("delivery", {}).get("id", ()), data.get("event", {}).get("type", ())
    places = {
        "signature": signature if isinstance(signature, str) else signature[0],
        "timestamp": data.get("timestamp", {}).get("in", ""),
        "id": id_place if isinstance(id_place, str) else next(iter(id_place), ""),
    }
    handshakes = [f"{each['method']}: {each['about']}" for each in data.get("handshake", ())]
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
        "options": {name: option["title"] for name, option in options_of(data).items()},
        "verified": data.get("verified", True),
        "warning": data.get("warning") or (None if data.get("verified", True) else UNVERIFIED),
    }


def _together(places: str | list[str]) -> str | None:
    return " + ".join([places] if isinstance(places, str) else places) or None
