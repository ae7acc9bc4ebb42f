"""Facts about the nodes of an execution, in its stream: see `shared/events/execution.py` for their order."""

from __future__ import annotations

from dataclasses import dataclass

from shared.json_types import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """An effect is about to begin its attempt number `attempt` (from 1) with these resolved parameters.

    `workflow_version`: the node is about to call this version of a workflow.
    """

    node_id: str
    attempt: int
    idempotency_key: str | None
    parameters: JsonObject
    evaluated_at: int
    workflow_version: int | None = None


@dataclass(frozen=True, slots=True)
class NodeSucceeded:
    """A node succeeded with `output` and chose `handles`.

    `evaluated_at` (Unix milliseconds) is the clock of its expressions; `undefined` are the parameters (JSON pointers)
    whose expression has no value. `output_of`: the node passes its input on, the output of these predecessors (of
    several, an object by node id), which is not stored again. `responds`: the output, `{status, headers, body}`, is the
    reply to clients that wait for the run, if it is the first one. `signal` is the number, from 1, of the signal that
    ended the node's wait, among those that the run has received.
    """

    node_id: str
    attempt: int
    output: JsonValue
    handles: list[str]
    evaluated_at: int
    undefined: list[str]
    output_of: list[str] | None = None
    responds: bool = False
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """A node failed for good with `error` `{code, message, details?}`.

    `handled` says what follows: `fail` (the run fails), `continue` (as if it had succeeded with the error as its
    output) or `route` (its `error` handle is live). `evaluated_at` (Unix milliseconds) is the clock of its
    expressions.
    """

    node_id: str
    attempt: int
    error: JsonObject
    handled: str
    evaluated_at: int


@dataclass(frozen=True, slots=True)
class NodeRetryScheduled:
    """Attempt `attempt` failed with `error`; the next one starts at `retry_at`, `delay_seconds` from then.

    `evaluated_at` (Unix milliseconds) is the clock of the attempt's expressions.
    """

    node_id: str
    attempt: int
    error: JsonObject
    delay_seconds: float
    retry_at: str
    evaluated_at: int | None = None


@dataclass(frozen=True, slots=True)
class NodeWaiting:
    """A node waits, with these resolved parameters, until `wake_at` at the latest.

    `signal`: or until the run receives a signal of this name, if that comes first. `execution_id`: or until this child
    run has ended. `passed_over`: the number of signals received before, none of which the node takes.
    """

    node_id: str
    attempt: int
    wake_at: str
    parameters: JsonObject
    evaluated_at: int
    undefined: list[str]
    signal: str | None = None
    execution_id: str | None = None
    passed_over: int | None = None


@dataclass(frozen=True, slots=True)
class MapStarted:
    """A map begins its attempt number `attempt` with these resolved parameters, the list of items among them.

    A further attempt is one at the items that failed in the one before.
    """

    node_id: str
    attempt: int
    parameters: JsonObject
    evaluated_at: int
    undefined: list[str]


@dataclass(frozen=True, slots=True)
class ItemSucceeded:
    """The item at `index` (from 0) of the map `node_id` is done.

    Its output is that of `output_of`, nodes of the body (of several, an object by node id; of none, null), and is not
    stored again, nor in the map's own end: a map's output is the list of its items' outputs.
    """

    node_id: str
    index: int
    output_of: list[str]


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """The item at `index` (from 0) of the map `node_id` failed with `error` `{code, message, node_id}`."""

    node_id: str
    index: int
    error: JsonObject


@dataclass(frozen=True, slots=True)
class NodeSkipped:
    """No live edge leads to the node any more, so that it does not run."""

    node_id: str


NodeFact = (
    NodeStarted
    | NodeSucceeded
    | NodeFailed
    | NodeRetryScheduled
    | NodeWaiting
    | MapStarted
    | ItemSucceeded
    | ItemFailed
    | NodeSkipped
)
