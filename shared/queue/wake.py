"""Invokes a drain when none is live, or one more."""

from __future__ import annotations

import asyncio
import json
import logging
from functools import cache
from typing import TYPE_CHECKING

from shared.platform.deadline import seconds_left
from shared.queue.live_drains import LiveDrains
from shared.settings import settings

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from mypy_boto3_lambda import LambdaClient

logger = logging.getLogger(__name__)

# The caller may have a provider to answer. Lambda takes an invocation in some 50 ms; one that takes longer than this
# may still arrive, from its thread.
WAKE_SECONDS = 2.5
# A pool of its own: calls of AWS that hang must not take the threads on which names are resolved.
MAX_THREADS = 2


async def wake_drain(live_drains: LiveDrains) -> bool:
    """Whether this call invoked a drain; not when another process is doing so, when `MAX_DRAINS` are live, or when none
    is configured. It waits for AWS no longer than `WAKE_SECONDS`.

    A failure is only logged: the drain's schedule starts one within a minute. Raises `QueueUnavailableError`.
    """
    function_name = settings().drain_function_name
    if not function_name:
        return False
    token = await live_drains.claim_waking(settings().max_drains)
    if token is None:
        return False
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        # boto3 blocks, and a drain that wakes another must go on with its jobs meanwhile.
        async with asyncio.timeout(seconds_left(WAKE_SECONDS)):
            await asyncio.get_running_loop().run_in_executor(_threads(), _invoke, function_name, token)
    except (BotoCoreError, ClientError, TimeoutError) as error:
        logger.warning("drain_not_woken", extra={"function_name": function_name, "error": type(error).__name__})
        return False
    return True


def _invoke(function_name: str, token: str) -> None:
    payload = json.dumps({"source": "wake", "waking": token}).encode()
    _client().invoke(FunctionName=function_name, InvocationType="Event", Payload=payload)


@cache
def _threads() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(MAX_THREADS, "wake")


@cache
def _client() -> LambdaClient:
    import boto3
    from botocore.config import Config

    client: LambdaClient = boto3.client(
        "lambda", config=Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 2})
    )
    return client
