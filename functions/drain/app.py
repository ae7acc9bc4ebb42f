"""The drain: invoked by whoever adds a job while no drain is live, by itself, and by a schedule each minute."""

from __future__ import annotations

import time
from typing import Any, Protocol

from functions.drain.work import drain
from shared.commands.services import services
from shared.observability import count_cold_start
from shared.queries.drain_metrics import drain_metrics
from shared.runtime import run, use_uvloop
from shared.snapstart import modules, prepare

use_uvloop()
prepare(modules("bullmq", "httpx", "postgrest"), lambda: services().close())


class Context(Protocol):
    """What of Lambda's context is used here."""

    def get_remaining_time_in_millis(self) -> int:
        """How much of the invocation's time is left."""


def handler(event: dict[str, Any], context: Context) -> dict[str, int]:
    """How many jobs were completed, delayed, failed, swept and handed back."""
    count_cold_start("drain")
    started = time.monotonic()
    summary = run(drain(lambda: context.get_remaining_time_in_millis() / 1000))
    scheduled = event.get("source") == "schedule"
    run(drain_metrics(services().database, services().executions, summary, time.monotonic() - started, scheduled))
    return summary
