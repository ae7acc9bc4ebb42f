"""The five kinds of node types, what their functions are given and return, and the one `dispatch` over them.

A node's type is a `Trigger`, `Pure`, an `Effect`, a `Call` or a `Map`, and has exactly the functions that its kind
needs. Code that treats nodes by their kind is a `NodeHandler` with one method for each: the engine's runner, the dry
run and the derivation. mypy would refuse a sixth kind until each of them treats it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, assert_never

from pydantic import BaseModel, ConfigDict

from shared.domain.execution.run_error import run_error
from shared.domain.secret_hosts import BoundSecret, Destination
from shared.domain.workflow.graph import Graph
from shared.json_types import JsonMapping, JsonObject
from shared.platform.turns import ComputeTurns


class Parameters(BaseModel):
    """The base of every parameter model: unknown names are refused, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NodeError(Exception):
    """A node's attempt failed. `code` is its error class; `retry_after_seconds` what a server asked for."""

    def __init__(
        self,
        code: str,
        message: str,
        details: JsonObject | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.code, self.message, self.details = code, message, details
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{code}: {message}")

    def as_json(self) -> JsonObject:
        """The error as it is recorded: `{code, message, details?}`."""
        return {**run_error(self.code, self.message, self.details)}


@dataclass(frozen=True, slots=True)
class Completed:
    """A node's result: its output and the handles it chose.

    `output_of` names predecessors whose output it passes on instead of one of its own. `responds`: the output is the
    reply to the client that waits for the run.
    """

    output: object = None
    handles: tuple[str, ...] = ("out",)
    output_of: tuple[str, ...] | None = None
    responds: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """A received signal's payload, and its number among those that the run has received."""

    payload: object
    number: int


@dataclass(frozen=True, slots=True)
class NodeInputs:
    """The live predecessors' ids, in the order of the edges, and each one's output; the signal that ended a wait.
    `size_bytes` is the outputs' total size."""

    sources: tuple[str, ...]
    outputs: JsonMapping
    signal: Signal | None = None
    size_bytes: int = 0


async def no_secrets(_tenant_id: str, names: Sequence[str]) -> Mapping[str, BoundSecret]:
    """Stands in where there is no secret store: it raises `NodeError`."""
    raise NodeError("secret_missing", f"There is no secret named {names[0]!r}.")


async def no_signal_urls(_tenant_id: str, _execution_id: str, name: str) -> str:
    """Stands in where the service does not know its own URL: it raises `NodeError`."""
    raise NodeError("signal_url_unknown", f"The signal {name!r} has no URL here: the service does not know its own.")


@dataclass(frozen=True, slots=True)
class EffectPermissions:
    """What this deployment lets effects reach besides the public internet, by entries `tenant_id=…`: private hosts, and
    resources on AWS. `secrets` returns a tenant's secrets by name, `signal_url` the URL of a run's signal; each raises
    `NodeError` for one that it does not have."""

    outbound: tuple[str, ...] = ()
    aws: tuple[str, ...] = ()
    secrets: Callable[[str, Sequence[str]], Awaitable[Mapping[str, BoundSecret]]] = no_secrets
    signal_url: Callable[[str, str, str], Awaitable[str]] = no_signal_urls


@dataclass(frozen=True, slots=True)
class EffectContext:
    """What an effect may know: the tenant it acts for, its idempotency key, its timeout, the clock (Unix seconds), what
    it may reach, the secrets that its node names, and the compute turns in which it parses large answers. `redact`
    takes these secrets out of a text: whoever cuts an answer does it first, or a part of a secret could stay.
    `discloses` are the placeholders of the secrets and signals' URLs in the request."""

    tenant_id: str
    idempotency_key: str
    timeout_seconds: float
    now: Callable[[], float]
    permissions: EffectPermissions = EffectPermissions()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    turns: ComputeTurns = field(default_factory=ComputeTurns, repr=False)
    redact: Callable[[str], str] = str
    discloses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """What a node waits for: this moment (Unix seconds), or before it a signal of this name."""

    until: float
    signal: str | None = None


@dataclass(frozen=True, slots=True)
class CallRequest:
    """Which workflow a node runs, on what input, and whether it waits for that run to end."""

    workflow_id: str
    input: object
    wait: bool


@dataclass(frozen=True, slots=True)
class MapPlan:
    """How a map runs its items: how many there are, how many at once, how many may fail, how many are enough."""

    total: int
    max_concurrency: int
    tolerated_failures: int
    min_successful: int | None

    def is_decided(self, succeeded: int, failed: int) -> bool:
        """Whether no further item needs to be started: enough have succeeded, or too many failed."""
        enough = self.min_successful is not None and succeeded >= self.min_successful
        return enough or failed > self.tolerated_failures

    def is_success(self, succeeded: int, failed: int) -> bool:
        """Whether the map has succeeded, once no item is under way: only how many ended how counts."""
        if self.min_successful is not None:
            return succeeded >= self.min_successful
        return failed <= self.tolerated_failures


P = TypeVar("P", bound=Parameters)


def no_wait(_parameters: object, _now: float) -> None:
    """The `wait` of pure types that wait for nothing."""


def no_secret_names(_parameters: JsonObject) -> tuple[str, ...]:
    """The `secrets` of effects whose parameters name none."""
    return ()


@dataclass(frozen=True, slots=True)
class Trigger:
    """A run starts here. The node itself never runs: `ExecutionStarted` settles it."""


@dataclass(frozen=True, slots=True)
class Pure(Generic[P]):
    """Computes its result from its parameters and inputs alone, so that it can be derived again from the run's events.

    `compute` raises `NodeError` for a node that fails. `wait` returns what the node waits for before it computes, from
    its parameters and the moment (Unix seconds) at which they were resolved; `None` when it does not wait.
    """

    compute: Callable[[P, NodeInputs], Completed]
    wait: Callable[[P, float], Wait | None] = no_wait


@dataclass(frozen=True, slots=True)
class Effect(Generic[P]):
    """Changes or asks the world outside, so its result is recorded and never derived.

    `perform` raises `NodeError` for an attempt that fails. `destination` returns where it sends its request, which
    secrets must allow. `secrets` returns the names of secrets that the parameters, as drawn, ask for besides those in
    expressions.
    """

    perform: Callable[[P, EffectContext], Awaitable[Completed]]
    destination: Callable[[P], Destination]
    secrets: Callable[[JsonObject], Sequence[str]] = no_secret_names


@dataclass(frozen=True, slots=True)
class Call(Generic[P]):
    """Starts a child run. `request` returns which, from the parameters alone."""

    request: Callable[[P], CallRequest]


@dataclass(frozen=True, slots=True)
class Map(Generic[P]):
    """Runs a graph for each of its items. `body` returns the graph that its parameters, as drawn, hold, and raises
    `InvalidGraphError` where that is none; `plan` returns how the items are to be run."""

    body: Callable[[JsonObject], Graph]
    plan: Callable[[P], MapPlan]


# What a `NodeType` has. `Parameters` where the type is known at run time alone.
Kind = Trigger | Pure[P] | Effect[P] | Call[P] | Map[P]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class NodeHandler(Protocol[R_co]):
    """Treats a node by its type's kind: one method for each."""

    def trigger(self, kind: Trigger) -> R_co: ...
    def pure(self, kind: Pure[Parameters]) -> R_co: ...
    def effect(self, kind: Effect[Parameters]) -> R_co: ...
    def call(self, kind: Call[Parameters]) -> R_co: ...
    def map(self, kind: Map[Parameters]) -> R_co: ...


def dispatch(kind: Kind[Parameters], handler: NodeHandler[R]) -> R:
    """What the handler's method for this kind returns."""
    match kind:
        case Pure():  # the most frequent kind first: every node of every run passes here
            return handler.pure(kind)
        case Effect():
            return handler.effect(kind)
        case Call():
            return handler.call(kind)
        case Map():
            return handler.map(kind)
        case Trigger():
            return handler.trigger(kind)
        case _:
            assert_never(kind)
