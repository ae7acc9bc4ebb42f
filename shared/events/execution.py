"""Facts about executions (stream type `execution`), in the order in which a run produces them.

Those about its nodes are in `shared/events/node.py`: a function that starts a run does not need them.

`ExecutionQueued` carries the trigger, `ExecutionStarted` pins the version; then, for each node that is settled,
one `NodeSucceeded`, `NodeFailed` or `NodeSkipped`; last, one of `ExecutionSucceeded`, `ExecutionFailed` and
`ExecutionCancelled`. Effects are preceded by `NodeStarted`, each retry by `NodeRetryScheduled`, and waits for which no
drain should stay alive by `NodeWaiting`.

`node_id` is the node's id in the graph, or within a map's item its path: `each[3].charge`. A map begins with
`MapStarted`; then the facts of its items' nodes come like any others, each item ends with `ItemSucceeded` or
`ItemFailed`, and last the map's own end comes.

A run that has failed or was cancelled goes on after `ExecutionRedriven`, and ends again. A forked run begins with the
facts of the nodes that keep their outcome, copied from the original run: their metadata has `copied_from`
(`execution_id`, `sequence_number`), and that of an output which was given with the fork has `given`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from shared.json_types import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class ExecutionQueued:
    """A run was asked for.

    `workflow_version` is the version asked for; unset means the one published when it starts. `trigger` is
    `{type, node_id?, body, headers, query, method, webhook_id?, provider?, delivery_id?, delivery_key?, event_type?}`
    with type `webhook`, `manual`, `schedule`, `call` or `error`. `caller` is set where another run, `parent_id`,
    started this one: `{node_id, depth, is_awaited, handles_error, calls_left?}`, the depth counted from 1, and how many
    runs this one and its descendants may call.
    """

    workflow_id: str
    workflow_version: int | None
    trigger: JsonObject
    parent_id: str | None = None
    forked_from: str | None = None
    replayed_from: str | None = None
    caller: JsonObject | None = None


def trigger_of(kind: Literal["manual", "call", "error"], body: JsonValue) -> JsonObject:
    """The trigger of a run that is started manually or by another run; expressions see it as a `POST` of `body`."""
    return {"type": kind, "body": body, "headers": {}, "query": {}, "method": "POST"}


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    """The run started on this version, from this trigger node, which is settled by this event. `deadline` is when it
    must have ended, where its workflow has a timeout."""

    workflow_version: int
    trigger_node_id: str
    deadline: str | None = None


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """The run received a signal; it is kept until a node that waits for this name takes it.

    `key` is the sender's Idempotency-Key: a repetition is not recorded. `node_id` is the waiting node that takes it,
    whose schema the payload fits; unset where every waiting node had a signal already, or none was waiting.
    """

    name: str
    payload: JsonValue
    key: str | None = None
    node_id: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionSucceeded:
    """Every node is settled and none failed the run; `output` is the leaves' output by node id, or a lone leaf's."""

    output: JsonValue


@dataclass(frozen=True, slots=True)
class ErrorWorkflowStarted:
    """The run is about to fail, and has started the run `execution_id` of its error workflow, on this version."""

    execution_id: str
    workflow_id: str
    workflow_version: int


@dataclass(frozen=True, slots=True)
class ExecutionFailed:
    """The run failed; `error` is `{code, message, node_id?}`."""

    error: JsonObject


@dataclass(frozen=True, slots=True)
class ExecutionCancelled:
    """The run was cancelled."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class ExecutionRedriven:
    """A failed or cancelled run was resumed. `nodes` (paths) are decided anew.

    Those are the nodes that failed the run or were cancelled, and those that were skipped after one of them. An effect
    among them keeps its parameters and its idempotency key; a map keeps the items that succeeded. The run's timeout
    starts again: `deadline` is when it has to have ended. `calls`, by path: nodes that wait again for their child run,
    `{execution_id, wake_at}`, which has been redriven as well.
    """

    nodes: list[str]
    deadline: str | None = None
    calls: dict[str, dict[str, str]] = field(default_factory=dict)


RunFact = (
    ExecutionQueued
    | ExecutionStarted
    | SignalReceived
    | ExecutionSucceeded
    | ErrorWorkflowStarted
    | ExecutionFailed
    | ExecutionCancelled
    | ExecutionRedriven
)
