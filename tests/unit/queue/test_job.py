"""What stands in a job's hash, and what is made of nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import derived_id, new_id
from shared.queue.job import ExecutionJob, claimed_job, parse_job

TENANT, WORKFLOW, EXECUTION = new_id(), new_id(), new_id()


def fields(data: Any, **other: str) -> dict[str, str]:
    """A BullMQ job's hash."""
    return {"name": "execution", "data": json.dumps(data), **other}


@pytest.mark.parametrize(
    "job",
    [
        ExecutionJob(TENANT, EXECUTION, "resume"),
        ExecutionJob(TENANT, EXECUTION, "delivery", {"body": "é"}),
        ExecutionJob(TENANT, EXECUTION, "start", start={"workflow_id": WORKFLOW, "input": None}),
    ],
)
def test_parse_gives_back_what_was_written(job: ExecutionJob) -> None:
    """A job's data says all of it."""
    assert parse_job(EXECUTION, fields(job.data())) == (job, None)


def test_a_job_of_another_client_starts_by_hand() -> None:
    """Any BullMQ client may add `{tenant_id, workflow_id, input}`; the id makes it one run."""
    data = {"tenant_id": TENANT, "workflow_id": WORKFLOW, "input": [1]}
    start = {"workflow_id": WORKFLOW, "input": [1]}
    assert parse_job(EXECUTION, fields(data)) == (ExecutionJob(TENANT, EXECUTION, "start", start=start), None)
    named, _ = parse_job("order:7", fields(data))
    assert named is not None
    assert named.execution_id == derived_id("job", "order:7")


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"tenant_id": "me"},
        {"tenant_id": TENANT},
        {"tenant_id": TENANT, "workflow_id": 7},
        {"tenant_id": TENANT, "execution_id": new_id(), "kind": "resume"},
        {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "explode"},
        {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": ["resume"]},
        {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "delivery"},
        {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "resume", "delivery": {}},
    ],
)
def test_nonsense_is_named(data: Any) -> None:
    """A job that cannot be understood says why instead of stopping the drain."""
    job, malformed = parse_job(EXECUTION, fields(data))
    assert job is None
    assert malformed


def test_another_name_is_not_ours() -> None:
    """Jobs of other names are not executions."""
    assert parse_job(EXECUTION, {"name": "mail", "data": "{}"})[0] is None


@given(job_id=st.text(), data=st.text())
def test_parse_never_fails(job_id: str, data: str) -> None:
    """Whatever stands in Redis, parsing gives a job or a reason."""
    job, malformed = parse_job(job_id, {"name": "execution", "data": data})
    assert (job is None) is (malformed is not None)


def test_claimed_job_counts_attempts() -> None:
    """BullMQ's counters and its verdict on jobs that stall come along."""
    claimed = claimed_job(EXECUTION, "t", fields({"tenant_id": TENANT}, ats="3", atm="1", defa="stalled"))
    assert (claimed.attempts_started, claimed.attempts_made, claimed.deferred_failure) == (3, 1, "stalled")
    assert claimed.malformed is not None
