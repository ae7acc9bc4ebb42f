"""The body that creating and updating a workflow share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema

from shared.commands.command import Command, Name
from shared.domain.timestamps import MAX_DURATION_SECONDS
from shared.domain.workflow.graph import Graph
from shared.domain.workflow.graph_parser import parse_graph
from shared.domain.workflow.settings import parse_settings
from shared.errors import InvalidRequestError
from shared.json_types import JsonObject

NODE_SCHEMA: JsonObject = {
    "type": "object",
    "required": ["id", "type"],
    "description": "Fields beyond these are refused; React Flow's `data` is read as `parameters`.",
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "type": {"type": "string", "minLength": 1},
        "name": {"type": "string"},
        "position": {"type": "object"},
        "parameters": {"type": "object"},
        "retry": {"type": "array", "items": {"type": "object"}},
        "timeout_seconds": {"type": "number"},
        "on_error": {"enum": ["fail", "continue", "route"]},
        "delivery": {"enum": ["at_least_once", "at_most_once"]},
        "join": {"description": "`any` (default), `all` or `{n: 2}`."},
        "disabled": {"type": "boolean"},
        "notes": {"type": "string"},
    },
}
EDGE_SCHEMA: JsonObject = {
    "type": "object",
    "required": ["source", "target"],
    "description": "Fields beyond these are refused; React Flow's camelCase handles are read too.",
    "properties": {
        "id": {"type": "string"},
        "source": {"type": "string", "minLength": 1},
        "target": {"type": "string", "minLength": 1},
        "source_handle": {"type": "string", "default": "out"},
    },
}
Nodes = Annotated[list[JsonObject], WithJsonSchema({"type": "array", "items": NODE_SCHEMA})]
Edges = Annotated[list[JsonObject], WithJsonSchema({"type": "array", "items": EDGE_SCHEMA})]


SETTINGS_SCHEMA: JsonObject = {
    "type": "object",
    "description": "How runs are treated; other names are yours to use.",
    "properties": {
        "timeout_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": MAX_DURATION_SECONDS,
            "description": "How long a run may take from its start, waits included.",
        },
        "error_workflow_id": {
            "type": "string",
            "format": "uuid",
            "description": "The workflow that is run when a run has failed.",
        },
    },
}
Settings = Annotated[JsonObject, WithJsonSchema(SETTINGS_SCHEMA)]


class WorkflowDraft(Command):
    """A workflow's whole draft. It may be incomplete; it must be well-formed."""

    name: Name
    description: Annotated[str | None, Field(max_length=10_000)] = None
    nodes: Nodes
    edges: Edges
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=50)] = Field(
        default_factory=list
    )
    settings: Settings = Field(default_factory=dict)

    def graph(self) -> Graph:
        """The draft's graph; one that is not well-formed raises `InvalidRequestError` with every problem."""
        graph, problems = parse_graph(self.nodes, self.edges)
        if graph is None or problems:
            raise InvalidRequestError("The graph is not well-formed.", problems=tuple(problems))
        return graph

    def refuse_settings(self) -> None:
        """Raises `InvalidRequestError` with every problem of malformed settings."""
        _, problems = parse_settings(self.settings)
        if problems:
            raise InvalidRequestError("The settings are not well-formed.", problems=tuple(problems))

    def facts(self) -> JsonObject:
        """The fields of `WorkflowCreated` and `WorkflowUpdated`, the graph in this service's shape."""
        self.refuse_settings()
        return {
            "name": self.name,
            "description": self.description,
            "tags": list(dict.fromkeys(self.tags)),
            "settings": self.settings,
            **self.graph().as_json(),
        }
