"""Goes on at the handle of the first case that holds, or of all that do, else at `default`; passes its input on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.json_types import JsonObject
from shared.nodes.node_kinds import Completed, NodeInputs, Parameters, Pure
from shared.nodes.node_type import Condition, NodeType

DEFAULT_HANDLE = "default"


class Case(Parameters):
    """`when` must yield true or false; an undefined one counts as false. Several cases may share a handle."""

    when: Condition
    handle: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")]


class Switch(Parameters):
    """The cases in order; `mode` says whether the first one that holds decides or all of them."""

    cases: Annotated[list[Case], Field(min_length=1, max_length=100)]
    mode: Literal["first", "all"] = "first"


def _handles(parameters: JsonObject) -> tuple[str, ...]:
    # As drawn: anything may stand here, an expression too, which `validation` refuses later.
    cases = parameters.get("cases")
    drawn = [case.get("handle") for case in cases if isinstance(case, dict)] if isinstance(cases, list) else []
    return tuple(dict.fromkeys([*(handle for handle in drawn if isinstance(handle, str)), DEFAULT_HANDLE]))


def _compute(parameters: Switch, inputs: NodeInputs) -> Completed:
    # An ordered set: several cases may share a handle.
    chosen = dict.fromkeys(case.handle for case in parameters.cases if case.when) or {DEFAULT_HANDLE: None}
    handles = tuple(chosen) if parameters.mode == "all" else tuple(chosen)[:1]
    return Completed(handles=handles, output_of=inputs.sources)


def _complete(resolved: JsonObject) -> JsonObject:
    cases = resolved.get("cases")
    if not isinstance(cases, list):
        return resolved
    return {**resolved, "cases": [{"when": False, **case} if isinstance(case, dict) else case for case in cases]}


NODE = NodeType(
    "switch", "Switch", Switch, Pure(_compute), handles=_handles, complete=_complete, literal=frozenset({"handle"})
)
