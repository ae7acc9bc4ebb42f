"""Validates a graph before it is published or run: the graph itself, and the workflows it refers to."""

from __future__ import annotations

from collections.abc import Iterator

from shared.bootstrap import Services
from shared.domain.workflow.graph_parser import parse_graph
from shared.domain.workflow.settings import parse_settings
from shared.errors import InvalidGraphError, Problem
from shared.json_types import JsonObject


async def graph_problems(
    services: Services,
    tenant_id: str,
    nodes: list[JsonObject],
    edges: list[JsonObject],
    settings: JsonObject | None = None,
) -> list[Problem]:
    """Every problem of the graph; none means that the tenant can run it. References are checked only in a graph that is
    valid in itself."""
    from shared.nodes.validation import validate_graph  # imports every node type

    graph, problems = parse_graph(nodes, edges)
    if graph is None:
        return problems
    return (
        validate_graph(graph)
        or await _reference_problems(services, tenant_id, nodes, settings or {})
        or await _destination_problems(services, tenant_id, nodes)
    )


async def refuse_invalid(
    services: Services, tenant_id: str, nodes: list[JsonObject], edges: list[JsonObject], settings: JsonObject
) -> None:
    """Raises `InvalidGraphError` with every problem of a graph that the tenant cannot run."""
    problems = await graph_problems(services, tenant_id, nodes, edges, settings)
    if problems:
        raise InvalidGraphError(problems=tuple(problems))


async def _reference_problems(
    services: Services, tenant_id: str, nodes: list[JsonObject], settings: JsonObject
) -> list[Problem]:
    """A problem for each workflow in these nodes or settings that the tenant does not have.

    An unpublished workflow is none, as two may call each other. Without references the store is not read; a workflow
    that an expression names is looked up when it is called.
    """
    named = list(_called(nodes, "/nodes"))
    error_workflow_id = parse_settings(settings)[0].error_workflow_id
    if error_workflow_id is not None:
        named.append(("/settings/error_workflow_id", error_workflow_id))
    if not named:
        return []
    known = await services.workflows.known(tenant_id, {workflow_id for _, workflow_id in named})
    suggestion = "GET /api/workflows lists those that there are."
    return [
        Problem(pointer, f"There is no workflow {workflow_id}.", suggestion)
        for pointer, workflow_id in named
        if workflow_id not in known
    ]


async def _destination_problems(services: Services, tenant_id: str, nodes: list[JsonObject]) -> list[Problem]:
    """A problem for each URL whose host comes from an expression, in a node with a secret that may go to every host:
    then whoever has a say in the expression chooses who gets the secret."""
    from shared.nodes.secret_rules import drawn_destinations  # imports node types

    drawn = list(drawn_destinations(nodes, "/nodes"))
    if not drawn:
        return []
    bound = await services.secrets.bound(tenant_id, sorted({name for _, names in drawn for name in names}))
    return [
        Problem(
            pointer,
            f"An expression chooses the host that gets the secret {name!r}, which is not bound to hosts.",
            f"Write the host out, with a / behind it, or set allowed_hosts: PUT /api/secrets/{name}.",
        )
        for pointer, names in drawn
        for name in names
        if name not in bound
    ]


def _called(nodes: list[JsonObject], pointer: str) -> Iterator[tuple[str, str]]:
    """(pointer, workflow id) for each literal workflow id in the nodes, those of maps' bodies included."""
    for index, node in enumerate(nodes):
        parameters, where = node.get("parameters") or {}, f"{pointer}/{index}/parameters"
        workflow_id, body = parameters.get("workflow_id"), parameters.get("body")
        if node.get("type") in ("call_workflow", "map") and isinstance(workflow_id, str) and "{%" not in workflow_id:
            yield f"{where}/workflow_id", workflow_id.lower()
        if node.get("type") == "map" and isinstance(body, dict) and isinstance(body.get("nodes"), list):
            yield from _called(body["nodes"], f"{where}/body/nodes")
