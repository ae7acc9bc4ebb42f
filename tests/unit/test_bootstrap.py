"""The parts of the queue stand alone: each needs the client and the names of its keys, and none of the others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.integration.queue.jobs import services_of
from tests.unit.queue.test_connection import SETTINGS

PARTS = {"cache", "consumer", "delivery_log", "live_drains", "producer", "reply_channel"}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_part_imports_none_of_the_others(part: str) -> None:
    """What uses the cache, say, loads no queue."""
    code = f"import sys, shared.queue.{part}; print(*(n for n in sys.modules if n.startswith('shared.queue.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.rpartition(".")[2] for name in done.stdout.split()} & PARTS == {part}


async def test_parts_share_one_client_and_one_runner() -> None:
    """However many parts are in use: one pool of connections, and one pipeline for each tick."""
    services = services_of(SETTINGS)
    parts = [services.config_cache, services.delivery_log, services.producer, services.consumer, services.replies]
    assert {id(part._client) for part in parts} == {id(services.redis)}
    runners = {id(part._scripts) for part in (services.producer, services.consumer, services.live_drains)}
    assert runners == {id(services.scripts)}
    await services.close()
