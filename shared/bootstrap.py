"""The composition root: what commands and queries work with, made once per process, each part on first use."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING

from shared.repositories.database import Database, database
from shared.settings import Settings, settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from shared.queue.cache import ConfigCache
    from shared.queue.consumer import JobConsumer
    from shared.queue.delivery_log import DeliveryLog
    from shared.queue.keys import OwnKeys
    from shared.queue.live_drains import LiveDrains
    from shared.queue.producer import JobProducer
    from shared.queue.reply_channel import ReplyChannel
    from shared.queue.scripts import ScriptRunner
    from shared.queue.waiting_clients import WaitingClients
    from shared.repositories.api_keys import ApiKeyRepository
    from shared.repositories.event_store import EventStoreRepository
    from shared.repositories.executions import ExecutionRepository
    from shared.repositories.schedules import ScheduleRepository
    from shared.repositories.secrets import SecretRepository
    from shared.repositories.webhooks import WebhookRepository
    from shared.repositories.workflows import WorkflowRepository


class Services:
    """The repositories over one database, and the parts of the queue over one client of Redis; each is made, and its
    module imported, on first use."""

    def __init__(self, database: Database, settings: Settings) -> None:
        """Nothing connects before its first use."""
        self.database = database
        self.settings = settings

    @cached_property
    def events(self) -> EventStoreRepository:
        """The event store."""
        from shared.repositories.event_store import EventStoreRepository

        return EventStoreRepository(self.database)

    @cached_property
    def workflows(self) -> WorkflowRepository:
        """Workflows and their versions."""
        from shared.repositories.workflows import WorkflowRepository

        return WorkflowRepository(self.database)

    @cached_property
    def executions(self) -> ExecutionRepository:
        """Executions, as lists show them."""
        from shared.repositories.executions import ExecutionRepository

        return ExecutionRepository(self.database)

    @cached_property
    def webhooks(self) -> WebhookRepository:
        """Webhooks and their delivery log."""
        from shared.repositories.webhooks import WebhookRepository

        return WebhookRepository(self.database)

    @cached_property
    def api_keys(self) -> ApiKeyRepository:
        """API keys."""
        from shared.repositories.api_keys import ApiKeyRepository

        return ApiKeyRepository(self.database)

    @cached_property
    def secrets(self) -> SecretRepository:
        """Tenants' secrets."""
        from shared.repositories.secrets import SecretRepository

        return SecretRepository(self.database)

    @cached_property
    def redis(self) -> Redis:
        """The one client of Redis; it connects on first use."""
        from shared.queue.connection import connect

        return connect(self.settings)

    @cached_property
    def redis_keys(self) -> OwnKeys:
        """The names of our own keys in Redis."""
        from shared.queue.keys import OwnKeys

        return OwnKeys.of(self.settings.queue_prefix, self.settings.queue_name)

    @cached_property
    def scripts(self) -> ScriptRunner:
        """What runs the Lua scripts of all parts below, those of one tick of the event loop in one round trip."""
        from shared.queue.scripts import ScriptRunner

        return ScriptRunner(self.redis)

    @cached_property
    def config_cache(self) -> ConfigCache:
        """Webhooks and published versions as intake needs them, in Redis."""
        from shared.queue.cache import ConfigCache

        return ConfigCache(self.redis, self.redis_keys)

    @cached_property
    def delivery_log(self) -> DeliveryLog:
        """Entries for the delivery log that intake has left in Redis, until a drain writes them."""
        from shared.queue.delivery_log import DeliveryLog

        return DeliveryLog(self.redis, self.redis_keys)

    @cached_property
    def replies(self) -> ReplyChannel:
        """Replies on their way to the clients that wait for a run."""
        from shared.queue.reply_channel import ReplyChannel

        return ReplyChannel(self.redis, self.redis_keys)

    @cached_property
    def waiting_clients(self) -> WaitingClients:
        """How many clients of each tenant wait."""
        from shared.queue.waiting_clients import WaitingClients

        return WaitingClients(self.redis, self.scripts, self.redis_keys, self.settings.tenant_max_waits)

    @cached_property
    def live_drains(self) -> LiveDrains:
        """The drains' heartbeats, and whose turn it is to invoke one."""
        from shared.queue.live_drains import LiveDrains

        return LiveDrains(self.scripts, self.redis_keys)

    @cached_property
    def producer(self) -> JobProducer:
        """What adds jobs; without BullMQ, which is the slowest import of all."""
        from shared.queue.producer import JobProducer

        return JobProducer(self.redis, self.scripts, self.redis_keys, self.settings)

    @cached_property
    def consumer(self) -> JobConsumer:
        """What claims jobs and acknowledges them; only a drain does."""
        from shared.queue.consumer import JobConsumer

        return JobConsumer(self.redis, self.scripts, self.redis_keys, self.settings)

    @cached_property
    def schedules(self) -> ScheduleRepository:
        """The schedules of published workflows."""
        from shared.repositories.schedules import ScheduleRepository

        return ScheduleRepository(self.database)

    async def close(self) -> None:
        """Closes the connections to database and Redis, all parts' at once: for callers that end before their
        process."""
        await self.database.close()
        if "redis" in self.__dict__:  # made on first use
            await self.redis.aclose()
            await self.redis.connection_pool.disconnect()


@cache
def services() -> Services:
    """This process's services, from its settings."""
    return Services(database(), settings())
