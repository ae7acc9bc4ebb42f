"""Set a secret."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.secrets.changes import append, load
from shared.domain.actor import Actor
from shared.domain.secret import Secret, secret_context
from shared.errors import UnprocessableError
from shared.events.secret import SecretSet

MAX_SECRETS = 1_000


class SetSecret(Command):
    """The value, which is never shown: wherever a response repeats it, a placeholder replaces it."""

    value: Annotated[str, Field(min_length=4, max_length=16_384)]


async def set_secret(services: Services, actor: Actor, name: str, command: SetSecret) -> Secret:
    """The secret with its new value, which effects use within ten seconds (the cache of the engine).

    Raises `InvalidRequestError` for a malformed name, and `UnprocessableError` beyond 1000 secrets.
    """
    from shared.aws.secrets import encrypt  # brings `cryptography`

    value = await encrypt(command.value, secret_context(actor.tenant_id, name))

    async def attempt() -> Secret:
        before = await load(services, actor, name)
        is_new = before is None or before.status == "deleted"
        if is_new and await services.secrets.count(actor.tenant_id) >= MAX_SECRETS:
            raise UnprocessableError(f"A tenant may have {MAX_SECRETS} secrets; delete one first.")
        return await append(services, actor, name, before, SecretSet(name), value)

    return await retry_on_conflict(attempt)
