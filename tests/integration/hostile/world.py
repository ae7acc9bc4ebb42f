"""One tenant with one of everything, and requests for each operation of the API that name what is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from functions.drain.work import drain
from shared.aws.signal_tokens import signal_url
from shared.bootstrap import Services
from shared.domain.actor import Actor
from shared.domain.webhook.delivery import entry_without_run
from shared.http.auth import context_of
from shared.http.openapi import document, every_operation
from shared.http.operation import Operation, is_uuid_parameter
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests.integration.hostile.examples import Schema
from tests.integration.http.client import Client, event
from tests.integration.http.graphs import DOUBLING

Handler = Callable[[JsonObject, Any], JsonObject]

FOLDER = Path(__file__).parents[3] / "functions"
WAITING: JsonObject = {
    "name": "waits",
    "nodes": [
        {"id": "hand", "type": "manual_trigger"},
        {"id": "go", "type": "wait_for_signal", "parameters": {"name": "go"}},
    ],
    "edges": [{"source": "hand", "target": "go"}],
}
# Headers that any request may have.
HEADERS = ("User-Agent", "Accept", "Content-Type", "X-Forwarded-For", "If-None-Match", "X-Amzn-Trace-Id")


def handlers() -> dict[str, Handler]:
    """The handler of each operation that a function of ours routes, by the operation's id."""
    apps = [import_module(f"functions.{app.parent.name}.app") for app in sorted(FOLDER.glob("*/app.py"))]
    return {one.id: app.handler for app in apps if hasattr(app, "api") for one in app.api.operations}


@dataclass
class World:
    """A tenant's things, by the names that paths and bodies have for them."""

    client: Client
    things: dict[str, str]
    schemas: dict[str, JsonObject] = field(default_factory=lambda: document()["components"]["schemas"])

    @classmethod
    def of(cls, services: Services) -> World:
        """A new tenant's."""
        client = Client()

        def made(path: str, body: Any = None) -> JsonObject:
            answer = client.request("POST", path, body)
            assert answer.status < 300, answer.text
            found: JsonObject = answer.json
            return found

        workflow, waiting = made("/api/workflows", DOUBLING), made("/api/workflows", WAITING)
        for each in (workflow, waiting):
            made(f"/api/workflows/{each['id']}/publish")
        hook = made("/api/webhooks", {"name": "h", "workflow_id": workflow["id"], "provider": "github"})
        ran = made(f"/api/workflows/{waiting['id']}/execute", {"input": 1})
        assert client.request("PUT", "/api/secrets/s1", {"value": "a secret", "allowed_hosts": ["*"]}).status < 300
        record = {"delivery_id": new_id(), "webhook_id": hook["id"], "received_at": "2026-11-01T00:00:00Z"}
        record |= {"delivery_key": None, "event_type": "push", "headers": {}, "body_sha256": "0" * 64, "size_bytes": 0}
        record |= {"method": "POST", "query": {}}
        run(services.webhooks.record([entry_without_run(record, client.tenant_id, "filtered", None, True)]))
        run(drain(lambda: 12.0))
        token = run(signal_url(client.tenant_id, ran["execution_id"], "go")).rpartition("/")[2]
        things = {"workflows": workflow["id"], "webhooks": hook["id"], "executions": ran["execution_id"]}
        things |= {"api-keys": made("/api/api-keys", {"name": "k"})["id"], "secrets": "s1", "signals": token}
        return cls(client, things | {"delivery_id": record["delivery_id"]})

    def schema(self, operation: Operation) -> Schema | None:
        """The schema of the operation's body."""
        if operation.command is None and not operation.raw_body:
            return None
        root = {} if operation.command is None else self.schemas[operation.command.__name__]
        known = {"workflow_id": self.things["workflows"], "provider": "github", "value": "a value", "mode": "live"}
        known |= {
            "from_node": "go",
            "nodes": DOUBLING["nodes"],
            "edges": DOUBLING["edges"],
            "role": "viewer",
            "limit": 1,
        }
        return Schema(root, self.schemas, known)

    def path(self, operation: Operation, **changed: str) -> tuple[str, dict[str, str]]:
        """The path, and its parameters, of things that are there."""
        kind = operation.path.strip("/").removeprefix("api/").partition("/")[0]
        named = {"id": self.things.get(kind, new_id()), "delivery_id": self.things["delivery_id"], "version": "1"}
        named |= {"name": "s1" if kind == "secrets" else "go", "token": self.things["signals"], **changed}
        parameters = {name: named.get(name, "x") for name in operation.path_parameters}
        path = operation.path
        for name, value in parameters.items():
            path = path.replace(f"{{{name}}}", value)
        return path, parameters

    def events(self, operation: Operation, text: str) -> Iterator[JsonObject]:
        """Requests that would be right but for the text, each with it in another place; and a right one, the last."""
        schema = self.schema(operation)
        body = None if schema is None else schema.example()
        for name in operation.path_parameters:
            if not is_uuid_parameter(name):
                yield self.event(operation, body, **{name: text})
        for name in operation.parameters.model_fields if operation.parameters else ():
            yield self.event(operation, body, query=f"{name}={quote(text, errors='surrogatepass')}")
        yield self.event(operation, body, query=f"{quote(text, errors='surrogatepass')}=1")
        for name in (*(header.name for header in operation.headers), *HEADERS):
            yield self.event(operation, body, headers={name.lower(): text})
        for value in schema.hostile(text) if schema else ():
            yield self.event(operation, value)
        yield self.event(operation, body)

    def event(
        self, operation: Operation, body: Any, query: str = "", headers: dict[str, str] | None = None, **path: str
    ) -> JsonObject:
        """The event of one request by the tenant's administrator."""
        where, parameters = self.path(operation, **path)
        content = None if body is None else json.dumps(body).encode()
        sent = event(operation.method, where, content, {}, query)
        sent["headers"] |= headers or {}
        sent |= {"routeKey": f"{operation.method} {operation.path}", "pathParameters": parameters}
        if operation.role is not None:
            actor = Actor(self.client.tenant_id, "api_key:test", "admin", frozenset())
            sent["requestContext"]["authorizer"] = {"lambda": context_of(actor)}
        return sent


def ordered() -> list[Operation]:
    """All operations, those that end or remove something last."""
    last = ("unpublish", "cancel")
    return sorted(every_operation(), key=lambda one: (one.method == "DELETE", one.path.endswith(last)))
