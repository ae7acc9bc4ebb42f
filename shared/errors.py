"""Every error of the service, drawn as a tree; each has a code, an HTTP status and whether to retry.

WorkflowEngineError                   500 internal_error
├── InvalidRequestError               400 invalid_request       malformed JSON, wrong types, unknown fields
│   └── InvalidCursorError            400 invalid_cursor
├── UnauthorizedError                 401 unauthorized
│   └── InvalidSignatureError         401 invalid_signature     a webhook delivery that does not verify
├── ForbiddenError                    403 forbidden             the role or scope does not allow it
├── NotFoundError                     404 not_found             also every id of another tenant
├── ConflictError                     409 conflict
│   ├── StreamConflictError           409 stream_conflict       somebody else appended first
│   ├── IdempotencyConflictError      409 idempotency_conflict  the same key with another request
│   ├── ExecutionFinishedError        409 execution_finished    a terminal run cannot change
│   └── ExecutionNotFinishedError     409 execution_not_finished  only what has ended can go on
├── GoneError                         410 webhook_paused
├── PreconditionFailedError           412 precondition_failed   a stale If-Match
├── PayloadTooLargeError              413 payload_too_large
├── UnprocessableError                422 unprocessable
│   ├── InvalidGraphError             422 invalid_graph         publish: every problem of the graph
│   ├── LimitExceededError            422 limit                 more than the service takes at once
│   │   └── RunLimitError             422 limit                 more than one run may record
│   └── NotPublishedError             422 not_published
├── ThrottledError                    429 throttled
├── SecretUnreadableError             500 secret_unreadable     encrypted elsewhere, under another key, or changed
├── QueueError                        500 internal_error        Redis answered that a call of ours makes no sense
├── JobRefusedError                   500 internal_error        a job that no run is made of; it is put aside
├── KeeperDiedError                   500 internal_error        a drain left early, with everything handed back
└── UnavailableError                  503 unavailable           retry later; nothing was lost
    ├── StorageUnavailableError       503 storage_unavailable
    └── QueueUnavailableError         503 queue_unavailable
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

# The most problems that one response lists, and that are searched for.
MAX_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a request: a JSON pointer (RFC 6901) to its place, the message, and how to fix it."""

    pointer: str
    message: str
    suggestion: str | None = None

    def as_json(self) -> dict[str, str]:
        """The problem as `{pointer, message, hint?}`."""
        body = {"pointer": self.pointer, "message": self.message}
        return {**body, "hint": self.suggestion} if self.suggestion else body


class WorkflowEngineError(Exception):
    """Something went wrong inside the service."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self, detail: str | None = None, *, problems: tuple[Problem, ...] = (), retry_after_seconds: int | None = None
    ) -> None:
        """`detail` is shown to the caller (unset: the class's docstring), as are the first `MAX_PROBLEMS` problems."""
        self.detail = detail or (type(self).__doc__ or "").strip()
        # A hostile request may have thousands of problems.
        self.problems = problems[:MAX_PROBLEMS]
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.detail)


class InvalidRequestError(WorkflowEngineError):
    """The request is not well-formed."""

    code, status = "invalid_request", 400


class InvalidCursorError(InvalidRequestError):
    """The cursor is not one that this API gave out; start again without it."""

    code = "invalid_cursor"


class UnauthorizedError(WorkflowEngineError):
    """The request carries no valid credentials."""

    code, status = "unauthorized", 401


class InvalidSignatureError(UnauthorizedError):
    """The delivery's signature is missing or does not verify."""

    code = "invalid_signature"


class ForbiddenError(WorkflowEngineError):
    """These credentials do not allow this."""

    code, status = "forbidden", 403


class NotFoundError(WorkflowEngineError):
    """There is no such resource."""

    code, status = "not_found", 404


class ConflictError(WorkflowEngineError):
    """The request conflicts with the current state."""

    code, status = "conflict", 409


class StreamConflictError(ConflictError):
    """Somebody else changed this at the same moment; read it again and repeat the request."""

    code, retryable = "stream_conflict", True


class IdempotencyConflictError(ConflictError):
    """This Idempotency-Key was used for another request; use a new key."""

    code = "idempotency_conflict"


class ExecutionFinishedError(ConflictError):
    """The execution has finished and can no longer change."""

    code = "execution_finished"


class ExecutionNotFinishedError(ConflictError):
    """The execution has not finished; only one that has failed or was cancelled can be redriven."""

    code = "execution_not_finished"


class GoneError(WorkflowEngineError):
    """This webhook is paused."""

    code, status = "webhook_paused", 410


class PreconditionFailedError(WorkflowEngineError):
    """The resource has changed since it was read; read it again and repeat with its new ETag."""

    code, status = "precondition_failed", 412


class PayloadTooLargeError(WorkflowEngineError):
    """The request body is larger than the limit."""

    code, status = "payload_too_large", 413


class UnprocessableError(WorkflowEngineError):
    """The request is well-formed but cannot be carried out."""

    code, status = "unprocessable", 422


class InvalidGraphError(UnprocessableError):
    """The workflow's graph is not valid; each problem is listed in errors."""

    code = "invalid_graph"


class LimitExceededError(UnprocessableError):
    """This is more than the service takes at once."""

    code = "limit"


class RunLimitError(LimitExceededError):
    """The run has recorded as much as a run may."""


class NotPublishedError(UnprocessableError):
    """The workflow has no published version; publish it first."""

    code = "not_published"


class ThrottledError(WorkflowEngineError):
    """Too many requests; wait before the next."""

    code, status, retryable = "throttled", 429, True


class SecretUnreadableError(WorkflowEngineError):
    """A stored secret cannot be read with the configured key."""

    code = "secret_unreadable"


class QueueError(WorkflowEngineError):
    """The queue refused a call that is not as it should be; it has been logged."""


class JobRefusedError(WorkflowEngineError):
    """The job in the queue is for something that its tenant does not have."""


class KeeperDiedError(WorkflowEngineError):
    """A part of the drain that must go on as long as it does has ended."""


class UnavailableError(WorkflowEngineError):
    """The service cannot take this just now; try again."""

    code, status, retryable = "unavailable", 503, True


class StorageUnavailableError(UnavailableError):
    """The event store cannot be reached just now; try again."""

    code = "storage_unavailable"


class QueueUnavailableError(UnavailableError):
    """The queue cannot be reached just now; try again."""

    code = "queue_unavailable"
