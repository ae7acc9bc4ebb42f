"""Create an API key, which is shown once; revoke one."""

from __future__ import annotations

from dataclasses import asdict

from shared.bootstrap import services
from shared.commands.api_keys.create_api_key import CreateApiKey, create_api_key
from shared.commands.api_keys.revoke_api_key import revoke_api_key
from shared.http.request import Request
from shared.http.responses import Response, created, no_content
from shared.queries.api_keys.list_api_keys import view


async def create(request: Request) -> Response:
    made = await create_api_key(services(), request.actor, request.body(CreateApiKey))
    body = {**view(asdict(made.api_key)), "key": made.key}
    return created(body, f"/api/api-keys/{made.api_key.id}")


async def revoke(request: Request) -> Response:
    await revoke_api_key(services(), request.actor, request.id)
    return no_content()
