"""What a webhook of a provider needs: the form of its secret, and a valid configuration."""

from __future__ import annotations

from shared.domain.webhook.config import tenant_config
from shared.domain.webhook.provider_rules import ProviderRules
from shared.json_types import JsonMapping
from shared.webhooks.providers.catalog import provider_data
from shared.webhooks.providers.configuration import config_problems
from shared.webhooks.providers.provider import fitted_data
from shared.webhooks.signatures.scheme import compile_scheme, is_public


def provider_rules(provider_id: str, config: JsonMapping | None = None) -> ProviderRules | None:
    """What a webhook of this provider needs with this configuration; `None` when there is no such provider."""
    data = provider_data(provider_id)
    if data is None:
        return None
    # Variants sign in other ways; an invalid configuration has been reported by `config_problems` before.
    fits = config is not None and not config_problems(data, tenant_config(config))
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


def secret_origin(data: JsonMapping) -> str | None:
    """Where the secret comes from: `chosen` by the webhook's owner (or generated here), made by the `provider`, or
    received in a `handshake`; `None` where there is none."""
    scheme = data["scheme"]
    if scheme["kind"] == "none" or "fetch" in scheme:
        return None
    if any("stores" in handshake for handshake in data.get("handshake", ())):
        return "handshake"
    is_given = is_public(scheme["kind"], scheme.get("algorithm", "")) or data.get("secret", {}).get("given")
    return "provider" if is_given else "chosen"


def _has_key(data: JsonMapping, secret: str) -> bool:
    from shared.webhooks.signatures.public_keys import keys_in

    return bool(keys_in([secret], compile_scheme(data["scheme"], data.get("timestamp")).key))
