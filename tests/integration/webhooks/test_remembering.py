"""What Redis remembers of webhooks is what is stored, whoever writes at the same time, and however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from psycopg import connect

from shared.bootstrap import Services
from shared.commands.webhooks.update_webhook import UpdateWebhook, update_webhook
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.commands.workflows.unpublish_workflow import unpublish_workflow
from shared.platform.runtime import run
from shared.repositories.database import Database
from shared.webhooks.providers.rules import provider_rules
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import Sender


class SlowRedis:
    """A way to Redis on which what is to be remembered waits at a gate."""

    def __init__(self, port: int) -> None:
        """`port` is the server's; the gate is shut."""
        self.port, self._to = 0, port
        self.reached, self.gate = asyncio.Event(), asyncio.Event()

    async def serve(self) -> asyncio.Server:
        """Accepts connections at `port`, from now on."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._pump(reader, far_writer, True), self._pump(far_reader, writer, False))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_gated: bool) -> None:
        while data := await reader.read(65_536):
            if (
                is_gated
                and any(word in data for word in (b"remembered_at", b":published:"))
                and b"GET" not in data[:20]
            ):
                self.reached.set()
                await self.gate.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


Change = Callable[[Services], Awaitable[object]]


async def slow_and_quick(services: Services, slow: Change, quick: Change) -> None:
    """The first change is committed first and remembered last, by another process."""
    settings = services.settings
    redis = SlowRedis(settings.redis_port)
    server = await redis.serve()
    other = Services(Database(settings.supabase_url, settings.supabase_key), settings._replace(redis_port=redis.port))
    under_way = asyncio.ensure_future(slow(other))
    await redis.reached.wait()
    await quick(services)
    redis.gate.set()
    await under_way
    await other.close()
    server.close()
    await server.wait_closed()


def test_who_has_read_earlier_does_not_overwrite_who_has_read_later(sender: Sender) -> None:
    """Two changes of a webhook: what stands in the end is the second, in Redis as in the store."""

    def rename(name: str) -> Change:
        command = UpdateWebhook(name=name, workflow_id=sender.workflow_id, provider="github")
        rules = provider_rules("github")
        return lambda services: update_webhook(services, sender.actor, sender.webhook_id, command, rules)

    run(slow_and_quick(sender.services, rename("first"), rename("second")))
    config = run(sender.services.config_cache.webhook_config(sender.webhook_id)).config
    assert config is not None
    assert config["name"] == "second"


@pytest.mark.parametrize("is_published", [True, False])
def test_what_was_published_last_is_remembered(sender: Sender, is_published: bool) -> None:
    """Of the workflow, which the queue looks at, and of its webhooks."""
    actor, workflow_id = sender.actor, sender.workflow_id
    changes: list[Change] = [
        lambda services: unpublish_workflow(services, actor, workflow_id),
        lambda services: publish_workflow(services, actor, workflow_id),
    ]
    if not is_published:
        run(changes[0](sender.services))
        changes.reverse()
    run(slow_and_quick(sender.services, *changes))
    config = run(sender.services.config_cache.webhook_config(sender.webhook_id)).config
    hinted = run(sender.services.config_cache.published_versions([workflow_id]))
    assert config is not None
    assert (config["published"], hinted[workflow_id] > 0) == (is_published, is_published)


def test_all_webhooks_of_a_workflow_are_remembered(
    sender: Sender, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many: page by page."""
    monkeypatch.setattr("shared.commands.write_through.PAGE", 7)
    with connect(servers.supabase.database_url, autocommit=True) as connection:
        connection.execute(
            "insert into webhooks (id, tenant_id, name, workflow_id, provider, stream_version) "
            "select gen_random_uuid(), tenant_id, n::text, workflow_id, provider, 1 "
            "from webhooks, generate_series(1, 30) as n where id = %s",
            [sender.webhook_id],
        )
        run(unpublish_workflow(sender.services, sender.actor, sender.workflow_id))
        rows = connection.execute("select id::text from webhooks where workflow_id = %s", [sender.workflow_id])
        ids = [webhook_id for (webhook_id,) in rows.fetchall()]
        connection.execute(
            "delete from webhooks where workflow_id = %s and id <> %s", [sender.workflow_id, sender.webhook_id]
        )
    found = [run(sender.services.config_cache.webhook_config(each)).config for each in ids]
    assert len(found) == 31
    assert all(config is not None and config["published"] is False for config in found)


@pytest.mark.parametrize(
    "text", ["", "not JSON", "[" * 5_000, "[]", "7", "{}", '{"remembered_at": "x", "webhook": {}}']
)
def test_what_another_client_has_left_there_is_no_webhook(sender: Sender, text: str) -> None:
    """Deliveries are taken as the store says, and that takes its place; so with what is published."""
    keys = sender.services.redis_keys
    run(sender.services.redis.set(keys.webhook(sender.webhook_id), text))
    run(sender.services.redis.set(keys.published(sender.workflow_id), text or "x"))
    assert sender.send(b"{}").status == 202
    assert run(sender.services.config_cache.webhook_config(sender.webhook_id)).is_fresh
    assert run(sender.services.config_cache.published_versions([sender.workflow_id])) in ({}, {sender.workflow_id: 7})
