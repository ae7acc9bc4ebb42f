"""/api/api-keys"""

from __future__ import annotations

from shared.errors import StreamConflictError
from shared.http.operation import Answer, Operation

TAG = "API keys"
CREATE_API_KEY = Operation(
    id="create_api_key",
    method="POST",
    path="/api/api-keys",
    summary="Create an API key",
    description="The key is shown in this response and never again.",
    tag=TAG,
    role="admin",
    scope="api_keys:write",
    body="api_keys.create_api_key:CreateApiKey",
    answers={201: Answer("The new key", "api_keys:CreatedApiKeyView", {"Location": "Where the key can be revoked."})},
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
    query="common:PageQuery",
    answers={200: Answer("A page of keys", "api_keys:ApiKeyPage")},
)
REVOKE_API_KEY = Operation(
    id="revoke_api_key",
    method="DELETE",
    path="/api/api-keys/{id}",
    summary="Revoke an API key",
    description="It is refused after a minute at the latest.",
    tag=TAG,
    role="admin",
    scope="api_keys:write",
    answers={204: Answer("Revoked")},
    errors=(StreamConflictError,),
)
OPERATIONS = (CREATE_API_KEY, LIST_API_KEYS, REVOKE_API_KEY)
