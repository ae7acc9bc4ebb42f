"""The service's own entry in a webhook's configuration, which stands beside what the tenant wrote."""

from __future__ import annotations

from shared.json_types import JsonMapping, JsonObject

# Set by the service where the signature scheme is the tenant's own: a delivery has verified, so the webhook is live.
LIVE = "live"
# The parts of a configuration that say how a delivery is verified.
_PROOF = ("scheme", "timestamp")


def tenant_config(config: JsonMapping) -> JsonObject:
    """The configuration as the tenant wrote it, without the service's own entry."""
    return {name: value for name, value in config.items() if name != LIVE}


def requested_config(config: JsonMapping, present: JsonMapping) -> JsonObject:
    """The configuration in a tenant's request, without the service's entry if that is unchanged from `present`. A
    changed entry stays in it, so that the check refuses it."""
    return tenant_config(config) if LIVE in present and config.get(LIVE) is present[LIVE] else dict(config)


def replacement_config(config: JsonMapping, present: JsonMapping) -> JsonObject:
    """The configuration that replaces `present`. It stays live if it verifies deliveries in the same way."""
    if LIVE in present and all(config.get(name) == present.get(name) for name in _PROOF):
        return {**config, LIVE: present[LIVE]}
    return dict(config)
