"""A stack that may be hurt: with short locks and a schedule of seconds, so that it heals while a test waits."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.redis import RedisServer
from local.stack.stack import LocalStack
from local.stack.tokens import LocalKeys
from shared.bootstrap import Services
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.nodes import outbound
from shared.repositories.database import Database
from shared.settings import Settings
from tests.faults.harness import LEASE_SECONDS, LOCK_SECONDS, FaultHarness
from tests.integration.engine.harness import EngineHarness
from tests.integration.engine.sink import Sink

SECRET = "a secret of thirty-two characters"


class Hurt:
    """The stack, its API, its database, and ways to harm it."""

    def __init__(self, stack: LocalStack, sink: Sink) -> None:
        self.stack, self.sink = stack, sink
        self.api = httpx.AsyncClient(
            base_url=stack.api_url, headers={"authorization": f"Bearer {stack.api_key}"}, timeout=60
        )

    async def hook(self, nodes: list[JsonObject], edges: list[tuple[str, str]], **config: Any) -> str:
        """The path of a webhook with this configuration, for a published workflow with these nodes after the trigger
        `hook`."""
        drawn = [{"source": source, "target": target} for source, target in edges]
        graph = {"name": "hurt", "nodes": [{"id": "hook", "type": "webhook_trigger"}, *nodes], "edges": drawn}
        workflow = (await self.api.post("/api/workflows", json=graph)).raise_for_status().json()
        (await self.api.post(f"/api/workflows/{workflow['id']}/publish")).raise_for_status()
        wanted = {"name": "hurt", "workflow_id": workflow["id"], "provider": "generic_hmac", "secret": SECRET}
        wanted["config"] = config
        webhook = (await self.api.post("/api/webhooks", json=wanted)).raise_for_status().json()
        return f"/webhooks/{webhook['id']}/generic_hmac"

    async def deliver(self, path: str, body: Any) -> str:
        """The id of the run that an accepted delivery has."""
        raw = json.dumps(body).encode()
        signature = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-signature": signature}
        answer = await self.api.post(path, content=raw, headers=headers)
        assert answer.status_code == 202, answer.text
        execution_id: str = answer.json()["execution_id"]
        return execution_id

    def kill_drains(self) -> int:
        """How many processes of the drain were killed."""
        workers = self.stack.workers().get("local-drain", [])
        for worker in workers:
            os.kill(worker["pid"], signal.SIGKILL)
        return len(workers)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database answers."""
        with psycopg.connect(self.stack.environment["DATABASE_URL"], autocommit=True) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]  # the tests' own texts

    def wait_until_finished(self, execution_ids: list[str], seconds: float) -> dict[str, str]:
        """Each run's status, once all have one that is final."""
        deadline = time.monotonic() + seconds
        while True:
            query = "select id::text, status from executions where id = any(%s::uuid[])"
            statuses: dict[str, str] = dict(self.rows(query, execution_ids))  # type: ignore[arg-type]  # two columns
            open_runs = [
                execution_id
                for execution_id in execution_ids
                if statuses.get(execution_id) not in ("succeeded", "failed", "cancelled")
            ]
            if not open_runs:
                return statuses
            states = [statuses.get(execution_id, "unknown") for execution_id in open_runs]
            assert time.monotonic() < deadline, f"{len(open_runs)} runs are not finished: {states[:5]}"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def short_lived_stack(postgres_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack of this module's own."""
    folder = tmp_path_factory.mktemp("hurt")
    environment = {"LOCK_SECONDS": "2", "LEASE_SECONDS": "10", "DRAIN_LINGER_SECONDS": "2"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_SCHEDULE_SECONDS", "3")
        with LocalStack(folder, postgres_template=postgres_template, durable=False, environment=environment) as running:
            yield running
    shutil.rmtree(folder / "postgres", ignore_errors=True)


@asynccontextmanager
async def with_sink(stack: LocalStack) -> AsyncIterator[Hurt]:
    """The stack and a server that its workflows call."""
    async with Sink() as sink:
        hurt = Hurt(stack, sink)
        yield hurt
        await hurt.api.aclose()


@pytest.fixture
async def hurt(short_lived_stack: LocalStack) -> AsyncIterator[Hurt]:
    """The stack of this module's own and its server."""
    async with with_sink(short_lived_stack) as hurt:
        yield hurt


@pytest.fixture(scope="module")
def own_gateway(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupabaseGateway]:
    """A database of this module's own: no other test's runs are in it."""
    folder = tmp_path_factory.mktemp("crashes")
    gateway = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def faults(own_gateway: SupabaseGateway, redis_server: RedisServer) -> AsyncIterator[FaultHarness]:
    """A tenant of this test's own."""
    tenant_id = new_id()
    async with Sink() as sink:
        environment = {
            "SUPABASE_URL": own_gateway.url,
            "SUPABASE_KEY": own_gateway.service_key,
            "REDIS_PORT": str(redis_server.port),
            "QUEUE_NAME": f"executions-{tenant_id}",
            "LOCK_SECONDS": str(LOCK_SECONDS),
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "DRAIN_LINGER_SECONDS": "0.3",
            "OUTBOUND_ALLOW": f"{tenant_id}=127.0.0.1:{sink.port}",
        }
        settings = Settings.from_environment(environment)
        services = Services(Database(settings.supabase_url, settings.supabase_key), settings)
        guard = ExpressionEvaluator()
        yield FaultHarness(EngineHarness(services, guard, tenant_id), sink, environment)
        await guard.close()
        await services.close()
        await outbound.close()
