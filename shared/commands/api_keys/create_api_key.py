"""Create an API key."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from shared.bootstrap import Services
from shared.commands.command import Command, Moment, Name
from shared.commands.new_events import new_events, now
from shared.domain import api_key as api_keys
from shared.domain.actor import Actor, Role, Scope
from shared.domain.api_key import ApiKey
from shared.domain.api_key_format import hash_of, key_text
from shared.domain.timestamps import timestamp, unix_seconds
from shared.errors import ForbiddenError, InvalidRequestError, Problem
from shared.events.api_key import ApiKeyCreated
from shared.ids import new_id
from shared.repositories.append import Append


class CreateApiKey(Command):
    """A new key. No `scopes` means everything that the role allows; `expires_at` unset, that it does not expire."""

    name: Name
    role: Role = "editor"
    scopes: Annotated[list[Scope], Field(max_length=50)] = Field(default_factory=list)
    expires_at: Moment | None = None


@dataclass(frozen=True, slots=True)
class CreatedApiKey:
    """The key's record, and the key itself, which is not stored and can be shown only now."""

    api_key: ApiKey
    key: str


async def create_api_key(services: Services, actor: Actor, command: CreateApiKey) -> CreatedApiKey:
    """The new key, `wk_<id without dashes>_<256 random bits>`; only the SHA-256 of its random part is stored.

    An expiry in the past raises `InvalidRequestError`; scopes beyond the actor's own, and a key that outlives the key
    that makes it, `ForbiddenError`.
    """
    happened_at = now()
    if command.expires_at is not None and unix_seconds(command.expires_at) <= unix_seconds(happened_at):
        problem = Problem("/expires_at", "This time has passed.")
        raise InvalidRequestError(problem.message, problems=(problem,))
    # An empty list means all scopes, which a limited caller must not grant.
    if actor.scopes and not (command.scopes and actor.scopes.issuperset(command.scopes)):
        raise ForbiddenError("A key cannot have scopes that these credentials do not have.")
    _check_expiry(actor, command)
    key_id, secret = new_id(), secrets.token_urlsafe(32)
    fact = ApiKeyCreated(command.name, command.role, sorted(set(command.scopes)), command.expires_at)
    created = api_keys.apply(None, fact, actor.tenant_id, key_id, happened_at)
    await services.events.append_one(
        Append(
            tenant_id=actor.tenant_id,
            stream_id=key_id,
            stream_type="api_key",
            expected_version=0,
            events=new_events(actor, happened_at, fact),
            row=api_keys.row(created),
            secret={"key_hash": hash_of(secret)},
        )
    )
    return CreatedApiKey(created, key_text(key_id, secret))


def _check_expiry(actor: Actor, command: CreateApiKey) -> None:
    # A user's token ends within the hour, and makes keys for longer: the user remains. A key stands for nobody else.
    if actor.expires_at is None or not actor.name.startswith("api_key:"):
        return
    if command.expires_at is None or unix_seconds(command.expires_at) > actor.expires_at:
        raise ForbiddenError(
            f"The key that makes this request expires at {timestamp(actor.expires_at)}: "
            "give an expires_at that is no later than that."
        )
