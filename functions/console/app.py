"""/docs, /openapi.json and /console: pages, served by an ASGI app through Mangum."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING

from mangum import Mangum
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from shared.errors import NotFoundError
from shared.http.description import document
from shared.http.docs_page import page
from shared.http.landing_page import LANDING_PAGE
from shared.http.responses import PROBLEM, problem
from shared.json_types import JsonObject
from shared.observability import begin
from shared.platform.runtime import loop
from shared.platform.snapstart import prepare

if TYPE_CHECKING:
    from mangum.types import LambdaContext

HEADERS = {
    # No external resources, no scripts.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=60",
}


async def docs(_request: Request) -> Response:
    return HTMLResponse(page(), headers=HEADERS)


async def openapi(_request: Request) -> Response:
    return JSONResponse(document(), headers=HEADERS)


async def console(_request: Request) -> Response:
    return HTMLResponse(LANDING_PAGE, headers=HEADERS)


async def not_found(_request: Request, _error: Exception) -> Response:
    answer = problem(NotFoundError("There is no such page."))
    return Response(answer.text, answer.status, media_type=PROBLEM)


app = Starlette(
    routes=[
        Route("/docs", docs),
        Route("/openapi.json", openapi),
        Route("/console", console),
        Route("/console/{path:path}", console),
    ],
    exception_handlers={404: not_found},
)


@cache
def adapter() -> Mangum:
    """The app as a Lambda handler."""
    return Mangum(app, lifespan="off", text_mime_types=["text/", "application/json", PROBLEM])


prepare(lambda: (document(), page()))


def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """The response (payload 2.0) to an API Gateway event."""
    begin("console", event)
    # Mangum looks for the thread's current loop, when it is made and when it runs.
    asyncio.set_event_loop(loop())
    return adapter()(event, context)
