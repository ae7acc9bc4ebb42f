"""The functions and the engine in this process, over real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.redis import RedisServer
from shared.bootstrap import Services
from shared.ids import new_id
from tests.integration import wiring
from tests.integration.engine.conftest import guard, harness, sink

__all__ = ["guard", "harness", "sink", "wired"]


@pytest.fixture
def wired(supabase_gateway: SupabaseGateway, redis_server: RedisServer) -> Iterator[Services]:
    """What the functions work with, and a queue of the test's own."""
    environment = wiring.environment(
        supabase_gateway,
        redis_server,
        QUEUE_NAME=f"hostile-{new_id()}",
        PUBLIC_URL="http://api.test",
        LOG_LEVEL="CRITICAL",
        DRAIN_LINGER_SECONDS="0.2",
    )
    with wiring.wired(environment) as found:
        yield found
