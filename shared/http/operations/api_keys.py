"""/api/api-keys"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.commands.create_api_key import CreateApiKey
from shared.domain.actor import Role, Scope
from shared.errors import StreamConflictError
from shared.http.operation import Answer, Operation
from shared.http.operations.views import Id, Time, View
from shared.http.query import PageQuery

TAG = "API keys"


class ApiKeyView(View):
    """An API key, without the key."""

    id: Id
    name: str
    role: Role
    scopes: Annotated[list[Scope], Field(description="None means everything that the role allows.")]
    expires_at: Time | None
    created_at: Time


class CreatedApiKeyView(ApiKeyView):
    """An API key with the key, which is shown this once."""

    key: str


class ApiKeyPage(View):
    """A page of API keys."""

    items: list[ApiKeyView]
    next_cursor: str | None


CREATE_API_KEY = Operation(
    id="create_api_key",
    method="POST",
    path="/api/api-keys",
    summary="Create an API key",
    description="The key is shown in this answer and never again.",
    tag=TAG,
    role="admin",
    scope="api_keys:write",
    body=CreateApiKey,
    answers={201: Answer("The new key", CreatedApiKeyView, {"Location": "Where the key can be revoked."})},
)
LIST_API_KEYS = Operation(
    id="list_api_keys",
    method="GET",
    path="/api/api-keys",
    summary="List API keys",
    description="Those that are not revoked, newest first.",
    tag=TAG,
    role="admin",
    scope="api_keys:read",
    query=PageQuery,
    answers={200: Answer("A page of keys", ApiKeyPage)},
)
REVOKE_API_KEY = Operation(
    id="revoke_api_key",
    method="DELETE",
    path="/api/api-keys/{id}",
    summary="Revoke an API key",
    description="It opens nothing any more, at the latest after a minute.",
    tag=TAG,
    role="admin",
    scope="api_keys:write",
    answers={204: Answer("Revoked")},
    errors=(StreamConflictError,),
)
OPERATIONS = (CREATE_API_KEY, LIST_API_KEYS, REVOKE_API_KEY)
