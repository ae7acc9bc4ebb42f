"""/api/workflows: create, list, get, update, archive, validate, versions, schedules."""

from dataclasses import asdict

from functions.workflows.versions import add_to
from shared.commands.archive_workflow import archive_workflow
from shared.commands.create_workflow import CreateWorkflow, create_workflow
from shared.commands.services import services
from shared.commands.update_workflow import UpdateWorkflow, update_workflow
from shared.commands.validate_workflow import ValidateWorkflow, validate_workflow
from shared.domain.workflow import Workflow
from shared.http.api import Api
from shared.http.cursor import decode_keyset
from shared.http.etag import check_if_match, etag
from shared.http.operations import workflows as operations
from shared.http.operations.workflows import ListWorkflows
from shared.http.paging import paged
from shared.http.request import Request
from shared.http.responses import Response, created, no_content, ok
from shared.queries.get_workflow import get_workflow, view
from shared.queries.list_workflows import list_workflows

api = Api("workflows")
handler = api.handler
add_to(api)


@api.route(operations.CREATE_WORKFLOW)
async def create(request: Request) -> Response:
    workflow = await create_workflow(services(), request.actor, request.body(CreateWorkflow))
    return created(view(asdict(workflow)), f"/api/workflows/{workflow.id}", etag(workflow.stream_version))


@api.route(operations.LIST_WORKFLOWS)
async def list_all(request: Request) -> Response:
    query = request.query(ListWorkflows)
    where = (request.tenant_id, query.limit, decode_keyset(query.cursor), query.status, query.tag, query.q)
    return paged(await list_workflows(services().workflows, *where))


@api.route(operations.GET_WORKFLOW)
async def get(request: Request) -> Response:
    row = await get_workflow(services().workflows, request.tenant_id, request.id)
    return ok(view(row), etag(row["stream_version"]))


@api.route(operations.UPDATE_WORKFLOW)
async def update(request: Request) -> Response:
    def precondition(current: Workflow) -> None:
        check_if_match(request, current.stream_version)

    command = request.body(UpdateWorkflow)
    workflow = await update_workflow(services(), request.actor, request.id, command, precondition)
    return ok(view(asdict(workflow)), etag(workflow.stream_version))


@api.route(operations.ARCHIVE_WORKFLOW)
async def archive(request: Request) -> Response:
    await archive_workflow(services(), request.actor, request.id)
    return no_content()


@api.route(operations.VALIDATE_WORKFLOW)
async def validate(request: Request) -> Response:
    problems = await validate_workflow(services(), request.tenant_id, request.body(ValidateWorkflow))
    return ok({"valid": not problems, "errors": [problem.as_json() for problem in problems]})
