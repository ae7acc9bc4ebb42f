"""What a job of the queue is: an execution's id, with the delivery that starts it when there is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from shared.domain.json.values import may_be_unstorable
from shared.ids import derived_id, is_uuid
from shared.json_types import JsonMapping, JsonObject
from shared.tracing import CorrelationContext

if TYPE_CHECKING:
    from shared.domain.webhook.delivery import DeliveryRecord

JOB_NAME = "execution"
# What BullMQ's moveStalledJobsToWait says of a job that it gives up.
STALLED_TOO_OFTEN = "job stalled more than allowable limit"
# A field of ours in the job's hash, beside BullMQ's.
PUT_OFF_FIELD = "put_off_after"


# Why an execution is to be run. `delivery`: it starts from a webhook's delivery. `resume`: it continues from its
# events. `start`: another BullMQ client added the job, which starts the published version.
JobKind = Literal["delivery", "resume", "start"]


class ExecutionJob(NamedTuple):
    """A reason to run an execution. `delivery` is set where that is its kind, and `start`, `{workflow_id, input}`,
    where that is. `client_is_waiting`: a client waits for the run's reply.
    """

    tenant_id: str
    execution_id: str
    kind: JobKind
    delivery: DeliveryRecord | None = None
    start: JsonObject | None = None
    client_is_waiting: bool = False

    @property
    def delivered(self) -> DeliveryRecord:
        """The delivery of a job of the kind `delivery`, which all of intake's are."""
        assert self.delivery is not None, "only a job of the kind delivery is asked"
        return self.delivery

    def accepted_as(self, delivery_id: str) -> ExecutionJob:
        """The same job under the id of the delivery that was accepted before."""
        return self._replace(delivery={**self.delivered, "delivery_id": delivery_id})

    @property
    def cause(self) -> CorrelationContext:
        """The correlation context of a run that this job starts."""
        return CorrelationContext.of(self.delivery or {}, self.execution_id)

    def data(self) -> JsonObject:
        """The BullMQ job's data."""
        data: JsonObject = {"tenant_id": self.tenant_id, "execution_id": self.execution_id, "kind": self.kind}
        if self.delivery is not None:
            data["delivery"] = self.delivery
        if self.start is not None:
            data["start"] = self.start
        if self.client_is_waiting:
            data["awaited"] = True
        return data


class ClaimedJob(NamedTuple):
    """A job that is ours while its lock lives; `job` is unset, and `malformed` says why, when its data is invalid.

    `attempts_made` counts delays and failures, `attempts_started` claims; `added_at` is Unix time.
    `deferred_failure` is set when BullMQ has given the job up, because it stalled too often (`STALLED_TOO_OFTEN`) or a
    child of its flow failed: its execution must be failed instead of run. `stalled` is how many drains have died over
    it, and `put_off_after` how many had when it was last delayed for that.
    """

    id: str
    token: str
    job: ExecutionJob | None
    malformed: str | None
    attempts_made: int
    attempts_started: int
    deferred_failure: str | None
    added_at: float = 0.0
    stalled: int = 0
    put_off_after: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether several drains have died over it, the last of them since it was last delayed for that."""
        return self.deferred_failure is None and self.stalled >= 2 and self.stalled > self.put_off_after


def claimed_job(job_id: str, token: str, fields: Mapping[str, str]) -> ClaimedJob:
    """The claimed job in a BullMQ job's hash."""
    job, malformed = parse_job(job_id, fields)
    return ClaimedJob(
        id=job_id,
        token=token,
        job=job,
        malformed=malformed,
        attempts_made=_whole(fields.get("atm")),
        attempts_started=_whole(fields.get("ats")),
        deferred_failure=fields.get("defa") or None,
        added_at=_whole(fields.get("timestamp")) / 1000,
        stalled=_whole(fields.get("stc")),
        put_off_after=_whole(fields.get(PUT_OFF_FIELD)),
    )


def parse_job(job_id: str, fields: Mapping[str, str]) -> tuple[ExecutionJob | None, str | None]:
    """The job in a BullMQ job's hash, or why there is none in it."""
    if fields.get("name") != JOB_NAME:
        return None, f"The job's name must be {JOB_NAME!r}."
    try:
        data = json.loads(fields.get("data") or "null")
    except (ValueError, RecursionError):
        return None, "The job's data is not JSON."
    if not isinstance(data, dict) or not _uuid(data.get("tenant_id")):
        return None, "The job's data must be an object with a tenant_id that is a UUID."
    if "kind" not in data:
        return _started_by_hand(job_id, data, fields["data"])
    kind, delivery, start = data["kind"], data.get("delivery"), data.get("start")
    if data.get("execution_id") != job_id or not is_uuid(job_id):
        return None, "The job's id must be its execution_id, a UUID."
    if kind not in ("delivery", "resume", "start"):
        return None, "The job's kind must be delivery, resume or start."
    if (kind == "delivery") != isinstance(delivery, dict) or (kind == "start") != isinstance(start, dict):
        return None, f"The job's data does not fit its kind, {kind}."
    if problem := _problem(delivery, start, fields["data"]):
        return None, problem
    if delivery is not None and may_be_unstorable(fields["data"]):
        # Intake writes none that the database refuses; other clients of the queue may.
        from shared.domain.webhook.delivery import delivery_record

        delivery = delivery_record(delivery)
    return ExecutionJob(data["tenant_id"], job_id, kind, delivery, start, data.get("awaited") is True), None


def _problem(delivery: JsonMapping | None, start: JsonMapping | None, text: str) -> str | None:
    """What is wrong with a job's delivery or start. Imported here: a process that only adds jobs does without."""
    from shared.queue.job_validation import problem_of_delivery, problem_of_input, problem_of_start

    if delivery is not None:
        return problem_of_delivery(delivery)
    return None if start is None else problem_of_start(start) or problem_of_input(text, 2)


def _started_by_hand(job_id: str, data: JsonObject, text: str) -> tuple[ExecutionJob | None, str | None]:
    """A job added by any BullMQ client with `{tenant_id, workflow_id, input?}`; its id makes it exactly one run."""
    if not _uuid(data.get("workflow_id")):
        return None, "The job's data must have a workflow_id that is a UUID."
    from shared.queue.job_validation import problem_of_input

    if problem := problem_of_input(text, 1):
        return None, problem
    # BullMQ numbers jobs that are added without an id.
    execution_id = job_id if is_uuid(job_id) else derived_id("job", job_id)
    start = {"workflow_id": data["workflow_id"], "input": data.get("input")}
    return ExecutionJob(data["tenant_id"], execution_id, "start", start=start), None


def _whole(text: str | None) -> int:
    """BullMQ's counter; 0 for anything else, for a claimed job must not be dropped over it."""
    try:
        return int(text or 0)
    except ValueError:
        return 0


def _uuid(value: object) -> bool:
    return isinstance(value, str) and is_uuid(value)
