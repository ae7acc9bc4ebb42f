"""A function's HTTP side: routes, authorisation, parsing, and one answer for every error.

    api = Api("workflows")

    @api.route(operations.GET_WORKFLOW)
    async def get(request: Request) -> Response:
        row = await get_workflow(services().workflows, request.tenant_id, request.id)
        return ok(row, etag_of(row))

    handler = api.handler

Handlers raise errors of `shared.errors`, which become problems; anything else is logged and becomes a 500.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler import Response as PowertoolsResponse
from aws_lambda_powertools.event_handler.exceptions import NotFoundError as NoRouteError

from shared.commands.services import services
from shared.errors import NotFoundError, WorkflowEngineError
from shared.http.operation import Operation
from shared.http.request import Request
from shared.http.responses import Response, problem
from shared.observability import begin, edge_logger
from shared.runtime import run
from shared.snapstart import modules, prepare

Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The routes of one function; `handler` is its entry point."""

    def __init__(self, service: str) -> None:
        """`service` is the function's name; it stands in every log line."""
        self._resolver = APIGatewayHttpResolver()
        self._resolver.not_found(_no_route)
        self._service = service
        self._logger = edge_logger(service)
        self.operations: list[Operation] = []
        prepare(modules("httpx", "postgrest"), lambda: services().close())

    def route(self, operation: Operation) -> Callable[[Handler], Handler]:
        """Registers the handler of an operation."""

        def register(handler: Handler) -> Handler:
            self.operations.append(operation)
            rule = re.sub(r"{(\w+)\+?}", r"<\1>", operation.path)

            async def call(**path: str) -> PowertoolsResponse[str]:
                event: Mapping[str, Any] = self._resolver.current_event.raw_event
                return _sent(await self._answer(operation, handler, event, path))

            self._resolver.route(rule, method=operation.method)(call)
            return handler

        return register

    def handler(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """The response (payload 2.0) to an API Gateway event; never raises for what a caller sent."""
        begin(self._service, event)
        return run(self._resolver.resolve_async(event, context))

    async def _answer(
        self, operation: Operation, handler: Handler, event: Mapping[str, Any], path: Mapping[str, str]
    ) -> Response:
        started = time.perf_counter()
        code = None
        try:
            response = await handler(Request.of(operation, event, path))
        except WorkflowEngineError as error:
            code = error.code
            if error.status >= 500:
                self._logger.exception("request_failed", operation=operation.id)
            response = problem(error if error.status != 500 else WorkflowEngineError())
        except Exception:  # the edge: whatever went wrong inside is logged here, and not shown
            code = "internal_error"
            self._logger.exception("request_failed", operation=operation.id)
            response = problem(WorkflowEngineError())
        self._logger.info(
            "request",
            operation=operation.id,
            status=response.status,
            code=code,
            duration_ms=round((time.perf_counter() - started) * 1000, 1),
            request_id=(event.get("requestContext") or {}).get("requestId"),
        )
        return response


def _sent(response: Response) -> PowertoolsResponse[str]:
    content_type = None if response.body is None else response.content_type
    return PowertoolsResponse(response.status, content_type, response.text, dict(response.headers))


def _no_route(_: NoRouteError) -> PowertoolsResponse[str]:
    return _sent(problem(NotFoundError("There is no such route.")))
