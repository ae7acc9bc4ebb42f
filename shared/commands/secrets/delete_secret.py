"""Delete a secret."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.secrets.changes import append, load
from shared.domain.actor import Actor
from shared.errors import NotFoundError
from shared.events.secret import SecretDeleted


async def delete_secret(services: Services, actor: Actor, name: str) -> None:
    """Deletes the secret and its value; effects that need it fail with `secret_missing`. Repeating it changes nothing.

    A secret that never existed raises `NotFoundError`.
    """

    async def attempt() -> None:
        before = await load(services, actor, name)
        if before is None:
            raise NotFoundError("There is no such secret.")
        if before.status != "deleted":
            await append(services, actor, name, before, SecretDeleted(), None)

    await retry_on_conflict(attempt)
