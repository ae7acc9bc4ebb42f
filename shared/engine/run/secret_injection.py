"""Secrets and signals' URLs of an effect: put into its request when it is performed, and redacted from its result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from shared.domain.expressions import secret_references, signal_urls
from shared.domain.secret import secret_context
from shared.engine.run.compiled_graph import CompiledNode
from shared.errors import SecretUnreadableError
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Completed, Effect, EffectContext, NodeError, Parameters
from shared.repositories.secrets import SecretRepository

# How long the old value may still be used after a secret was changed.
MEMORY_SECONDS = 10.0
MAX_REMEMBERED = 1_000


async def perform_with_secrets(
    compiled: CompiledNode,
    kind: Effect[Parameters],
    resolved: JsonObject,
    context: EffectContext,
    execution_id: str,
) -> Completed:
    """The effect's result; its failures raise `NodeError`. Neither contains a secret, nor the URL of a signal."""
    if not compiled.is_disclosing:
        return await _perform(compiled, kind, resolved, context)
    permissions, tenant_id = context.permissions, context.tenant_id
    secrets = await permissions.secrets(tenant_id, compiled.secrets) if compiled.secrets else {}
    urls = {name: await permissions.signal_url(tenant_id, execution_id, name) for name in compiled.signals}
    # URLs first: a secret that looks like a placeholder stays as it is.
    revealed = secret_references.revealed(signal_urls.revealed(resolved, urls), compiled.secret_places, secrets)
    hidden = {secret_references.placeholder(name): value for name, value in secrets.items()}
    hidden |= {signal_urls.placeholder(name): url for name, url in urls.items()}
    try:
        completed = await _perform(compiled, kind, revealed, replace(context, secrets=secrets))
    except NodeError as error:
        message, details = secret_references.redacted([error.message, error.details], hidden)
        # The error it comes from may contain it too.
        raise NodeError(error.code, message, details, error.retry_after_seconds) from None
    return replace(completed, output=secret_references.redacted(completed.output, hidden))


async def _perform(
    compiled: CompiledNode, kind: Effect[Parameters], resolved: JsonObject, context: EffectContext
) -> Completed:
    parameters = compiled.type.parse(resolved)
    return compiled.type.bounded(parameters, await kind.perform(parameters, context))


class SecretReader:
    """One process's cache of decrypted secrets. Calling it returns a tenant's secrets by name."""

    def __init__(self, secrets: SecretRepository) -> None:
        """Values that are not remembered are read from `secrets`."""
        self._secrets = secrets
        self._remembered: dict[tuple[str, str], tuple[float, str]] = {}

    async def __call__(self, tenant_id: str, names: Sequence[str]) -> dict[str, str]:
        """The values by name; one that is missing or cannot be read raises `NodeError`.

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

    async def _read(self, tenant_id: str, names: Sequence[str], now: float) -> dict[str, str]:
        from shared.aws.secrets import decrypt  # brings `cryptography`

        stored, values = await self._secrets.values(tenant_id, names), dict[str, str]()
        for name in names:
            if name not in stored:
                raise NodeError("secret_missing", f"There is no secret named {name!r}.")
            try:
                values[name] = await decrypt(stored[name], secret_context(tenant_id, name))
            except SecretUnreadableError as error:
                raise NodeError("secret_unreadable", f"The secret {name!r} cannot be read: set it again.") from error
        # Emptied as a whole: eviction one by one would need an order, and refilling is cheap.
        if len(self._remembered) + len(values) > MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered |= {(tenant_id, name): (now, value) for name, value in values.items()}
        return values
