"""An effect with secrets or signals' URLs: they are put in when it is performed, and taken out of what comes back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from shared.domain.expressions import secret_references, signal_urls
from shared.domain.secret import secret_context
from shared.engine.run.compiled_graph import CompiledNode
from shared.errors import SecretUnreadableError
from shared.json_types import JsonObject
from shared.nodes.node_type import Completed, EffectContext, NodeError
from shared.repositories.secrets import SecretRepository

# How long a value that was changed may still be used.
MEMORY_SECONDS = 10.0
MAX_REMEMBERED = 1_000


async def perform_with_secrets(
    one: CompiledNode, resolved: JsonObject, effect: EffectContext, execution_id: str
) -> Completed:
    """What the effect yields; its failures raise `NodeError`. Neither says a secret or a URL that is one."""
    if not one.is_disclosing:
        return await one.type.perform_effect(one.type.parse(resolved), effect)
    permissions, tenant_id = effect.permissions, effect.tenant_id
    secrets = await permissions.secrets(tenant_id, one.secrets) if one.secrets else {}
    urls = {name: await permissions.signal_url(tenant_id, execution_id, name) for name in one.signals}
    # URLs first: a secret that looks like a placeholder stays as it is.
    given = secret_references.revealed(signal_urls.revealed(resolved, urls), one.secret_places, secrets)
    hidden = {secret_references.placeholder(name): value for name, value in secrets.items()}
    hidden |= {signal_urls.placeholder(name): url for name, url in urls.items()}
    try:
        completed = await one.type.perform_effect(one.type.parse(given), replace(effect, secrets=secrets))
    except NodeError as error:
        message, details = secret_references.redacted([error.message, error.details], hidden)
        # The error it comes from may say it too.
        raise NodeError(error.code, message, details, error.retry_after_seconds) from None
    return replace(completed, output=secret_references.redacted(completed.output, hidden))


class SecretReader:
    """One process's. Calling it gives a tenant's secrets by name."""

    def __init__(self, secrets: SecretRepository) -> None:
        """Reads from `secrets`."""
        self._secrets = secrets
        self._remembered: dict[tuple[str, str], tuple[float, str]] = {}

    async def __call__(self, tenant_id: str, names: Sequence[str]) -> dict[str, str]:
        """The values by name; one that is missing or cannot be read raises `NodeError`.

        Raises `StorageUnavailableError` while the store is out of reach: the run is then tried again.
        """
        now = time.monotonic()
        found = {
            name: kept[1]
            for name in names
            if (kept := self._remembered.get((tenant_id, name))) is not None and now - kept[0] < MEMORY_SECONDS
        }
        lacking = [name for name in names if name not in found]
        if lacking:
            found |= await self._read(tenant_id, lacking, now)
        return found

    async def _read(self, tenant_id: str, names: Sequence[str], now: float) -> dict[str, str]:
        from shared.aws.secrets import decrypt  # brings `cryptography`

        stored, found = await self._secrets.values(tenant_id, names), dict[str, str]()
        for name in names:
            if name not in stored:
                raise NodeError("secret_missing", f"There is no secret named {name!r}.")
            try:
                found[name] = await decrypt(stored[name], secret_context(tenant_id, name))
            except SecretUnreadableError as error:
                raise NodeError("secret_unreadable", f"The secret {name!r} cannot be read: set it again.") from error
        if len(self._remembered) + len(found) > MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered |= {(tenant_id, name): (now, value) for name, value in found.items()}
        return found
