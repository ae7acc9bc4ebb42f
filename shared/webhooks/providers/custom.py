"""User-defined schemes: `provider: custom`, whose `config.scheme` is written in the grammar of the provider files.

    {"scheme": {…}, "timestamp": {…}, "delivery": {…}, "event": {…}, "handshake": […]}

A handshake has `shape` in place of `pattern`, and neither fetches nor stores. Fields have eight transforms at most,
texts of `let` do not name themselves, and a request that a scheme makes too much work of is refused.
Such a webhook starts no run until a delivery has verified; that one is answered `{"verified": true, "live": true}`, and
`config` has `live: true` from then on, which cannot be set. It stays so until `scheme` or `timestamp` are changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from shared.domain.webhook.config import tenant_config
from shared.json_types import JsonMapping, JsonObject

TABLES = ("timestamp", "delivery", "event", "handshake", "answer")
MAX_CHARACTERS = 8_000
MAX_HANDSHAKES = 20
FETCHING = ("fetch", "fetch_hosts", "fetch_host_pattern", "stores")


def custom_data(data: JsonMapping, config: JsonMapping) -> JsonObject:
    """A provider's data with the scheme of the configuration in it; `ValueError` where it has none, or too much."""
    scheme = config.get("scheme")
    if not isinstance(scheme, Mapping):
        raise ValueError("config.scheme must be a table as in a provider's file: kind, algorithm, content, signature.")
    if len(json.dumps(tenant_config(config))) > MAX_CHARACTERS:
        raise ValueError(f"A user-defined scheme may have {MAX_CHARACTERS} characters.")
    if scheme.get("kind") == "none":
        raise ValueError("A user-defined scheme must verify something.")
    if "fetch" in scheme:
        raise ValueError("A user-defined scheme cannot fetch keys; give the public key as the secret.")
    handshakes = config.get("handshake", [])
    if (
        not isinstance(handshakes, list)
        or len(handshakes) > MAX_HANDSHAKES
        or any(not isinstance(handshake, Mapping) for handshake in handshakes)
    ):
        raise ValueError(f"config.handshake must be a list of tables, {MAX_HANDSHAKES} at most.")
    if any(name in handshake for name in FETCHING for handshake in handshakes):
        raise ValueError("handshake.fetch: a user-defined handshake can neither fetch nor store.")
    tables = {}
    for name in TABLES:
        if name in config:
            if name != "handshake" and not isinstance(config[name], Mapping):
                raise ValueError(f"config.{name} must be a table.")
            tables[name] = config[name]
    return {**data, "scheme": dict(scheme), **tables}
