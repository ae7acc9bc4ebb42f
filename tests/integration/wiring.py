"""The process's services in an environment of a test's own: functions read it once and keep their connections."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from functions.drain import work
from functions.intake import app
from local.stack.gateway_process import SupabaseGateway
from local.stack.redis import RedisServer
from shared.bootstrap import Services, services
from shared.engine.expressions.evaluator import expression_evaluator
from shared.platform.runtime import run
from shared.repositories import database
from shared.settings import settings


def environment(supabase: SupabaseGateway, redis: RedisServer, **more: str) -> dict[str, str]:
    """What functions find there that work with these servers."""
    return {
        "SUPABASE_URL": supabase.url,
        "SUPABASE_KEY": supabase.service_key,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis.port),
        "SECRETS_KEY": base64.b64encode(bytes(32)).decode(),
        **more,
    }


@contextmanager
def wired(environment: Mapping[str, str]) -> Iterator[Services]:
    """What functions work with inside the block; before and after it, the process is as cold as a new one.

    Keep it within a module: what comes next, a whole stack say, reads the same environment.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.delenv("DRAIN_FUNCTION_NAME", raising=False)
        _close()
        found = services()
        yield found
        run(found.close())  # a block inside this one may have made others since
        _close()


def _close() -> None:
    if services.cache_info().currsize:
        run(services().close())
    if expression_evaluator.cache_info().currsize:
        run(expression_evaluator().close())
    app.intake.cache_clear()
    work.graph_cache.cache_clear()
    expression_evaluator.cache_clear()
    services.cache_clear()
    settings.cache_clear()
    database._database = None
