"""The connection to Redis: one pool per process, and Redis's errors in our terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import __version__
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError

from shared.errors import QueueUnavailableError
from shared.settings import Settings

MAX_CONNECTIONS = 32


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
