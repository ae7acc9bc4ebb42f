"""A webhook as intake needs it, and as Redis caches it. Its secrets stay encrypted."""

from __future__ import annotations

from shared.json_types import JsonMapping, JsonObject

# `config.response`: the webhook answers with what its run responds.
WAIT = "wait"
# `config.durability`: a delivery is in Supabase before it is answered.
STORED = "stored"

COPIED = ("id", "tenant_id", "name", "workflow_id", "node_id", "provider", "config", "status")


def intake_config(row: JsonMapping) -> JsonObject:
    """`{id, tenant_id, name, workflow_id, node_id, provider, config, status, secrets, published}` of a webhook's row,
    which has its encrypted secrets and its workflow's `published_version`.

    `secrets` is `[{secret, expires_at}]`, newest first; `expires_at` unset means that it does not expire.
    """
    secrets = [{"secret": row["secret"], "expires_at": None}] if row.get("secret") else []
    if row.get("previous_secret") and row.get("previous_secret_expires_at"):
        secrets.append({"secret": row["previous_secret"], "expires_at": row["previous_secret_expires_at"]})
    return {
        **{name: row[name] for name in COPIED},
        "secrets": secrets,
        "published": bool(row.get("published_version")),
    }
