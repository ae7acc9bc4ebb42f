"""The shapes of answers under /api/executions/{id}/…: what can be done with a run afterwards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.http.views.common import Object, View, may_be_missing
from shared.http.views.executions import ErrorView


class DifferenceView(View):
    """The first event that differs from the derived one, or that is missing."""

    sequence_number: Annotated[int | None, Field(description="Null: the event is missing from the store.")]
    stream_version: int
    event_type: str | None
    node_id: Annotated[str | None, Field(description="The event's node; within a map, its path.")]
    reason: str
    expected: Annotated[Object | None, Field(description="The derived fact; null: there should be none.")]
    recorded: Annotated[Object | None, Field(description="The stored fact; null: the event is missing.")]


class VerificationView(View):
    """Whether a run can be derived again."""

    valid: bool
    events_checked: int
    first_difference: DifferenceView | None


class EndView(View):
    """How a run ended."""

    workflow_version: int | None
    status: Annotated[str, Field(description="The run's status; `unknown` where a dry run has no recorded outcome.")]
    output: object
    output_omitted: bool = may_be_missing("Too large for this response; see the events.")
    error: ErrorView | None


class ComparedNodeView(View):
    """A node in one of two runs."""

    status: Annotated[str, Field(description="The node's status; `unknown` where a dry run has no recorded outcome.")]
    handle: str | list[str] | None
    output: object
    output_omitted: bool = may_be_missing("Too large for this response; see the events.")
    error: ErrorView | None
    parameters: Object | None = may_be_missing("The parameters of an effect or a call.")
    parameters_omitted: bool = may_be_missing("Too large for this response; see the events.")


class NodeComparisonView(View):
    """A node in both runs; null where a version has no such node."""

    original: ComparedNodeView | None
    replayed: ComparedNodeView | None
    same: bool


class PlaceView(View):
    """Where two runs differ."""

    node_id: Annotated[str | None, Field(description="Null where only the outcome of the runs differs.")]
    field: Literal["status", "handle", "output", "error", "parameters"]


class ComparisonView(View):
    """Two runs compared node by node."""

    original: EndView
    replayed: EndView
    same: bool
    nodes: dict[str, NodeComparisonView]
    first_difference: PlaceView | None
