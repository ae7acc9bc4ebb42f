"""Wakes a drain when none is live."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import TYPE_CHECKING

from shared.deadline import seconds_left
from shared.queue.inbox import Inbox
from shared.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

logger = logging.getLogger(__name__)

# Whoever wakes a drain has something else to do; the call itself goes on in its thread.
INVOKE_SECONDS = 5.0


async def wake_drain(queue: Inbox) -> bool:
    """Whether this call invoked a drain; not when somebody else is just doing so, or when none is configured.

    A failure is logged and no more: the drain's schedule finds the job within a minute.
    """
    function_name = settings().drain_function_name
    if not function_name or not await queue.claim_waking():
        return False
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        # boto3 blocks; a drain that fills its helpers' ranks goes on running meanwhile.
        async with asyncio.timeout(seconds_left(INVOKE_SECONDS)):
            await asyncio.to_thread(_invoke, function_name)
    except (BotoCoreError, ClientError, TimeoutError) as error:
        logger.warning("drain_not_woken", extra={"function_name": function_name, "error": type(error).__name__})
        return False
    return True


def _invoke(function_name: str) -> None:
    _client().invoke(FunctionName=function_name, InvocationType="Event", Payload=b'{"source": "wake"}')


@cache
def _client() -> LambdaClient:
    import boto3
    from botocore.config import Config

    client: LambdaClient = boto3.client(
        "lambda", config=Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 2})
    )
    return client
