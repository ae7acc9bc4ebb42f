"""A function's HTTP API: routes, authorisation, parsing, and a response for every error.

    api = Api(
        "workflows",
        (operations.GET_WORKFLOW, "functions.workflows.queries:get"),
        (operations.UPDATE_WORKFLOW, "functions.workflows.commands:update"),
    )
    handler = api.handler

A handler is a function, or the name of one that is imported on the first request of its operation, so that a cold start
imports only what its request needs. Handlers raise errors of `shared.errors`, which become problems; any other
exception is logged and becomes a 500.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pkgutil import resolve_name

from shared.bootstrap import services
from shared.domain.json.values import sent_bytes
from shared.errors import LimitExceededError, NotFoundError, WorkflowEngineError
from shared.http.operation import Operation
from shared.http.request import Request
from shared.http.responses import Response, problem
from shared.json_types import JsonMapping, JsonObject
from shared.observability import begin, edge_logger
from shared.platform.deadline import within
from shared.platform.runtime import run
from shared.platform.snapstart import modules, prepare

# The timeout of a request's calls: API Gateway gives up after 30 seconds, the function after 29.
REQUEST_SECONDS = 27.0
# Lambda's limit of a response, less the envelope around the body; a character takes at most four bytes, so that shorter
# texts need not be measured.
MAX_SENT_BYTES = 6_250_000
UNMEASURED_CHARACTERS = 1_000_000

Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The routes of one function; `handler` is its entry point."""

    def __init__(self, service: str, *routes: tuple[Operation, Handler | str]) -> None:
        """`service` is the function's name, which is in every log entry."""
        self._routes = {f"{operation.method} {operation.path}": (operation, handler) for operation, handler in routes}
        self._service = service
        self._logger = edge_logger(service)
        prepare(self.load, lambda: services().close())

    @property
    def operations(self) -> list[Operation]:
        """The operations of the function."""
        return [operation for operation, _ in self._routes.values()]

    def load(self) -> list[Handler]:
        """Imports all that any request of the function needs; the handlers, in the order of `operations`."""
        modules("httpx", "postgrest")()
        for operation in self.operations:
            operation.load()
        return [_named(handler) for _, handler in self._routes.values()]

    def handler(self, event: JsonObject, _context: object) -> JsonObject:
        """The response (payload 2.0) to an API Gateway event; never raises, whatever the caller sent."""
        begin(self._service, event)
        return run(self._respond(event))

    async def _respond(self, event: JsonMapping) -> JsonObject:
        # API Gateway has found the route: its key is the operation's method and path.
        route = self._routes.get(event["routeKey"])
        if route is None:
            return _sent(problem(NotFoundError("There is no such route.")))
        return _sent(await self._answer(*route, event))

    async def _answer(self, operation: Operation, handler: Handler | str, event: JsonMapping) -> Response:
        started = time.perf_counter()
        code = None
        try:
            with within(REQUEST_SECONDS):
                response = await _named(handler)(Request.of(operation, event))
        except WorkflowEngineError as error:
            code = error.code
            if error.status >= 500:
                self._logger.exception("request_failed", operation=operation.id)
            # An internal error's detail is for the log alone.
            response = problem(error if error.status != 500 else WorkflowEngineError())
        except Exception:  # the edge: an internal error is logged, and not shown to the caller
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


def _sent(response: Response) -> JsonObject:
    headers, text = dict(response.headers), response.text
    # Lists and views keep below the limit; any other response becomes a problem, where Lambda would only fail.
    if len(text) > UNMEASURED_CHARACTERS and (size := sent_bytes(text)) > MAX_SENT_BYTES:
        return _sent(problem(LimitExceededError(f"The answer has {size} bytes; {MAX_SENT_BYTES} can be sent.")))
    if response.body is not None:
        headers["Content-Type"] = response.content_type
    return {"statusCode": response.status, "headers": headers, "body": text, "isBase64Encoded": False}


def _named(handler: Handler | str) -> Handler:
    function: Handler = resolve_name(handler) if isinstance(handler, str) else handler
    return function
