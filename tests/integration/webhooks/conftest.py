"""The function `intake` in this process, over servers of this folder's own, which its tests stop and start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.redis import RedisServer
from local.stack.tokens import LocalKeys
from shared.bootstrap import Services
from shared.ids import new_id
from tests.integration import wiring
from tests.integration.webhooks.sender import Sender


@dataclass(frozen=True)
class Servers:
    """What intake depends on."""

    redis: RedisServer
    supabase: SupabaseGateway

    def set_due(self, moment: str, before: str) -> None:
        """Makes all runs that are due before one moment due at another; both are in SQL."""
        with psycopg.connect(self.supabase.database_url, autocommit=True) as connection:
            connection.execute(f"update executions set wake_at = {moment} where wake_at < {before}")


@pytest.fixture(scope="package")
def servers(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A Redis and a gateway that may be stopped."""
    folder = tmp_path_factory.mktemp("intake")
    redis = RedisServer(folder / "redis").start()
    supabase = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield Servers(redis, supabase)
    supabase.stop()
    redis.stop()


@pytest.fixture
def wired(servers: Servers) -> Iterator[Services]:
    """What the function works with: a cold process with a queue of its own, and no runs of other tests that are due."""
    servers.set_due("now() + interval '1 year'", "now() + interval '1 year'")
    own = {"QUEUE_NAME": f"intake-{new_id()}", "DRAIN_LINGER_SECONDS": "0.6"}
    with wiring.wired(wiring.environment(servers.supabase, servers.redis, **own)) as found:
        yield found


@pytest.fixture
def sender(wired: Services) -> Sender:
    """A sender to a published workflow's GitHub webhook."""
    return Sender.of(wired, "github")
