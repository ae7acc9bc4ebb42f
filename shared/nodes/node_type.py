"""What a node type is: its parameters' model, its handles, whether it is an effect, and what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from shared.domain.execution.run_error import run_error
from shared.domain.json.values import pointer_of, size_bytes
from shared.domain.workflow.graph import Graph
from shared.json_types import JsonMapping, JsonObject
from shared.platform.turns import ComputeTurns

# The handle of a node that failed and whose `on_error` is `route`.
ERROR_HANDLE = "error"
# What one node may yield, unless its type knows better: outputs are kept for good, and read by every node after it.
MAX_OUTPUT_BYTES = 1_048_576
# And what a node may bring together of others' outputs, which are not stored again, but written where they are read.
MAX_JOINED_BYTES = 16_777_216
DEFAULT_TIMEOUT_SECONDS = 30.0
# An attempt must end within a drain's life, 15 minutes on Lambda, or each drain would begin it anew: this leaves five
# for what comes before it.
MAX_EFFECT_TIMEOUT_SECONDS = 600.0


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
    """What a node yielded. `output_of` names predecessors whose output it passes on instead of one of its own.

    `responds`: the output is an answer to whoever waits for the run.
    """

    output: Any = None
    handles: tuple[str, ...] = ("out",)
    output_of: tuple[str, ...] | None = None
    responds: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """What came with a signal, and its number among those that the run has received."""

    payload: Any
    number: int


@dataclass(frozen=True, slots=True)
class NodeInputs:
    """The live predecessors' ids, in the order of the edges, and each one's output; the signal that ended a wait.
    `size_bytes` is what the outputs take together."""

    sources: tuple[str, ...]
    outputs: JsonMapping
    signal: Signal | None = None
    size_bytes: int = 0


# The context in which parameters are validated as they are drawn, with expressions in them.
DRAWN: JsonObject = {"drawn": True}


def is_drawn(text: str, info: ValidationInfo) -> bool:
    """Whether the text is an expression, so that what it yields is not known yet. What has been yielded never is,
    though it may look like one."""
    return info.context == DRAWN and "{%" in text


async def no_secrets(_tenant_id: str, names: Sequence[str]) -> Mapping[str, str]:
    """The secrets where there are none: it raises `NodeError`."""
    raise NodeError("secret_missing", f"There is no secret named {names[0]!r}.")


async def no_signal_urls(_tenant_id: str, _execution_id: str, name: str) -> str:
    """The URL of a signal where there are none: it raises `NodeError`."""
    raise NodeError("signal_url_unknown", f"The signal {name!r} has no URL here: the service does not know its own.")


@dataclass(frozen=True, slots=True)
class EffectPermissions:
    """What this deployment lets effects reach besides the public internet, by entries `tenant_id=…`: private hosts, and
    resources on AWS. `secrets` gives a tenant's by name, `signal_url` that of a run's signal; what they cannot give
    raises `NodeError`."""

    outbound: tuple[str, ...] = ()
    aws: tuple[str, ...] = ()
    secrets: Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]] = no_secrets
    signal_url: Callable[[str, str, str], Awaitable[str]] = no_signal_urls


@dataclass(frozen=True, slots=True)
class EffectContext:
    """What an effect may know: on whose behalf it acts, under which key, how long it may take, what it may reach, the
    secrets that its node names, and the turns in which it reads what is large."""

    tenant_id: str
    idempotency_key: str
    timeout_seconds: float
    now: Callable[[], float]
    permissions: EffectPermissions = EffectPermissions()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    turns: ComputeTurns = field(default_factory=ComputeTurns, repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a node waits for: this moment (Unix seconds), or before it a signal of this name."""

    until: float
    signal: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Which workflow a node runs, on what input, and whether it waits for that run to end."""

    workflow_id: str
    input: Any
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
        """Whether the map has succeeded, once no item is under way: what counts is how many ended how."""
        if self.min_successful is not None:
            return succeeded >= self.min_successful
        return failed <= self.tolerated_failures


@dataclass(frozen=True, slots=True)
class NodeType:
    """One node type. `perform` is set for effects, `run` for pure types, none of these for triggers.

    `wait` says what a pure node waits for before it runs, from its parameters and the moment (Unix seconds) at which
    they were resolved; like `run`, it looks at nothing else.

    `call` says which workflow a node runs, from its parameters alone. `body` gives the graph that a map's parameters,
    as drawn, hold, and `spread` how its items are to be run; `verbatim` names parameters that are no templates.

    `handles` gives the handles that a node with these parameters, as drawn, can choose. `complete` gives resolved
    parameters a value where a condition led nowhere. `needs` are parameters that must be given although an expression
    may lead nowhere; `literal` names those, at any depth, that must be known when the graph is published.
    `output_bytes` is how large an output may be, as JSON. `secrets` gives the names of secrets that an effect's
    parameters, as drawn, ask for besides those in expressions.
    """

    name: str
    title: str
    parameters: type[Parameters]
    handles: Callable[[JsonObject], Sequence[str]] = field(default=lambda _parameters: ("out",))
    run: Callable[[Any, NodeInputs], Completed] | None = None
    perform: Callable[[Any, EffectContext], Awaitable[Completed]] | None = None
    wait: Callable[[Any, float], Wait] | None = None
    body: Callable[[JsonObject], Graph] | None = None
    spread: Callable[[Any], MapPlan] | None = None
    call: Callable[[Any], Call] | None = None
    complete: Callable[[JsonObject], JsonObject] = field(default=lambda resolved: resolved)
    needs: tuple[str, ...] = ()
    literal: frozenset[str] = frozenset()
    verbatim: frozenset[str] = frozenset()
    secrets: Callable[[JsonObject], Sequence[str]] = field(default=lambda _parameters: ())
    output_bytes: Callable[[Any], int] = field(default=lambda _parameters: MAX_OUTPUT_BYTES)

    @property
    def is_trigger(self) -> bool:
        """Whether runs start here."""
        return self.run is None and self.perform is None and self.spread is None and self.call is None

    @property
    def is_effect(self) -> bool:
        """Whether it changes or asks the world outside."""
        return self.perform is not None

    def parse(self, resolved: JsonObject) -> Any:
        """The model of resolved parameters; where a type does not fit it raises `NodeError`."""
        try:
            return self.parameters.model_validate(self.complete(resolved))
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False, include_context=False)
            code = "expression" if any(one["type"] == "condition" for one in details) else "invalid_parameters"
            raise NodeError(code, "; ".join(_sentence(one) for one in details[:5])) from None

    def compute(self, parameters: Any, inputs: NodeInputs) -> Completed:
        """What a pure node yields; one that fails, or yields too much, raises `NodeError`."""
        assert self.run is not None, f"{self.name} is not pure"
        return self._bounded(parameters, self.run(parameters, inputs))

    async def perform_effect(self, parameters: Any, effect: EffectContext) -> Completed:
        """What an effect yields once it has happened; the same goes for it."""
        assert self.perform is not None, f"{self.name} is no effect"
        return self._bounded(parameters, await self.perform(parameters, effect))

    def _bounded(self, parameters: Any, completed: Completed) -> Completed:
        # What is passed on is not stored again.
        if completed.output_of is None and completed.output is not None:
            limit, size = self.output_bytes(parameters), size_bytes(completed.output)
            if size > limit:
                raise NodeError("limit", f"The output has {size} bytes as JSON; a node may yield {limit}.")
        return completed


def _sentence(detail: ErrorDetails) -> str:
    return f"{pointer_of(*detail['loc']) or 'parameters'}: {detail['msg']}"


def _condition(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    kinds: dict[type, str] = {type(None): "null", dict: "an object", list: "a list", str: "a text"}
    kind = kinds.get(type(value), "a number")
    raise PydanticCustomError("condition", "A condition must be true or false, not {kind}.", {"kind": kind})


def _sound(schema: JsonObject) -> JsonObject:
    from shared.domain.json.schema import schema_problems  # few nodes have one

    problems = schema_problems(schema)
    if problems:
        raise ValueError(f"{problems[0].pointer or 'the schema'}: {problems[0].message}")
    return schema


# A JSON Schema, of the part that is known here.
Schema = Annotated[JsonObject, AfterValidator(_sound)]
# A boolean; what is none is an error of the expression that gave it.
Condition = Annotated[bool, BeforeValidator(_condition)]
