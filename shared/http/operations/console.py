"""/docs, /openapi.json and /console"""

from __future__ import annotations

from shared.http.operation import Answer, Operation

TAG = "Service"
GET_DOCS = Operation(
    id="get_docs",
    method="GET",
    path="/docs",
    summary="This documentation as a page",
    tag=TAG,
    role=None,
    answers={200: Answer("The page", content_type="text/html")},
)
GET_OPENAPI = Operation(
    id="get_openapi",
    method="GET",
    path="/openapi.json",
    summary="This documentation as an OpenAPI document",
    tag=TAG,
    role=None,
    answers={200: Answer("The document", "console:OpenApiView")},
)
GET_CONSOLE = Operation(
    id="get_console",
    method="GET",
    path="/console/{path+}",
    summary="The console",
    tag=TAG,
    role=None,
    answers={200: Answer("A page", content_type="text/html")},
)
GET_LANDING = Operation(
    id="get_landing",
    method="GET",
    path="/console",
    summary="The console's front page",
    tag=TAG,
    role=None,
    answers={200: Answer("A page", content_type="text/html")},
)
OPERATIONS = (GET_DOCS, GET_OPENAPI, GET_LANDING, GET_CONSOLE)
