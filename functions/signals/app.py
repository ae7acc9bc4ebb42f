"""/signals/{token}: signals by a URL that is a credential. Only POST sends: a mail scanner's GET approves nothing."""

from __future__ import annotations

from shared.aws.signal_tokens import SignalToken, read_token
from shared.bootstrap import services
from shared.commands.executions.send_signal import SendSignal, send_signal
from shared.domain.actor import Actor
from shared.http.api import Api
from shared.http.idempotency_key import idempotency_key
from shared.http.operations import signals as operations
from shared.http.parameters.signals import SignalQuery
from shared.http.request import Request
from shared.http.responses import Response, ok, page
from shared.http.signal_page import asking, thanks

# Whoever has the URL may send it, and signals are kept with the run: an answer of a person or of a service is small.
MAX_BODY_BYTES = 65_536


async def ask(request: Request) -> Response:
    token = await read_token(request.path["token"])
    return page(asking(token.name, request.query(SignalQuery).payload()))


async def send(request: Request) -> Response:
    token = await read_token(request.path["token"])
    command, key = _command(request), idempotency_key(request.headers)
    await send_signal(services(), _actor(token), token.execution_id, token.name, command, key)
    wants_page = "text/html" in request.headers.get("accept", "")
    return page(thanks(token.name)) if wants_page else ok({"recorded": True})


def _command(request: Request) -> SendSignal:
    """The payload from a JSON body, else from the query string, as for the form of a browser."""
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if not is_form and request.has_body:
        return request.read(SendSignal, MAX_BODY_BYTES)
    return SendSignal(payload=request.query(SignalQuery).payload())


def _actor(token: SignalToken) -> Actor:
    # The token proves a right to send this one signal: no other scope goes with it.
    return Actor(token.tenant_id, "signal_url", "editor", frozenset({"executions:write"}))


api = Api("signals", (operations.ASK_SIGNAL, ask), (operations.SEND_SIGNAL_BY_URL, send))
handler = api.handler
