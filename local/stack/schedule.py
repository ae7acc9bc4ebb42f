"""Fires the template's schedules: each is an asynchronous invocation when its time has come."""

from __future__ import annotations

import asyncio
import json
import os
import re
import uuid
from datetime import UTC, datetime, timedelta

from local.stack.intrinsics import ACCOUNT_ID, REGION, TemplateError
from local.stack.lambda_api import AsyncInvocations
from local.stack.template import Schedule, Template

_UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}


def next_time(expression: str, after: datetime) -> datetime:
    """When `rate(…)` or `cron(…)` is due next; a `TemplateError` for an expression that is neither.

    Source: docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html. A rate counts from `after`; a cron is in
    UTC.
    """
    rate = re.fullmatch(r"rate\(([1-9]\d*) (minute|hour|day)s?\)", expression)
    if rate:
        return after + timedelta(seconds=int(rate[1]) * _UNIT_SECONDS[rate[2]])
    cron = re.fullmatch(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)", expression)
    if cron is None:
        raise TemplateError(f"The local stack does not know the schedule {expression!r}.")
    # AWS adds a year, and writes `?` where one of the two day fields is left open.
    minute, hour, day, month, weekday, _year = ("*" if part == "?" else part for part in cron.groups())
    from croniter import croniter  # type: ignore[import-untyped]  # comes with bullmq, which has no stubs either

    next_due = croniter(f"{minute} {hour} {day} {month} {_from_aws_weekdays(weekday)}", after).get_next(datetime)
    assert isinstance(next_due, datetime)
    return next_due


def _from_aws_weekdays(field: str) -> str:
    # AWS counts from 1 (Sunday), cron from 0.
    return re.sub(r"(?<!#)\d", lambda digit: str(int(digit[0]) - 1), field)


async def run_schedules(template: Template, invocations: AsyncInvocations) -> None:
    """Fire all schedules until cancelled. LOCAL_SCHEDULE_SECONDS replaces every interval by its own, for tests."""
    shortened = float(os.environ.get("LOCAL_SCHEDULE_SECONDS") or 0)
    async with asyncio.TaskGroup() as group:
        for function in template.functions.values():
            for schedule in function.schedules:
                # Fails at the start for an expression that the local stack cannot evaluate.
                next_time(schedule.expression, datetime.now(UTC))
                group.create_task(_run(function.name, schedule, invocations, shortened))


async def _run(function: str, schedule: Schedule, invocations: AsyncInvocations, shortened: float) -> None:
    while True:
        now = datetime.now(UTC)
        due = now + timedelta(seconds=shortened) if shortened else next_time(schedule.expression, now)
        await asyncio.sleep((due - now).total_seconds())
        # One that has not even begun would only pile up behind the others.
        if invocations.pending(function) < 2:
            invocations.start(function, _event(schedule, due))


def _event(schedule: Schedule, due: datetime) -> bytes:
    if schedule.input is not None:
        return schedule.input.encode()
    scheduler = schedule.kind == "ScheduleV2"
    resource = (
        f"scheduler:{REGION}:{ACCOUNT_ID}:schedule/default" if scheduler else f"events:{REGION}:{ACCOUNT_ID}:rule"
    )
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler" if scheduler else "aws.events",
        "account": ACCOUNT_ID,
        "time": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:{resource}/{schedule.name}"],
        "detail": "{}" if scheduler else {},
    }
    return json.dumps(event).encode()
