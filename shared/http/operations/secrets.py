"""/api/secrets"""

from __future__ import annotations

from shared.errors import StreamConflictError, UnprocessableError
from shared.http.operation import Answer, Operation

TAG = "Secrets"
PATH_DESCRIPTIONS = {"name": "The secret's name: letters, digits and underscores, as in `$secrets.name`."}
SET_SECRET = Operation(
    id="set_secret",
    method="PUT",
    path="/api/secrets/{name}",
    summary="Set a secret",
    description="Effects use it as `{% $secrets.name %}`, in requests to its `allowed_hosts` alone. The value is "
    "encrypted, and is in no response, event or log.",
    tag=TAG,
    role="admin",
    scope="secrets:write",
    body="secrets.set_secret:SetSecret",
    answers={200: Answer("The secret, without its value", "secrets:SecretView")},
    errors=(UnprocessableError, StreamConflictError),
    path_descriptions=PATH_DESCRIPTIONS,
)
LIST_SECRETS = Operation(
    id="list_secrets",
    method="GET",
    path="/api/secrets",
    summary="List secrets",
    description="Names, the hosts that each may be sent to, and dates, newest first.",
    tag=TAG,
    role="editor",
    scope="secrets:read",
    query="common:PageQuery",
    answers={200: Answer("A page of secrets", "secrets:SecretPage")},
)
DELETE_SECRET = Operation(
    id="delete_secret",
    method="DELETE",
    path="/api/secrets/{name}",
    summary="Delete a secret",
    description="Effects that use it fail with `secret_missing`, at the latest after ten seconds.",
    tag=TAG,
    role="admin",
    scope="secrets:write",
    answers={204: Answer("Deleted")},
    errors=(StreamConflictError,),
    path_descriptions=PATH_DESCRIPTIONS,
)
OPERATIONS = (SET_SECRET, LIST_SECRETS, DELETE_SECRET)
