"""How Redis is reached."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import SSLConnection
from redis.exceptions import DataError, ReadOnlyError, ResponseError

from shared.errors import QueueError, QueueUnavailableError
from shared.queue.connection import connect, in_our_terms
from shared.queue.keys import OwnKeys
from shared.settings import Settings
from tests.integration.queue.jobs import TENANT, services_of

SETTINGS = Settings("http://127.0.0.1:1", "unused", redis_host="redis.test", redis_password="word", redis_tls=True)


def test_settings_reach_the_connection() -> None:
    """TLS and the password are used where they are set; BullMQ needs decoded responses."""
    connection = connect(SETTINGS).connection_pool.make_connection()
    assert isinstance(connection, SSLConnection)
    assert (connection.host, connection.password, connection.encoder.decode_responses) == ("redis.test", "word", True)


@pytest.mark.parametrize(
    "error",
    [
        ReadOnlyError("a replica"),
        ConnectionResetError(),
        TimeoutError(),
        ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"),
        ResponseError("ERR Error running script (call to f_1): @user_script:3: -OOM command not allowed"),
    ],
)
def test_what_redis_cannot_do_is_unavailable(error: Exception) -> None:
    """Callers see one error, with its cause."""
    with pytest.raises(QueueUnavailableError) as raised, in_our_terms():
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [ResponseError("ERR user_script:3: attempt to index a nil value"), DataError("a float('nan')")]
)
def test_what_redis_never_does_is_our_error(error: Exception) -> None:
    """It is not retryable, and is no outage."""
    with pytest.raises(QueueError) as raised, in_our_terms():
        raise error
    assert (raised.value.__cause__, raised.value.status, raised.value.retryable) == (error, 500, False)


def test_our_keys_share_the_slot_of_bullmqs() -> None:
    """In a cluster, one script touches both."""
    keys = OwnKeys.of("{bull}", "executions")
    assert {keys.drains, keys.waking, keys.delivery("e"), keys.webhook("w"), keys.published("f")} == {
        f"{{bull}}~executions:{name}" for name in ("drains", "waking", "delivery:e", "webhook:w", "published:f")
    }


async def test_an_id_that_bullmq_would_misread_is_refused() -> None:
    """Numbers and colons mean something to BullMQ; only UUIDs are executions."""
    from shared.queue.job import ExecutionJob

    services = services_of(SETTINGS)
    for execution_id in ("7", "a:b", ""):
        with pytest.raises(ValueError, match="UUID"):
            await services.producer.enqueue([ExecutionJob(TENANT, execution_id, "resume")])
    await services.close()
