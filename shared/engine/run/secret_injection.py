"""An effect with secrets or signals' URLs: they are put in when it is performed, and taken out of what comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.domain.expressions import secret_references, signal_urls
from shared.engine.run.compiled_graph import CompiledNode
from shared.nodes.node_type import Completed, EffectContext, NodeError

JsonObject = dict[str, Any]


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
