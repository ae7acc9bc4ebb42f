"""The drain: invoked when a job is added while no drain is live, by another drain, and by a schedule each minute."""

from __future__ import annotations

from typing import Protocol

from functions.drain.work import drain, emit_overdue
from shared.bootstrap import services
from shared.json_types import JsonObject
from shared.observability import count_cold_start
from shared.platform.runtime import run, use_uvloop
from shared.platform.snapstart import modules, prepare

use_uvloop()
prepare(modules("bullmq", "httpx", "postgrest", "shared.queue.job_validation"), lambda: services().close())


class Context(Protocol):
    """The part of Lambda's context that is used here."""

    def get_remaining_time_in_millis(self) -> int:
        """How much of the invocation's time is left."""


def handler(event: JsonObject, context: Context) -> dict[str, int]:
    """How many jobs were completed, delayed, failed, swept and handed back."""
    count_cold_start("drain")

    def remaining_seconds() -> float:
        return context.get_remaining_time_in_millis() / 1000

    summary = run(drain(remaining_seconds, event.get("waking")))
    if event.get("source") == "schedule":  # one a minute
        run(emit_overdue(remaining_seconds()))
    return summary
