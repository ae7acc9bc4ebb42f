"""/signals: signals by URLs that are credentials"""

from __future__ import annotations

from shared.errors import (
    ExecutionFinishedError,
    IdempotencyConflictError,
    NotFoundError,
    PayloadTooLargeError,
    StreamConflictError,
    UnprocessableError,
)
from shared.http.operation import Answer, Operation, RequestHeader

TAG = "Signals"
PATH = "/signals/{token}"
PATH_DESCRIPTIONS = {"token": "What `$execution.signal_urls.<name>` has put into the URL."}
ASK_SIGNAL = Operation(
    id="ask_signal",
    method="GET",
    path=PATH,
    summary="Ask before sending a signal",
    description="A page with a button that sends it. Opening the link sends nothing: mail scanners do so too.",
    tag=TAG,
    role=None,
    query="signals:SignalQuery",
    path_descriptions=PATH_DESCRIPTIONS,
    answers={200: Answer("The page", content_type="text/html")},
    errors=(NotFoundError,),
)
SEND_SIGNAL_BY_URL = Operation(
    id="send_signal_by_url",
    method="POST",
    path=PATH,
    summary="Send a signal by its URL",
    description=(
        "The payload is that of the JSON body `{payload}`, or else the query's parameters as an object; the body may "
        "have 64 KiB. The same rules hold as for `POST /api/executions/{id}/signals/{name}`. An invalid token is a 404."
    ),
    tag=TAG,
    role=None,
    query="signals:SignalQuery",
    raw_body="`{payload}` in JSON, or a form without fields.",
    headers=(RequestHeader("Idempotency-Key", "Makes repetitions of this request one signal."),),
    path_descriptions=PATH_DESCRIPTIONS,
    answers={
        200: Answer(
            "The signal is recorded; where HTML is accepted, a page that says so",
            "signals:RecordedView",
        )
    },
    errors=(
        NotFoundError,
        ExecutionFinishedError,
        IdempotencyConflictError,
        StreamConflictError,
        UnprocessableError,
        PayloadTooLargeError,
    ),
)
OPERATIONS = (ASK_SIGNAL, SEND_SIGNAL_BY_URL)
