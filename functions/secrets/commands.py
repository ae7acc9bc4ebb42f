"""Set and delete secrets."""

from __future__ import annotations

from dataclasses import asdict

from shared.bootstrap import services
from shared.commands.secrets.delete_secret import delete_secret
from shared.commands.secrets.set_secret import SetSecret, set_secret
from shared.http.request import Request
from shared.http.responses import Response, no_content, ok
from shared.queries.secrets.list_secrets import view


async def set_one(request: Request) -> Response:
    secret = await set_secret(services(), request.actor, request.path["name"], request.body(SetSecret))
    return ok(view(asdict(secret)))


async def delete(request: Request) -> Response:
    await delete_secret(services(), request.actor, request.path["name"])
    return no_content()
