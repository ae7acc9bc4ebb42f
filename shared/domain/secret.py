"""The secret aggregate: a name under which a tenant keeps a value for its workflows. The value is not part of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.domain.timestamps import in_utc
from shared.events.secret import SecretFact, SecretSet
from shared.json_types import JsonObject


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret after its events. `status` is `active` or `deleted`; a deleted one can be set again.

    `allowed_hosts` are the hosts that it may be sent to (`shared/domain/secret_hosts.py`); `None` where it was set
    before there were such lists.
    """

    id: str
    tenant_id: str
    name: str
    status: str
    stream_version: int
    created_at: str
    updated_at: str
    allowed_hosts: list[str] | None = None


def apply(secret: Secret | None, fact: SecretFact, tenant_id: str, secret_id: str, happened_at: str) -> Secret:
    """The secret after one more fact; the first is `SecretSet`, else it raises `ValueError`."""
    happened_at = in_utc(happened_at) or happened_at
    if isinstance(fact, SecretSet):
        version = secret.stream_version + 1 if secret is not None else 1
        is_known = secret is not None and secret.status == "active"
        # A secret that was deleted begins anew, with a date and hosts of its own.
        created_at = secret.created_at if secret is not None and is_known else happened_at
        hosts = fact.allowed_hosts
        if hosts is None and secret is not None and is_known:
            hosts = secret.allowed_hosts
        return Secret(secret_id, tenant_id, fact.name, "active", version, created_at, happened_at, hosts)
    if secret is None:
        raise ValueError(f"The stream of secret {secret_id} does not begin with SecretSet.")
    version = secret.stream_version + 1
    return replace(secret, status="deleted", stream_version=version, updated_at=happened_at, allowed_hosts=None)


def row(secret: Secret) -> JsonObject:
    """The secret's row in `secrets`, without its value."""
    return {name: getattr(secret, name) for name in Secret.__slots__}


def secret_context(tenant_id: str, name: str) -> str:
    """The encryption context of a value: it cannot be decrypted under another name or for another tenant."""
    return f"secret:{tenant_id}:{name}"
