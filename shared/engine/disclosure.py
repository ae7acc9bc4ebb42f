"""An effect with secrets: they are put in when it is performed, and taken out of whatever comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.domain.secret_references import redacted, revealed
from shared.engine.program import ProgramNode
from shared.nodes.node_type import Completed, Effect, NodeError

JsonObject = dict[str, Any]


async def perform(one: ProgramNode, resolved: JsonObject, effect: Effect) -> Completed:
    """What the effect yields; its failures raise `NodeError`. Neither says a secret."""
    if not one.secrets:
        return await one.type.achieves(one.type.parse(resolved), effect)
    secrets = await effect.reach.secrets(effect.tenant_id, one.secrets)
    try:
        parameters = one.type.parse(revealed(resolved, one.secret_places, secrets))
        completed = await one.type.achieves(parameters, replace(effect, secrets=secrets))
    except NodeError as error:
        message, details = redacted([error.message, error.details], secrets)
        # The error it comes from may say it too.
        raise NodeError(error.code, message, details, error.retry_after_seconds) from None
    return replace(completed, output=redacted(completed.output, secrets))
