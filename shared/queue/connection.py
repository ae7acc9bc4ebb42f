"""The connection to Redis: one pool per process, and Redis's errors in our terms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis import __version__
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError

from shared.deadline import seconds_left
from shared.errors import QueueUnavailableError
from shared.settings import Settings

MAX_CONNECTIONS = 32
# How long a call may take that does not wait for something to happen: a lock is renewed more often than that.
CALL_SECONDS = 5.0


def connect(settings: Settings) -> Redis:
    """The client of the queue's server; it connects on first use and belongs to one event loop.

    `decode_responses` is what BullMQ's scripts expect. The socket timeout is above the longest blocking wait for a
    job. A call is repeated once, because a function that was frozen finds its connections closed; every call here may
    be repeated, since jobs have ids of their own.
    """
    pool = BlockingConnectionPool(
        max_connections=MAX_CONNECTIONS,
        timeout=5,
        connection_class=SSLConnection if settings.redis_tls else Connection,
        host=settings.redis_host,
        port=settings.redis_port,
        password=settings.redis_password,
        decode_responses=True,
        encoding_errors="replace",
        socket_timeout=30,
        socket_connect_timeout=2,
        socket_keepalive=True,
        retry=Retry(ConstantBackoff(0.05), 1),
        # Each connection would look its version up in the package's description: 10 ms, most of it a parser of mails.
        driver_info=DriverInfo(lib_version=__version__),
    )
    return Redis(connection_pool=pool)


@contextmanager
def in_our_terms() -> Iterator[None]:
    """Turns whatever keeps Redis from answering into a `QueueUnavailableError`.

    Its error replies count too (read-only replica, loading, out of memory): each means that it does not take this now.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise QueueUnavailableError from error


@asynccontextmanager
async def in_time(seconds: float = CALL_SECONDS) -> AsyncIterator[None]:
    """A block that a Redis which hangs ends after `seconds`, or when its caller's time is up (see `shared.deadline`):
    with the same `QueueUnavailableError` as one that is out of reach. What was sent may yet be done."""
    with in_our_terms():
        async with asyncio.timeout(seconds_left(seconds)):
            yield
