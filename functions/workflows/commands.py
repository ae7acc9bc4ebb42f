"""Create, update, archive, validate."""

from __future__ import annotations

from dataclasses import asdict

from shared.bootstrap import services
from shared.commands.workflows.archive_workflow import archive_workflow
from shared.commands.workflows.create_workflow import CreateWorkflow, create_workflow
from shared.commands.workflows.update_workflow import UpdateWorkflow, update_workflow
from shared.commands.workflows.validate_workflow import ValidateWorkflow, validate_workflow
from shared.domain.workflow.state import Workflow
from shared.http.etag import check_if_match, etag
from shared.http.request import Request
from shared.http.responses import Response, created, no_content, ok
from shared.queries.workflows.get_workflow import view


async def create(request: Request) -> Response:
    workflow = await create_workflow(services(), request.actor, request.body(CreateWorkflow))
    return created(view(asdict(workflow)), f"/api/workflows/{workflow.id}", etag(workflow.stream_version))


async def update(request: Request) -> Response:
    def precondition(current: Workflow) -> None:
        check_if_match(request, current.stream_version)

    command = request.body(UpdateWorkflow)
    workflow = await update_workflow(services(), request.actor, request.id, command, precondition)
    return ok(view(asdict(workflow)), etag(workflow.stream_version))


async def archive(request: Request) -> Response:
    await archive_workflow(services(), request.actor, request.id)
    return no_content()


async def validate(request: Request) -> Response:
    problems = await validate_workflow(services(), request.tenant_id, request.body(ValidateWorkflow))
    return ok({"valid": not problems, "errors": [problem.as_json() for problem in problems]})
