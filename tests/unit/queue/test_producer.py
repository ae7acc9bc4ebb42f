"""Jobs are packed as BullMQ packs them, without its package."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

from bullmq.scripts import Scripts

from shared.queue.job import JOB_NAME, ExecutionJob
from shared.queue.producer import REMOVED
from shared.settings import Settings
from tests.integration.queue.jobs import services_of

ID = "01930000-0000-7000-8000-000000000001"


def test_job_is_packed_as_bullmq_packs_it() -> None:
    """Byte for byte: whoever reads the queue with BullMQ sees no difference."""
    settings = Settings("http://127.0.0.1:9", "none")
    job = ExecutionJob(ID, ID, "delivery", {"body": "Zoë"})
    theirs = SimpleNamespace(
        id=ID,
        name=JOB_NAME,
        data=job.data(),
        opts={**REMOVED, "attempts": 1, "jobId": ID},
        timestamp=1793522406000,
        parent=None,
        parentKey=None,
        repeatJobKey=None,
        deduplication_id=None,
    )
    scripts = Scripts(settings.queue_prefix, settings.queue_name, SimpleNamespace(conn=None, commands={}))
    producer = services_of(settings).producer
    assert producer._packed(job, 1793522406000) == scripts.addJobArgs(theirs)
    names = ["wait", "paused", "meta", "id", "completed", "delayed", "active", "events", "marker"]
    assert producer._add_keys == scripts.getKeys(names)


def test_adding_does_without_the_package() -> None:
    """Its import is what a cold intake has no time for."""
    code = "import sys, shared.queue.producer as p; p.own_script('deduplicate_and_add'); print('bullmq' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
