"""Calls an AWS service on behalf of a workflow: in a thread, with a timeout, its errors mapped to retry classes.

boto3's own retries are off: a node's retriers repeat calls, and record each attempt.
"""

from __future__ import annotations

import asyncio
import math
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from shared.json_types import JsonMapping
from shared.platform.bulkhead import BulkheadThreads

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# The concurrent calls of one process, and of one tenant in it; more wait, and their timeouts start with their call.
MAX_CALLS, CALLS_OF_A_TENANT = 32, 8
CONNECT_TIMEOUT_SECONDS = 3
# The services' error codes for too many requests: https://docs.aws.amazon.com/general/latest/gr/api-retries.html
_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "KMSThrottlingException",
        "EC2ThrottledException",
        "KmsThrottled",
        "SlowDown",
        "SendingPausedException",
    }
)


class AwsCallError(Exception):
    """A call failed. `code` is its error class, `details` the service's `{code, status, request_id}`."""

    def __init__(self, code: str, message: str, details: JsonMapping | None = None) -> None:
        self.code, self.message, self.details = code, message, dict(details or {})
        super().__init__(f"{code}: {message}")


async def call(
    tenant_id: str, service: str, operation: str, timeout_seconds: float, region: str | None, **arguments: object
) -> object:
    """The response to boto3's `operation`, with streamed bodies read. The timeout starts once a thread is free for the
    tenant.

    `region` unset is the process's own. Raises `AwsCallError`: `timeout`, `network` (also for an unreadable response),
    `http_429` (throttled), `http_5xx`, `http_4xx`, and `invalid_parameters` for what boto3 refuses.
    """
    threads = _threads()
    await threads.acquire(tenant_id)
    # A thread cannot be stopped: after a timeout it goes on until boto3's own, and keeps its slot.
    work = threads.start(tenant_id, lambda: _call(service, operation, timeout_seconds, region, arguments))
    try:
        async with asyncio.timeout(timeout_seconds):
            return await work
    except TimeoutError as error:
        raise AwsCallError("timeout", f"There was no answer within {timeout_seconds:g} s.") from error


def _call(service: str, operation: str, timeout_seconds: float, region: str | None, arguments: JsonMapping) -> object:
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        client = _client(service, region, math.ceil(timeout_seconds))
        answer = getattr(client, operation)(**arguments)
        return {name: value.read() if hasattr(value, "read") else value for name, value in answer.items()}
    except exceptions.ClientError as error:
        raise _refused(error) from error
    except (exceptions.ParamValidationError, UnicodeEncodeError) as error:
        raise AwsCallError("invalid_parameters", str(error)) from error
    except (ResponseParserError, ValueError) as error:
        raise AwsCallError("network", f"The answer could not be read: {type(error).__name__}.") from error
    except (exceptions.ReadTimeoutError, exceptions.ConnectTimeoutError) as error:
        raise AwsCallError("timeout", f"{type(error).__name__} after {timeout_seconds:g} s.") from error
    except (exceptions.HTTPClientError, exceptions.BotoCoreError) as error:
        raise AwsCallError("network", str(error) or type(error).__name__) from error


def _refused(error: ClientError) -> AwsCallError:
    reason, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    name, status = reason.get("Code", "Unknown"), meta.get("HTTPStatusCode", 400)
    code = "http_429" if name in _THROTTLED or status == 429 else "http_5xx" if status >= 500 else "http_4xx"
    details = {"code": name, "status": status, "request_id": meta.get("RequestId")}
    return AwsCallError(code, f"{name}: {reason.get('Message', '')}".rstrip(": "), details)


@cache
def _threads() -> BulkheadThreads:
    # Not asyncio's own few threads, which wake drains and read keys.
    return BulkheadThreads(MAX_CALLS, CALLS_OF_A_TENANT, "aws")


@lru_cache(maxsize=64)
def _client(service: str, region: str | None, read_timeout_seconds: int) -> object:
    import boto3.session
    from botocore.config import Config

    config = Config(
        connect_timeout=min(CONNECT_TIMEOUT_SECONDS, read_timeout_seconds),
        read_timeout=read_timeout_seconds,
        retries={"total_max_attempts": 1},
        max_pool_connections=MAX_CALLS,
    )
    # A session per client: boto3's default session is not thread-safe.
    return boto3.session.Session().client(service, region_name=region, config=config)  # type: ignore[call-overload]
