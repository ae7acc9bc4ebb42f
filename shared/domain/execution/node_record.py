"""The record of one node of a run: its status, attempts, outcome and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from shared.domain.execution.map_record import MapItems
from shared.json_types import JsonObject

if TYPE_CHECKING:
    from shared.events.node import MapStarted, NodeFailed, NodeRetryScheduled, NodeStarted, NodeSucceeded, NodeWaiting


@dataclass(slots=True)
class NodeRecord:
    """One node of a run. `handles` are the chosen ones; `parameters` the resolved ones of a started effect or wait.

    `items` is set for a map that has started, `key` (the idempotency key) for an effect, and `workflow_version` for a
    call; `called` is the child run that the node waits or waited for. A node that waits for a `signal` takes none of
    the first `passed_over` that the run received. `attempts_before` is how many attempts had been made when the run was
    last redriven: retriers count from there. `output_bytes` is about the output's size as JSON.
    """

    status: str = "pending"
    attempts: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    output: object = None
    error: JsonObject | None = None
    handles: Sequence[str] = ()
    handled: str | None = None
    parameters: JsonObject | None = None
    evaluated_at: int | None = None
    retry_at: str | None = None
    wake_at: str | None = None
    signal: str | None = None
    passed_over: int = 0
    undefined: Sequence[str] = ()
    items: MapItems | None = None
    key: str | None = None
    called: str | None = None
    workflow_version: int | None = None
    attempts_before: int = 0
    output_bytes: int = 0

    def start(self, fact: NodeStarted, happened_at: str) -> None:
        """An effect, or a call, begins an attempt."""
        self.status, self.attempts, self.retry_at = "running", fact.attempt, None
        self.parameters, self.evaluated_at, self.key = fact.parameters, fact.evaluated_at, fact.idempotency_key
        self.started_at = self.started_at or happened_at
        if fact.workflow_version is not None:
            self.workflow_version, self.called = fact.workflow_version, None

    def start_map(self, fact: MapStarted, happened_at: str) -> None:
        """A map begins an attempt. A further one repeats the items that failed; those that succeeded are kept."""
        self.status, self.attempts, self.retry_at, self.error = "running", fact.attempt, None, None
        self.started_at = self.started_at or happened_at
        self.parameters, self.evaluated_at, self.undefined = fact.parameters, fact.evaluated_at, fact.undefined
        if self.items is None:
            self.items = MapItems(fact.parameters["items"])
        self.items.errors.clear()

    def wait(self, fact: NodeWaiting, happened_at: str) -> None:
        """The node waits for a time, a signal, or a child run."""
        self.status, self.attempts = "waiting", fact.attempt
        self.started_at, self.wake_at = self.started_at or happened_at, fact.wake_at
        self.parameters, self.evaluated_at = fact.parameters, fact.evaluated_at
        self.undefined, self.signal, self.passed_over = fact.undefined, fact.signal, fact.passed_over or 0
        if fact.execution_id is not None:
            self.called = fact.execution_id

    def wait_for_retry(self, fact: NodeRetryScheduled) -> None:
        """An attempt failed, and is retried."""
        self.status, self.attempts = "waiting", fact.attempt
        self.retry_at, self.wake_at, self.error = fact.retry_at, None, fact.error

    def succeed(self, fact: NodeSucceeded, output: object, happened_at: str) -> None:
        """The node succeeded with `output`."""
        self._finish("succeeded", fact, happened_at)
        self.output, self.handles, self.undefined = output, fact.handles, fact.undefined

    def fail(self, fact: NodeFailed, happened_at: str) -> None:
        """The node failed for good; where the failure is handled, the error is the output."""
        self._finish("failed", fact, happened_at)
        # No live out-edge where the failure is not handled: the nodes after it are skipped, and the run fails.
        self.handles = {"continue": ("out",), "route": ("error",)}.get(fact.handled, ())
        self.error, self.output, self.handled = fact.error, fact.error if self.handles else None, fact.handled

    def skip(self, happened_at: str) -> None:
        """No live edge can lead to the node any more."""
        self.status, self.finished_at = "skipped", happened_at

    def cancel(self, happened_at: str) -> None:
        """The run ended while the node was in progress."""
        self.status, self.finished_at, self.retry_at, self.wake_at = "cancelled", happened_at, None, None

    def _finish(self, status: str, fact: NodeSucceeded | NodeFailed, happened_at: str) -> None:
        self.status, self.attempts, self.finished_at = status, fact.attempt, happened_at
        self.retry_at = self.wake_at = self.error = None
        if self.evaluated_at is None:
            self.evaluated_at = fact.evaluated_at

    def reset(self) -> None:
        """Undoes the node's end, so that it is decided again whether it runs.

        An effect keeps its parameters, since it is sent again under the same idempotency key; all other nodes start
        with the data and the clock of the redrive. A map keeps the items that succeeded or are in progress.
        """
        self.status, self.handles, self.handled, self.signal = "pending", (), None, None
        self.output = self.error = self.finished_at = self.retry_at = self.wake_at = self.called = None
        # Attempts are numbered on, since idempotency keys and events have the number; retriers count from here.
        self.attempts_before = self.attempts
        if self.items is not None:
            self.items.errors.clear()
            if self.items.in_progress:
                # Its failed items start again beside those in progress: another attempt, as after a retry.
                self.status, self.attempts = "running", self.attempts + 1
        elif self.key is None:
            self.started_at = self.parameters = self.evaluated_at = None
            self.undefined = ()

    def wait_again(self, until: str) -> None:
        """Undoes the end of a node whose child run has been redriven: it waits for it again, until `until`."""
        self.status, self.handles, self.handled = "waiting", (), None
        self.output = self.error = self.finished_at = self.retry_at = None
        # The attempt that called the child run is the one that waits again, so it counts as the first.
        self.wake_at, self.attempts_before = until, self.attempts - 1

    @property
    def attempt(self) -> int:
        """The number, from 1, of the attempt in progress, or else of the next one."""
        return self.attempts + (self.status != "running" and self.wake_at is None)

    @property
    def asks_outside(self) -> bool:
        """Whether this is an effect or a call that has started."""
        return self.key is not None or self.workflow_version is not None

    @property
    def is_open_map(self) -> bool:
        """Whether this is a map with items in progress."""
        return self.items is not None and self.status == "running"

    @property
    def timer(self) -> str | None:
        """When a waiting node is due: for its next attempt, or because its wait is over."""
        return self.retry_at or self.wake_at


# The record of a node without any facts, for readers. It is shared: never change it.
UNTOUCHED: Final = NodeRecord()
