"""What the service says in a webhook's configuration, beside what the tenant wrote."""

from __future__ import annotations

from shared.json_types import JsonMapping, JsonObject

# What the service writes into the configuration of a webhook whose scheme is the tenant's own: a delivery has verified.
LIVE = "live"
# What of a configuration says how a delivery is proven.
_PROOF = ("scheme", "timestamp")


def written(config: JsonMapping) -> JsonObject:
    """The configuration as the tenant wrote it, without what the service says in it."""
    return {name: value for name, value in config.items() if name != LIVE}


def sent_back(config: JsonMapping, present: JsonMapping) -> JsonObject:
    """The configuration that a tenant sends, without what the service says in the `present` one as long as it is
    unchanged; what is changed of it stays, to be refused."""
    return written(config) if LIVE in present and config.get(LIVE) is present[LIVE] else dict(config)


def replaced(config: JsonMapping, present: JsonMapping) -> JsonObject:
    """The configuration that takes the place of the `present` one: live if that is, and proves deliveries alike."""
    if LIVE in present and all(config.get(name) == present.get(name) for name in _PROOF):
        return {**config, LIVE: present[LIVE]}
    return dict(config)
