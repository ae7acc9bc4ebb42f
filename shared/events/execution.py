"""Facts about executions (stream type `execution`), in the order in which a run produces them.

`ExecutionQueued` carries the trigger, `ExecutionStarted` pins the version; then, for each node that is settled,
one `NodeSucceeded`, `NodeFailed` or `NodeSkipped`; last, one of `ExecutionSucceeded`, `ExecutionFailed` and
`ExecutionCancelled`. Effects are preceded by `NodeStarted`, each retry by `NodeRetryScheduled`, and what waits longer
than a drain should by `NodeWaiting`.

`node_id` is the node's id in the graph, or within a map's item its path: `each[3].charge`. A map begins with
`MapStarted`; then the facts of its items' nodes come like any others, each item ends with `ItemSucceeded` or
`ItemFailed`, and last the map's own end comes.

A run that has failed or was cancelled goes on after `ExecutionRedriven`, and ends again. A forked run begins with facts
of the nodes that keep what they did, copied from the run that it was forked from: their metadata has `copied_from`
(`execution_id`, `sequence_number`), and that of an output which was given with the fork has `given`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ExecutionQueued:
    """A run was asked for.

    `workflow_version` is the version asked for; unset means the one published when it starts. `trigger` is
    `{type, node_id?, body, headers, query, method, webhook_id?, provider?, delivery_id?, delivery_key?, event_type?}`
    with type `webhook`, `manual`, `schedule`, `call` or `error`. `caller` is set where another run, `parent_id`,
    started this one: `{node_id, depth, is_awaited, handles_error}`, the depth counted from 1.
    """

    workflow_id: str
    workflow_version: int | None
    trigger: dict[str, Any]
    parent_id: str | None = None
    forked_from: str | None = None
    replayed_from: str | None = None
    caller: dict[str, Any] | None = None


def trigger_of(kind: Literal["manual", "call", "error"], body: Any) -> dict[str, Any]:
    """The trigger of a run that is started by hand or by another one, which expressions see as a `POST` of `body`."""
    return {"type": kind, "body": body, "headers": {}, "query": {}, "method": "POST"}


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    """The run began on this version, from this trigger node, which is settled by this event. `deadline` is when it has
    to have ended, where its workflow has a timeout."""

    workflow_version: int
    trigger_node_id: str
    deadline: str | None = None


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """An effect is about to begin its attempt number `attempt` (from 1) with these resolved parameters.

    `workflow_version`: the node is about to call this version of a workflow.
    """

    node_id: str
    attempt: int
    idempotency_key: str | None
    parameters: dict[str, Any]
    evaluated_at: int
    workflow_version: int | None = None


@dataclass(frozen=True, slots=True)
class NodeSucceeded:
    """A node yielded `output` and chose `handles`.

    `evaluated_at` (Unix milliseconds) is the clock its expressions saw; `undefined` names the parameters
    (JSON pointers) whose expression led nowhere. `output_of`: the node passes its input on, the output of these
    predecessors (of several, an object by node id), which is not stored again. `responds`: the output, `{status,
    headers, body}`, is what those who wait for the run are answered, if it is the first such.
    """

    node_id: str
    attempt: int
    output: Any
    handles: list[str]
    evaluated_at: int
    undefined: list[str]
    output_of: list[str] | None = None
    responds: bool = False


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """A node gave up with `error` `{code, message, details?}`.

    `handled` says what follows: `fail` (the run fails), `continue` (as if it had succeeded with the error as its
    output) or `route` (its `error` handle is live).
    """

    node_id: str
    attempt: int
    error: dict[str, Any]
    handled: str
    evaluated_at: int


@dataclass(frozen=True, slots=True)
class NodeRetryScheduled:
    """Attempt `attempt` failed with `error`; the next one starts at `retry_at`, `delay_seconds` from then."""

    node_id: str
    attempt: int
    error: dict[str, Any]
    delay_seconds: float
    retry_at: str


@dataclass(frozen=True, slots=True)
class NodeWaiting:
    """A node waits, with these resolved parameters, until `wake_at` at the latest.

    `signal`: or until the run receives a signal of this name, if that comes first. `execution_id`: or until this run,
    which the node has called, has ended.
    """

    node_id: str
    attempt: int
    wake_at: str
    parameters: dict[str, Any]
    evaluated_at: int
    undefined: list[str]
    signal: str | None = None
    execution_id: str | None = None


@dataclass(frozen=True, slots=True)
class MapStarted:
    """A map begins its attempt number `attempt` with these resolved parameters, the list of items among them.

    A further attempt is one at the items that failed in the one before.
    """

    node_id: str
    attempt: int
    parameters: dict[str, Any]
    evaluated_at: int
    undefined: list[str]


@dataclass(frozen=True, slots=True)
class ItemSucceeded:
    """The item at `index` (from 0) of the map `node_id` is done.

    Its output is that of `output_of`, nodes of the body (of several, an object by node id; of none, null), and is not
    stored again. Nor is it in the map's own end: what a map yields is the list of its items' outputs.
    """

    node_id: str
    index: int
    output_of: list[str]


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """The item at `index` (from 0) of the map `node_id` failed with `error` `{code, message, node_id}`."""

    node_id: str
    index: int
    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """Somebody sent the run a signal; it is kept until a node that waits for this name takes it.

    `key` is the sender's Idempotency-Key: the same one again is not recorded again.
    """

    name: str
    payload: Any
    key: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSkipped:
    """No live edge leads to the node any more."""

    node_id: str


@dataclass(frozen=True, slots=True)
class ExecutionSucceeded:
    """Every node is settled and none failed the run; `output` is the leaves' output by node id, or a lone leaf's."""

    output: Any


@dataclass(frozen=True, slots=True)
class ErrorWorkflowStarted:
    """The run is about to fail; the run `execution_id` of its error workflow is told, on this version."""

    execution_id: str
    workflow_id: str
    workflow_version: int


@dataclass(frozen=True, slots=True)
class ExecutionFailed:
    """The run failed; `error` is `{code, message, node_id?}`."""

    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExecutionCancelled:
    """Somebody stopped the run before its next node."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class ExecutionRedriven:
    """Somebody had a failed or cancelled run go on. `nodes` (paths) have their fate decided anew.

    Those are the nodes that failed the run or were cancelled, and those that were skipped after one of them. An effect
    among them keeps its parameters and its idempotency key; a map keeps the items that succeeded. The run's time counts
    from now: `deadline` is when it has to have ended. `calls`, by path: nodes that wait again for the run that they had
    called, `{execution_id, wake_at}`, which has been redriven as well.
    """

    nodes: list[str]
    deadline: str | None = None
    calls: dict[str, dict[str, str]] = field(default_factory=dict)


ExecutionFact = (
    ExecutionQueued
    | ExecutionStarted
    | NodeStarted
    | NodeSucceeded
    | NodeFailed
    | NodeRetryScheduled
    | NodeWaiting
    | MapStarted
    | ItemSucceeded
    | ItemFailed
    | SignalReceived
    | NodeSkipped
    | ExecutionSucceeded
    | ErrorWorkflowStarted
    | ExecutionFailed
    | ExecutionCancelled
    | ExecutionRedriven
)
