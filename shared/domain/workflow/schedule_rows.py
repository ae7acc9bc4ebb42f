"""The rows of `schedules` for a workflow that is being published."""

from __future__ import annotations

from shared.domain.timestamps import unix_seconds
from shared.domain.workflow.state import Workflow
from shared.json_types import JsonObject

TRIGGER = "schedule_trigger"


def schedule_rows(workflow: Workflow, happened_at: str) -> list[JsonObject]:
    """`{node_id, version, cron, timezone, next_at}` for each schedule trigger of the draft that is being published."""
    nodes = [node for node in workflow.nodes if node["type"] == TRIGGER]
    if not nodes:
        return []
    # Imported here: most workflows have no schedules.
    from shared.domain.workflow.schedule import next_tick

    rows = []
    for node in nodes:
        # Both are literal: publishing refuses an expression here.
        cron, timezone = node["parameters"]["cron"], node["parameters"].get("timezone", "UTC")
        rows.append(
            {
                "node_id": node["id"],
                "version": workflow.version,
                "cron": cron,
                "timezone": timezone,
                "next_at": next_tick(cron, timezone, unix_seconds(happened_at)),
            }
        )
    return rows
