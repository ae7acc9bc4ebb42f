"""/api/workflows: create, list, get, update, archive, validate, versions, schedules."""

from __future__ import annotations

from shared.http.api import Api
from shared.http.operations import workflows as operations

api = Api(
    "workflows",
    (operations.CREATE_WORKFLOW, "functions.workflows.commands:create"),
    (operations.LIST_WORKFLOWS, "functions.workflows.queries:list_all"),
    (operations.GET_WORKFLOW, "functions.workflows.queries:get"),
    (operations.UPDATE_WORKFLOW, "functions.workflows.commands:update"),
    (operations.ARCHIVE_WORKFLOW, "functions.workflows.commands:archive"),
    (operations.VALIDATE_WORKFLOW, "functions.workflows.commands:validate"),
    (operations.LIST_WORKFLOW_VERSIONS, "functions.workflows.versions:versions"),
    (operations.GET_WORKFLOW_VERSION, "functions.workflows.versions:version"),
    (operations.LIST_SCHEDULES, "functions.workflows.versions:schedules"),
)
handler = api.handler
