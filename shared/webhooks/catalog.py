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
from shared.webhooks.provider import Provider, fit, fitted_data
from shared.webhooks.scheme import compile_scheme, is_public

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


def provider_rules(provider_id: str, config: Mapping[str, Any] | None = None) -> ProviderRules | None:
    """What a webhook of this provider needs with this configuration; `None` when there is no such provider."""
    data = provider_data(provider_id)
    if data is None:
        return None
    # Variants sign in other ways; a configuration that makes no sense is pointed at by `config_problems` first.
    fits = config is not None and not config_problems(data, config)
    fitted = fitted_data(data, config or {}) if fits else dict(data)
    scheme, secret = fitted["scheme"], fitted.get("secret", {})
    takes_secret = scheme["kind"] != "none" and "fetch" not in scheme
    origin = secret_origin(fitted)
    prefix, encoding = scheme.get("key_prefix", ()), scheme.get("key_encoding", "utf8")
    is_text = not is_public(scheme["kind"], scheme.get("algorithm", ""))
    return ProviderRules(
        id=provider_id,
        takes_secret=takes_secret,
        needs_secret=takes_secret and origin == "chosen",
        secret_prefixes=(prefix,) if isinstance(prefix, str) else tuple(prefix),
        base64_key=encoding == "base64" and is_text,
        hex_key=encoding == "hex" and is_text,
        where=secret.get("where", ""),
        pattern=secret.get("pattern", ""),
        form=secret.get("form", ""),
        must_be_given=takes_secret and origin == "provider",
        is_usable=lambda text: is_text or _has_key(fitted, text),
        config_problems=lambda config: config_problems(data, config),
    )


def secret_origin(data: Mapping[str, Any]) -> str | None:
    """Who makes the secret: `chosen` by the webhook's owner (or generated here), made by the `provider`, or handed over
    in a `handshake`; `None` where there is none."""
    scheme = data["scheme"]
    if scheme["kind"] == "none" or "fetch" in scheme:
        return None
    if any("stores" in each for each in data.get("handshake", ())):
        return "handshake"
    is_given = is_public(scheme["kind"], scheme.get("algorithm", "")) or data.get("secret", {}).get("given")
    return "provider" if is_given else "chosen"


def _has_key(data: Mapping[str, Any], secret: str) -> bool:
    from shared.webhooks.public_keys import keys_in

    return bool(keys_in([secret], compile_scheme(data["scheme"], data.get("timestamp")).key))


@cache
def catalog() -> list[dict[str, Any]]:
    """What the API shows of each provider: `{id, title, scheme, headers, event_type, delivery_id, handshake,
    documentation, category, setup, secret, secret_origin, options, verified, warning}`."""
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
        "secret_origin": secret_origin(data),
        "options": {name: option["title"] for name, option in options_of(data).items()},
        "verified": data.get("verified", True),
        "warning": data.get("warning") or (None if data.get("verified", True) else UNVERIFIED),
    }


def _together(places: str | list[str]) -> str | None:
    return " + ".join([places] if isinstance(places, str) else places) or None
