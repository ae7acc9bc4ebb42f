"""Secrets and signals' URLs of an effect: put into its request when it is performed, and redacted from its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from shared.domain.expressions import secret_references, signal_urls
from shared.domain.json.values import size_bytes
from shared.domain.secret_hosts import BoundSecret, Destination
from shared.engine.run.compiled_graph import CompiledNode
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Completed, Effect, EffectContext, NodeError, Parameters


async def perform_with_secrets(
    compiled: CompiledNode,
    kind: Effect[Parameters],
    resolved: JsonObject,
    context: EffectContext,
    execution_id: str,
) -> Completed:
    """The effect's result; its failures raise `NodeError`. Neither contains a secret, nor the URL of a signal."""
    if not compiled.is_disclosing:
        parameters = compiled.type.parse(resolved)
        return compiled.type.bounded(parameters, await kind.perform(parameters, context))
    permissions, tenant_id = context.permissions, context.tenant_id
    bound = await permissions.secrets(tenant_id, compiled.secrets) if compiled.secrets else {}
    secrets = {name: secret.value for name, secret in bound.items()}
    urls = {name: await permissions.signal_url(tenant_id, execution_id, name) for name in compiled.signals}
    # URLs first: a secret that looks like a placeholder stays as it is.
    revealed = secret_references.revealed(signal_urls.revealed(resolved, urls), compiled.secret_places, secrets)
    hidden = {secret_references.placeholder(name): value for name, value in secrets.items()}
    hidden |= {signal_urls.placeholder(name): url for name, url in urls.items()}
    redact = partial(_redacted, hidden)
    try:
        context = replace(context, secrets=secrets, redact=redact, discloses=tuple(hidden))
        parameters = compiled.type.parse(revealed)
        _refuse_destination(bound, kind.destination(parameters))
        completed = compiled.type.bounded(parameters, await kind.perform(parameters, context))
    except NodeError as error:
        message, details = redact([error.message, error.details])
        # The error it comes from may contain it too.
        raise NodeError(error.code, message, details, error.retry_after_seconds) from None
    size = size_bytes(completed.output)
    # A large answer is searched in the tenant's compute turns.
    output = await context.turns.take(tenant_id, partial(redact, completed.output), size)
    # Placeholders may be longer than what they stand for.
    return compiled.type.bounded(parameters, replace(completed, output=output))


def _refuse_destination(secrets: Mapping[str, BoundSecret], destination: Destination) -> None:
    """Raises `NodeError` where one of the secrets may not be sent there. The check is of the URL as it is sent, after
    all that a delivery could have changed in it."""
    for name, secret in secrets.items():
        if not secret.allows(destination):
            hosts = ", ".join(secret.allowed_hosts or ())
            message = f"The secret {name!r} may not be sent to {destination}, only to {hosts}."
            mend = f"Correct the node's URL, or add the host to allowed_hosts: PUT /api/secrets/{name}."
            raise NodeError("secret_refused", f"{message} {mend}")


def _redacted(hidden: Mapping[str, str], value: object) -> Any:
    from shared.domain.expressions.redaction import UnsearchableError, redacted  # few nodes name a secret

    try:
        return redacted(value, hidden)
    except UnsearchableError:
        message = "The answer is too large, or has too many escapes, to be searched for the secrets that were sent."
        raise NodeError("limit", f"{message} It is not kept.") from None
