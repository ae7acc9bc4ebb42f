"""What stands in a job's hash, and what is made of nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import derived_id, new_id
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob, claimed_job, parse_job
from tests.integration.queue.jobs import delivered

TENANT, WORKFLOW, EXECUTION = new_id(), new_id(), new_id()


def fields(data: Any, **other: str) -> dict[str, str]:
    """A BullMQ job's hash."""
    return {"name": "execution", "data": json.dumps(data), **other}


@pytest.mark.parametrize(
    "job",
    [
        ExecutionJob(TENANT, EXECUTION, "resume"),
        ExecutionJob(TENANT, EXECUTION, "delivery", delivered(body="é")),
        ExecutionJob(TENANT, EXECUTION, "delivery", delivered(body="AA==", body_encoding="base64", delivery_key=None)),
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
        {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "start"},
        {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "start", "start": {}},
        {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "start", "start": {"workflow_id": 7, "input": 1}},
        {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "start", "start": {"workflow_id": WORKFLOW}},
        {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "delivery", "delivery": {}},
    ],
)
def test_nonsense_is_named(data: Any) -> None:
    """A job that cannot be understood says why instead of stopping the drain."""
    job, malformed = parse_job(EXECUTION, fields(data))
    assert job is None
    assert malformed


@pytest.mark.parametrize("text", ["NaN", "1e400", "9" * 400, "9" * 5_000, "[" * 101 + "]" * 101, "[" * 950 + "]" * 950])
@pytest.mark.parametrize("kind", ["start", "by hand"])
def test_input_that_no_run_could_record_is_named(kind: str, text: str) -> None:
    """A run of it would meet errors of ours: numbers beyond a double, and lists in one another without end."""
    start = {"workflow_id": WORKFLOW, "input": "HERE"}
    job = ExecutionJob(TENANT, EXECUTION, "start", start=start)
    data = job.data() if kind == "start" else {"tenant_id": TENANT, **start}
    for inner, is_sound in ((text, False), ("[" * 100 + "]" * 100, True), ("1e300", True)):
        found, malformed = parse_job(
            EXECUTION, {"name": "execution", "data": json.dumps(data).replace('"HERE"', inner)}
        )
        assert (found is not None, malformed is None) == (is_sound, is_sound)


@pytest.mark.parametrize("name", ["correlation_id", "trace", "keep_raw_body", "verified"])
def test_delivery_whose_optional_field_is_another_kind_of_value_is_named(name: str) -> None:
    """What stands there goes into events and requests as it is."""
    delivery = {**delivered(), name: [[7]]}
    data = {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "delivery", "delivery": delivery}
    job, malformed = parse_job(EXECUTION, fields(data))
    assert job is None
    assert name in (malformed or "")


@pytest.mark.parametrize("name", ["headers", "query"])
def test_delivery_of_nested_headers_is_named(name: str) -> None:
    """They are texts, to whatever depth a run could record others."""
    data = {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "delivery"}
    job, malformed = parse_job(EXECUTION, fields({**data, "delivery": {**delivered(), name: {"a": ["b"]}}}))
    assert job is None
    assert name in (malformed or "")


@pytest.mark.parametrize("name", [name for name in delivered() if name != "body_encoding"])
def test_delivery_without_a_field_or_with_another_kind_of_value_is_named(name: str) -> None:
    """Whatever the engine or the delivery log reads of it."""
    sound = delivered()
    for delivery in ({key: value for key, value in sound.items() if key != name}, {**sound, name: [7]}):
        data = {"tenant_id": TENANT, "execution_id": EXECUTION, "kind": "delivery", "delivery": delivery}
        job, malformed = parse_job(EXECUTION, fields(data))
        assert job is None
        assert name in (malformed or "")


@pytest.mark.parametrize(
    "fields_",
    [
        {"body": "A", "body_encoding": "base64"},
        {"body": "\ud800"},
        {"body_encoding": "utf-16"},
        {"body_encoding": None},
        {"received_at": "yesterday"},
        {"size_bytes": -1},
        {"size_bytes": True},
        {"size_bytes": 2**31},
    ],
)
def test_delivery_whose_bytes_or_time_are_none_is_named(fields_: JsonObject) -> None:
    """What cannot be turned back into the bytes that were sent begins no run."""
    data = ExecutionJob(TENANT, EXECUTION, "delivery", delivered(**fields_)).data()
    assert parse_job(EXECUTION, fields(data))[0] is None


@pytest.mark.parametrize("field", ["atm", "ats", "stc", "timestamp", "put_off_after"])
def test_counters_that_are_no_numbers_count_as_none(field: str) -> None:
    """A job that has been claimed must not be dropped for what another client has written beside it."""
    data = ExecutionJob(TENANT, EXECUTION, "resume").data()
    assert claimed_job(EXECUTION, "t", fields(data, **{field: "many"})) == claimed_job(EXECUTION, "t", fields(data))


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
