"""Secrets and signals' URLs of an effect: put into its request when it is performed, and redacted from its result."""

from __future__ import annotations

from dataclasses import replace

from shared.domain.expressions import secret_references, signal_urls
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
