"""/api/workflows/{id}/publish and /unpublish."""

from __future__ import annotations

from shared.bootstrap import services
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.commands.workflows.unpublish_workflow import unpublish_workflow
from shared.domain.workflow.state import Workflow
from shared.http.api import Api
from shared.http.operations import publish as operations
from shared.http.request import Request
from shared.http.responses import Response, ok


async def publish(request: Request) -> Response:
    return ok(published(await publish_workflow(services(), request.actor, request.id)))


async def unpublish(request: Request) -> Response:
    return ok(published(await unpublish_workflow(services(), request.actor, request.id)))


def published(workflow: Workflow) -> dict[str, object]:
    """What is published of a workflow now."""
    return {"id": workflow.id, "version": workflow.version, "published_version": workflow.published_version}


api = Api("publish", (operations.PUBLISH_WORKFLOW, publish), (operations.UNPUBLISH_WORKFLOW, unpublish))
handler = api.handler
