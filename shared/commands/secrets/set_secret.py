"""Set a secret."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.secrets.changes import append, load
from shared.domain.actor import Actor
from shared.domain.secret import Secret, secret_context
from shared.domain.secret_hosts import host_entry
from shared.errors import Problem, UnprocessableError
from shared.events.secret import SecretSet

MAX_SECRETS = 1_000


HostEntry = Annotated[str, AfterValidator(host_entry)]


class SetSecret(Command):
    """The value, which is never shown: wherever a response repeats it, a placeholder replaces it.

    `allowed_hosts` are the hosts that it may be sent to: `api.example.com`, with a port if it is not the scheme's own;
    `*.example.com` for all below it; `*` for every host. A new secret must have them. Where one exists, leaving out
    `allowed_hosts` or `value` keeps what it has.
    """

    value: Annotated[str, Field(min_length=4, max_length=16_384)] | None = None
    allowed_hosts: (
        Annotated[list[Annotated[str, AfterValidator(host_entry)]], Field(min_length=1, max_length=50)] | None
    ) = None


async def set_secret(services: Services, actor: Actor, name: str, command: SetSecret) -> Secret:
    """The secret with its new value, which effects use within ten seconds (the cache of the engine).

    Raises `InvalidRequestError` for a malformed name, and `UnprocessableError` for a new secret without a value or
    hosts, and beyond 1000 secrets.
    """
    # Once, outside of the attempt: the key may have to be fetched, and a conflict changes nothing about the value.
    value = None
    if command.value is not None:
        from shared.aws.secrets import encrypt  # brings `cryptography`

        value = await encrypt(command.value, secret_context(actor.tenant_id, name))

    async def attempt() -> Secret:
        before = await load(services, actor, name)
        is_new = before is None or before.status == "deleted"
        if is_new:
            _refuse_incomplete(command)
        # Not exact: of two new secrets at once, each in a stream of its own, neither counts the other.
        if is_new and await services.secrets.count(actor.tenant_id) >= MAX_SECRETS:
            raise UnprocessableError(f"A tenant may have {MAX_SECRETS} secrets; delete one first.")
        # Without a value the row keeps the one that it has.
        return await append(services, actor, name, before, SecretSet(name, command.allowed_hosts), value)

    return await retry_on_conflict(attempt)


def _refuse_incomplete(command: SetSecret) -> None:
    problems = []
    if command.value is None:
        problems.append(Problem("/value", "A new secret needs a value."))
    if command.allowed_hosts is None:
        suggestion = 'For example ["api.example.com"]; ["*"] if it really may go to every host.'
        problems.append(Problem("/allowed_hosts", "A new secret needs the hosts that it may be sent to.", suggestion))
    if problems:
        raise UnprocessableError("The secret is new, and not complete.", problems=tuple(problems))
