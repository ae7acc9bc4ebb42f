"""A real Node BullMQ on the other side of the queue."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.bootstrap import Services
from shared.ids import derived_id
from shared.json_types import JsonObject
from shared.settings import Settings
from tests.integration.queue.jobs import TENANT, delivery, resume

WORKFLOW = "01930000-0000-7000-8000-000000000002"
CACHE = Path(__file__).parents[3] / ".local" / "node-bullmq"
# BullMQ 6 leaves the choice of the Redis client to its user.
PACKAGES = ("bullmq@^6", "ioredis@^5")

pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not shutil.which("npm"),
    reason="Node.js is not installed: install it with npm, and run it again; BullMQ is then fetched by the test",
)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """A folder with Node's BullMQ, installed once."""
    if not all((CACHE / "node_modules" / name / "package.json").exists() for name in ("bullmq", "ioredis")):
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "package.json").write_text('{"name": "interop", "private": true}')
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(CACHE), *PACKAGES],
            check=True,
            capture_output=True,
            timeout=180,
        )
    return CACHE


async def node(folder: Path, settings: Settings, job_id: str, data: JsonObject) -> JsonObject:
    """What Node's BullMQ sees in the queue before it adds a job."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(Path(__file__).with_name("interop.mjs")),
        str(folder),
        str(settings.redis_port),
        settings.queue_prefix,
        settings.queue_name,
        job_id,
        json.dumps(data),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    found: JsonObject = json.loads(output)
    return found


async def test_node_sees_our_jobs_and_we_run_its(
    services: Services, queue_settings: Settings, node_modules: Path
) -> None:
    """Node counts and reads our jobs in each state; a job that it adds is claimed, understood and completed."""
    put_off, running, waiting = resume(), resume(), delivery(body="ünïcode 🙂")
    await services.producer.enqueue([put_off, running])
    claimed = await services.consumer.claim("a")
    assert claimed is not None
    await services.consumer.delay(claimed, 60)
    assert await services.consumer.claim("a") is not None
    await services.producer.accept(waiting, "bytes")

    seen = await node(
        node_modules, queue_settings, "order-7", {"tenant_id": TENANT, "workflow_id": WORKFLOW, "input": {"n": 1}}
    )

    assert seen["counts"] == {"waiting": 1, "active": 1, "delayed": 1, "failed": 0}
    assert seen["states"] == ["active", "delayed"]
    assert [(job["id"], job["name"], job["data"]) for job in seen["waiting"]] == [
        (waiting.execution_id, "execution", waiting.data())
    ]
    ours = await services.consumer.claim("b")
    assert ours is not None
    theirs = await services.consumer.complete(ours)
    assert theirs is not None
    assert theirs.job is not None
    assert theirs.job.execution_id == derived_id("job", "order-7")
    assert theirs.job.start == {"workflow_id": WORKFLOW, "input": {"n": 1}}
    assert await services.consumer.complete(theirs) is None
    assert await services.consumer.counts() == {"wait": 0, "active": 1, "delayed": 1, "failed": 0}
