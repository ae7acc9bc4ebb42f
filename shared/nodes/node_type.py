"""A node type's declaration: its parameters' model, its handles, its limits, and its kind, which says what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from shared.domain.json.values import pointer_of, size_bytes
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Completed, Effect, Kind, NodeError, P, Parameters, Trigger

# The handle of a node that failed and whose `on_error` is `route`.
ERROR_HANDLE = "error"
# The largest output of one node, unless its type sets another limit: outputs are stored permanently, and read by
# every node after it.
MAX_OUTPUT_BYTES = 1_048_576
# The most that a node may join of others' outputs. These are not stored again, but written where they are read.
MAX_JOINED_BYTES = 16_777_216
DEFAULT_TIMEOUT_SECONDS = 30.0
# An attempt must end within a drain's life, 15 minutes on Lambda, or each drain would begin it anew: this leaves five
# for what comes before it.
MAX_EFFECT_TIMEOUT_SECONDS = 600.0

# The context in which parameters are validated as they are drawn, with expressions in them.
DRAWN: JsonObject = {"drawn": True}


def is_drawn(text: str, info: ValidationInfo) -> bool:
    """Whether the text is an expression whose value is not known yet. While a node runs this is never so, even for a
    value that looks like an expression."""
    return info.context == DRAWN and "{%" in text


def out_or_error(_parameters: JsonObject) -> tuple[str, ...]:
    """The handles of an effect."""
    return ("out", ERROR_HANDLE)


@dataclass(frozen=True, slots=True)
class NodeType(Generic[P]):
    """One node type.

    `handles` returns the handles that a node with these parameters, as drawn, can choose. `complete` gives resolved
    parameters a value where a condition is undefined. `needs` are parameters that must be given although an expression
    may make them undefined; `literal` names those, at any depth, that must be known when the graph is published;
    `verbatim` those that are no templates, `urls` those that are URLs. `output_bytes` returns how large an output may
    be, as JSON.
    """

    name: str
    title: str
    parameters: type[P]
    kind: Kind[P]
    handles: Callable[[JsonObject], Sequence[str]] = field(default=lambda _parameters: ("out",))
    complete: Callable[[JsonObject], JsonObject] = field(default=lambda resolved: resolved)
    needs: tuple[str, ...] = ()
    literal: frozenset[str] = frozenset()
    verbatim: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    output_bytes: Callable[[P], int] = field(default=lambda _parameters: MAX_OUTPUT_BYTES)

    @property
    def is_trigger(self) -> bool:
        """Whether runs start here."""
        return isinstance(self.kind, Trigger)

    @property
    def is_effect(self) -> bool:
        """Whether it changes or asks the world outside."""
        return isinstance(self.kind, Effect)

    def parse(self, resolved: JsonObject) -> P:
        """The model of resolved parameters; where a type does not fit it raises `NodeError`."""
        try:
            return self.parameters.model_validate(self.complete(resolved))
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False, include_context=False)
            code = "expression" if any(detail["type"] == "condition" for detail in details) else "invalid_parameters"
            raise NodeError(code, "; ".join(_sentence(detail) for detail in details[:5])) from None

    def bounded(self, parameters: P, completed: Completed) -> Completed:
        """The same result; an output larger than the type allows raises `NodeError`."""
        # An output that is passed on is not stored again.
        if completed.output_of is None and completed.output is not None:
            limit, size = self.output_bytes(parameters), size_bytes(completed.output)
            if size > limit:
                raise NodeError("limit", f"The output has {size} bytes as JSON; a node may yield {limit}.")
        return completed


# A type whose parameter model is known at run time alone.
AnyNodeType: TypeAlias = NodeType[Parameters]


def _sentence(detail: ErrorDetails) -> str:
    return f"{pointer_of(*detail['loc']) or 'parameters'}: {detail['msg']}"


def _condition(value: object) -> object:
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
# A boolean. Any other value is an error of the expression that yielded it.
Condition = Annotated[bool, BeforeValidator(_condition)]
