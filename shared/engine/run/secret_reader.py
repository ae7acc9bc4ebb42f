"""A drain's cache of its tenants' decrypted secrets. Apart from what injects them: only the drain may decrypt."""

from __future__ import annotations

import time
from collections.abc import Sequence

from shared.domain.secret import secret_context
from shared.domain.secret_hosts import BoundSecret
from shared.errors import SecretUnreadableError
from shared.nodes.node_kinds import NodeError
from shared.repositories.secrets import SecretRepository

# How long the old value may still be used after a secret was changed.
MEMORY_SECONDS = 10.0
MAX_REMEMBERED = 1_000


class SecretReader:
    """One process's cache of decrypted secrets. Calling it returns a tenant's secrets by name."""

    def __init__(self, secrets: SecretRepository) -> None:
        """Values that are not remembered are read from `secrets`."""
        self._secrets = secrets
        self._remembered: dict[tuple[str, str], tuple[float, BoundSecret]] = {}

    async def __call__(self, tenant_id: str, names: Sequence[str]) -> dict[str, BoundSecret]:
        """The secrets by name; one that is missing or cannot be read raises `NodeError`.

        Raises `StorageUnavailableError` while the store is out of reach: the run is then tried again.
        """
        now = time.monotonic()
        values = {
            name: entry[1]
            for name in names
            if (entry := self._remembered.get((tenant_id, name))) is not None and now - entry[0] < MEMORY_SECONDS
        }
        missing = [name for name in names if name not in values]
        if missing:
            values |= await self._read(tenant_id, missing, now)
        return values

    async def _read(self, tenant_id: str, names: Sequence[str], now: float) -> dict[str, BoundSecret]:
        from shared.aws.secrets import decrypt  # brings `cryptography`

        stored, values = await self._secrets.values(tenant_id, names), dict[str, BoundSecret]()
        for name in names:
            if name not in stored:
                raise NodeError("secret_missing", f"There is no secret named {name!r}.")
            try:
                value = await decrypt(stored[name].value, secret_context(tenant_id, name))
                values[name] = BoundSecret(value, stored[name].allowed_hosts)
            except SecretUnreadableError as error:
                raise NodeError("secret_unreadable", f"The secret {name!r} cannot be read: set it again.") from error
        # Emptied as a whole: eviction one by one would need an order, and refilling is cheap.
        if len(self._remembered) + len(values) > MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered |= {(tenant_id, name): (now, value) for name, value in values.items()}
        return values
