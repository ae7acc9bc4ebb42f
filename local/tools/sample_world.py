"""`python -m local.tools.sample_world`: makes the rows that the samples under `events/` name.

Written into the databases that the environment names, as the functions read it: once into empty ones. The secrets are
those of `events/intake/README.md`; they open nothing else.
"""

from __future__ import annotations

import asyncio
import sys

from shared.aws.secrets import encrypt
from shared.bootstrap import Services, services
from shared.commands.executions.execute_workflow import ExecuteWorkflow, execute_workflow
from shared.commands.new_events import new_events, now
from shared.commands.secrets.set_secret import SetSecret, set_secret
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.domain import api_key
from shared.domain.actor import Actor
from shared.domain.api_key_format import hash_of
from shared.domain.webhook import state as webhook
from shared.domain.webhook.delivery_log import DeliveryLogEntry
from shared.domain.webhook.provider_rules import secret_context
from shared.domain.workflow import fold as workflow_fold
from shared.domain.workflow import state as workflow
from shared.events.api_key import ApiKeyCreated
from shared.events.webhook import WebhookCreated
from shared.events.workflow import WorkflowCreated
from shared.json_types import JsonObject
from shared.repositories.append import Append

TENANT = "0199c000-0000-7000-8000-000000000001"
WORKFLOW = "0199c000-0000-7000-8000-0000000000aa"
API_KEY = "0199c000-0000-7000-8000-0000000000cc"
DELIVERY = "0199c000-0000-7000-8000-0000000000bb"
ACTOR = Actor(TENANT, f"api_key:{API_KEY}", "admin")
# The samples' run: its id follows from this key.
RUN_KEY = "samples"
SECRET = "an-example-webhook-secret"  # noqa: S105 -- the samples', which open nothing
STANDARD_SECRET = "whsec_YW4tZXhhbXBsZS13ZWJob29rLXNlY3JldC1vZi0zMi1i"  # noqa: S105 -- likewise
WEBHOOKS = {
    "github": ("0199c000-0000-7000-8000-0000000000a1", SECRET),
    "generic_hmac": ("0199c000-0000-7000-8000-0000000000a2", SECRET),
    "standard_webhooks": ("0199c000-0000-7000-8000-0000000000a3", STANDARD_SECRET),
    "cloudevents": ("0199c000-0000-7000-8000-0000000000a4", SECRET),
    "gitlab": ("0199c000-0000-7000-8000-0000000000a5", SECRET),
    "shopify": ("0199c000-0000-7000-8000-0000000000a6", SECRET),
    "stripe": ("0199c000-0000-7000-8000-0000000000a7", f"whsec_{SECRET}"),
    "slack": ("0199c000-0000-7000-8000-0000000000a8", SECRET),
}
NODES: list[JsonObject] = [
    {"id": "hook", "type": "webhook_trigger"},
    {"id": "is_main", "type": "if", "parameters": {"condition": "{% $trigger.body.ref = 'refs/heads/main' %}"}},
]
EDGES: list[JsonObject] = [{"source": "hook", "target": "is_main"}]


async def make(parts: Services) -> None:
    """A published workflow, a webhook of each provider, a delivery, an API key, a secret, and a run that waits for
    a drain."""
    await _workflow(parts)
    for provider, (webhook_id, secret) in WEBHOOKS.items():
        await _webhook(parts, provider, webhook_id, secret)
    await _api_key(parts)
    await _delivery(parts)
    await publish_workflow(parts, ACTOR, WORKFLOW)
    await execute_workflow(parts, ACTOR, WORKFLOW, ExecuteWorkflow(input={"ref": "refs/heads/main"}), RUN_KEY)
    await set_secret(parts, ACTOR, "shop_token", SetSecret(value=SECRET, allowed_hosts=["api.example.com"]))
    await parts.close()


async def _workflow(parts: Services) -> None:
    happened_at = now()
    fact = WorkflowCreated("Deploy on push", None, NODES, EDGES, ["ci"], {})
    made = workflow_fold.apply(None, fact, TENANT, WORKFLOW, happened_at)
    versions = (workflow.version_row(made),)
    events, row = new_events(ACTOR, happened_at, fact), workflow.row(made)
    await parts.events.append_one(Append(TENANT, WORKFLOW, "workflow", 0, events, row, versions))


async def _webhook(parts: Services, provider: str, webhook_id: str, secret: str) -> None:
    happened_at = now()
    fact = WebhookCreated(provider, WORKFLOW, "hook", provider, {}, "active")
    events, made = new_events(ACTOR, happened_at, fact), webhook.apply(None, fact, TENANT, webhook_id, happened_at)
    sealed = {"secret": await encrypt(secret, secret_context(TENANT, webhook_id))}
    await parts.events.append_one(Append(TENANT, webhook_id, "webhook", 0, events, webhook.row(made), secret=sealed))


async def _api_key(parts: Services) -> None:
    happened_at = now()
    fact = ApiKeyCreated("The samples'", "admin", [], None)
    events, made = new_events(ACTOR, happened_at, fact), api_key.apply(None, fact, TENANT, API_KEY, happened_at)
    hashed = {"key_hash": hash_of("A" * 43)}
    await parts.events.append_one(Append(TENANT, API_KEY, "api_key", 0, events, api_key.row(made), secret=hashed))


async def _delivery(parts: Services) -> None:
    """One that started no run, with its body."""
    line: DeliveryLogEntry = {
        "id": DELIVERY,
        "tenant_id": TENANT,
        "webhook_id": WEBHOOKS["github"][0],
        "received_at": "2026-11-01T08:40:06.000000Z",
        "verdict": "filtered",
        "reason": "event_types",
        "delivery_key": "d3b07384-0001-4000-8000-000000000000",
        "event_type": "push",
        "execution_id": None,
        "verified": True,
        "headers": {"content-type": "application/json", "x-github-event": "push"},
        "method": "POST",
        "query": {},
        "body": "eyJyZWYiOiAicmVmcy9oZWFkcy9tYWluIn0=",
        "body_sha256": "de8f76d95575c8847b54bf5cf76580e7fe80c3f61f3a0b4cbd7bef955917193e",
        "size_bytes": 26,
    }
    await parts.webhooks.record([line])


if __name__ == "__main__":
    asyncio.run(make(services()))
    sys.exit(0)
