"""A run starts at each tick of a cron schedule, while the workflow is published.

`$trigger.body` is `{scheduled_at, timezone, cron, missed}`; `missed` counts the ticks before this one that were missed
because the service was down: one run makes up for all of them. Each tick starts exactly one run.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from shared.domain.workflow.schedule import check_cron, check_timezone
from shared.nodes.node_kinds import Parameters, Trigger
from shared.nodes.node_type import NodeType


class ScheduleTrigger(Parameters):
    """`cron` has five fields: minute, hour, day of month, month, day of week; `timezone` is one of the IANA's names.

    A time skipped by a daylight-saving change is due right after the change, a repeated one is due once.
    """

    cron: Annotated[str, AfterValidator(check_cron)]
    timezone: Annotated[str, AfterValidator(check_timezone)] = "UTC"


NODE = NodeType("schedule_trigger", "Schedule", ScheduleTrigger, Trigger(), literal=frozenset({"cron", "timezone"}))
