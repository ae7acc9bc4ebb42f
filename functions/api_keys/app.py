"""/api/api-keys: create (the key is shown once), list, revoke."""

from __future__ import annotations

from shared.http.api import Api
from shared.http.operations import api_keys as operations

api = Api(
    "api_keys",
    (operations.CREATE_API_KEY, "functions.api_keys.commands:create"),
    (operations.LIST_API_KEYS, "functions.api_keys.queries:list_all"),
    (operations.REVOKE_API_KEY, "functions.api_keys.commands:revoke"),
)
handler = api.handler
