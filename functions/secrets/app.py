"""/api/secrets: set, list (names and dates alone), delete."""

from __future__ import annotations

from shared.http.api import Api
from shared.http.operations import secrets as operations

api = Api(
    "secrets",
    (operations.SET_SECRET, "functions.secrets.commands:set_one"),
    (operations.LIST_SECRETS, "functions.secrets.queries:list_all"),
    (operations.DELETE_SECRET, "functions.secrets.commands:delete"),
)
handler = api.handler
