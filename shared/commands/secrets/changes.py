"""What the commands about secrets share: loading, and the append."""

from __future__ import annotations

import re

from shared.bootstrap import Services
from shared.commands.new_events import new_events, now
from shared.domain import secret as secrets
from shared.domain.actor import Actor
from shared.domain.expressions.secret_references import NAME_PATTERN
from shared.domain.secret import Secret
from shared.errors import InvalidRequestError
from shared.events.secret import SecretFact
from shared.ids import derived_id
from shared.repositories.append import Append


async def load(services: Services, actor: Actor, name: str) -> Secret | None:
    """The tenant's secret of this name, deleted or not, or `None`; a malformed name raises `InvalidRequestError`."""
    if not re.fullmatch(NAME_PATTERN, name, re.ASCII):
        raise InvalidRequestError("A secret's name has 1 to 100 letters, digits and underscores, and no digit first.")
    row = await services.secrets.get(actor.tenant_id, name)
    return None if row is None else Secret(**row)


async def append(
    services: Services, actor: Actor, name: str, before: Secret | None, fact: SecretFact, value: str | None
) -> Secret:
    """The secret after the fact, which is stored with its row and the encrypted value (`None`: no value)."""
    # Derived from the name: two requests that create the same secret meet in one stream, and one of them conflicts.
    happened_at, secret_id = now(), derived_id("secret", actor.tenant_id, name)
    after = secrets.apply(before, fact, actor.tenant_id, secret_id, happened_at)
    await services.events.append_one(
        Append(
            tenant_id=actor.tenant_id,
            stream_id=secret_id,
            stream_type="secret",
            expected_version=before.stream_version if before is not None else 0,
            events=new_events(actor, happened_at, fact),
            row=secrets.row(after),
            secret={"value": value},
        )
    )
    return after
