"""An engine over real servers, a tenant with workflows to run, and a server that workflows may call."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.redis import RedisServer
from shared.bootstrap import Services
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.ids import new_id
from shared.nodes import outbound
from shared.repositories.database import Database
from shared.settings import Settings
from shared.settings import settings as process_settings
from tests.integration.engine.harness import EngineHarness
from tests.integration.engine.sink import Sink


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """An HTTP server that counts the requests it gets."""
    async with Sink() as server:
        yield server
    await outbound.close()


@pytest.fixture
async def guard() -> AsyncIterator[ExpressionEvaluator]:
    """A child process for expressions."""
    guard = ExpressionEvaluator()
    yield guard
    await guard.close()


@pytest.fixture
async def harness(
    supabase_gateway: SupabaseGateway,
    redis_server: RedisServer,
    guard: ExpressionEvaluator,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[EngineHarness]:
    """The engine and a drain's parts, wired for a tenant of this test's own."""
    tenant_id = new_id()
    # What wakes a drain reads the process's own settings.
    monkeypatch.setenv("SUPABASE_URL", supabase_gateway.url)
    monkeypatch.setenv("SUPABASE_KEY", supabase_gateway.service_key)
    process_settings.cache_clear()
    settings = Settings(
        supabase_url=supabase_gateway.url,
        supabase_key=supabase_gateway.service_key,
        redis_port=redis_server.port,
        queue_name=f"executions-{tenant_id}",
        drain_concurrency=16,
        drain_linger_seconds=0.3,
        outbound_allow=(f"{tenant_id}=127.0.0.1:{sink.port}",),
    )
    services = Services(Database(settings.supabase_url, settings.supabase_key), settings)
    harness = EngineHarness(services, guard, tenant_id)
    yield harness
    await services.close()
    process_settings.cache_clear()
