"""A provider: signs deliveries and sends them to the function."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from functions.intake import app
from local.signing.deliveries import sign
from shared.bootstrap import Services
from shared.commands.webhooks.create_webhook import CreateWebhook, create_webhook
from shared.commands.webhooks.update_webhook import UpdateWebhook, update_webhook
from shared.commands.workflows.create_workflow import CreateWorkflow, create_workflow
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.domain.actor import Actor
from shared.domain.webhook.delivery_log import DeliveryLogEntry
from shared.engine.drain.delivery_log_writer import DeliveryLogWriter
from shared.engine.run.journal import Journal, Piggyback
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.repositories.append import Append, Appended
from shared.repositories.database import Database
from shared.repositories.event_store import EventStoreRepository
from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.catalog import provider
from shared.webhooks.providers.rules import provider_rules

GRAPH: JsonObject = {
    "nodes": [
        {"id": "hook", "type": "webhook_trigger"},
        {"id": "keep", "type": "transform", "parameters": {"value": 1}},
    ],
    "edges": [{"source": "hook", "target": "keep"}],
}


@dataclass(frozen=True)
class Answer:
    """What the sender was answered."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


@dataclass(frozen=True)
class Sender:
    """Sends to one webhook."""

    services: Services
    actor: Actor
    workflow_id: str
    webhook_id: str
    provider_id: str
    secret: str
    config: JsonObject = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        services: Services,
        provider_id: str,
        publish: bool = True,
        secret: str | None = None,
        status: str = "active",
        **config: Any,
    ) -> Sender:
        """A sender to a new webhook of a new tenant."""
        actor = Actor(new_id(), "test", "admin")

        async def create() -> Sender:
            workflow = await create_workflow(services, actor, CreateWorkflow(name="w", **GRAPH))
            if publish:
                await publish_workflow(services, actor, workflow.id)
            about = {"name": "h", "workflow_id": workflow.id, "provider": provider_id, "config": config}
            command = CreateWebhook.model_validate({**about, "secret": secret, "status": status})
            row = await create_webhook(services, actor, command, provider_rules(provider_id, config))
            return cls(services, actor, workflow.id, row["id"], provider_id, row["secret"], config)

        return run(create())

    def signed(self, body: bytes = b'{"n": 1}', now: float | None = None, **headers: str) -> dict[str, str]:
        """The headers of a delivery of this body; underscores in names stand for dashes."""
        found = provider(self.provider_id, self.config)
        assert found is not None
        bare = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        return dict(sign(found, Delivery("POST", bare, body), self.secret, time.time() if now is None else now))

    def send(
        self,
        body: bytes = b'{"n": 1}',
        *,
        method: str = "POST",
        path: str | None = None,
        webhook_id: str | None = None,
        query: dict[str, str] | None = None,
        signed: dict[str, str] | None = None,
        **headers: str,
    ) -> Answer:
        """The answer to one request: signed, unless `signed` gives its headers."""
        return self.invoke(
            {
                "version": "2.0",
                "headers": self.signed(body, **headers) if signed is None else signed,
                "requestContext": {"http": {"method": method}},
                "pathParameters": {"webhookId": webhook_id or self.webhook_id, "provider": path or self.provider_id},
                "isBase64Encoded": True,
                **({"body": base64.b64encode(body).decode()} if body else {}),
                **({"queryStringParameters": query} if query else {}),
            }
        )

    def event(self, body: bytes, **headers: str) -> JsonObject:
        """The event of a signed delivery."""
        return {
            "version": "2.0",
            "headers": self.signed(body, **headers),
            "requestContext": {"http": {"method": "POST"}},
            "pathParameters": {"webhookId": self.webhook_id, "provider": self.provider_id},
            "isBase64Encoded": True,
            "body": base64.b64encode(body).decode(),
        }

    @staticmethod
    def invoke(event: JsonObject) -> Answer:
        """The answer to an event."""
        answer = app.handler(event, None)
        return Answer(answer["statusCode"], answer["headers"], answer["body"])


class JournaledEvents(EventStoreRepository):
    """The event store, appended to through a journal whose commits take entries of the delivery log along."""

    def __init__(self, database: Database, piggyback: Piggyback) -> None:
        super().__init__(database)
        self._journal = Journal(EventStoreRepository(database), piggyback=piggyback)

    async def append(self, appends: Sequence[Append], lines: Sequence[DeliveryLogEntry] = ()) -> list[Appended]:
        assert not lines, "they ride along"
        return list(await asyncio.gather(*map(self._journal.append, appends)))


def ledger(sender: Sender) -> list[JsonObject]:
    """The lines, written by a drain's writer."""
    services = sender.services
    writer = DeliveryLogWriter(services.delivery_log, services.webhooks, Piggyback(), new_id())
    while run(writer.write()):
        pass
    return run(services.webhooks.deliveries(sender.actor.tenant_id, sender.webhook_id, 100))


def configure(sender: Sender, **config: Any) -> None:
    """Gives the webhook a configuration."""
    command = UpdateWebhook(
        name="h", workflow_id=sender.workflow_id, provider=sender.provider_id, config={**sender.config, **config}
    )
    rules = provider_rules(sender.provider_id)
    run(update_webhook(sender.services, sender.actor, sender.webhook_id, command, rules))


def set_status(sender: Sender, status: str) -> None:
    """Gives the webhook a status."""
    about = {"name": "h", "workflow_id": sender.workflow_id, "provider": sender.provider_id, "config": sender.config}
    command = UpdateWebhook.model_validate({**about, "status": status})
    rules = provider_rules(sender.provider_id, sender.config)
    run(update_webhook(sender.services, sender.actor, sender.webhook_id, command, rules))
