"""/api/executions: list, get, events, cancel, signal; what else can be done with a run is in `verbs`."""

from __future__ import annotations

from shared.http.api import Api
from shared.http.operations import executions as operations
from shared.http.operations.execution_verbs import FORK_EXECUTION, REDRIVE_EXECUTION, REPLAY_EXECUTION, VERIFY_EXECUTION

api = Api(
    "executions",
    (operations.LIST_EXECUTIONS, "functions.executions.queries:list_all"),
    (operations.GET_EXECUTION, "functions.executions.queries:get"),
    (operations.LIST_EXECUTION_EVENTS, "functions.executions.queries:events"),
    (operations.CANCEL_EXECUTION, "functions.executions.commands:cancel"),
    (operations.SEND_SIGNAL, "functions.executions.commands:signal"),
    (VERIFY_EXECUTION, "functions.executions.verbs:verify"),
    (REDRIVE_EXECUTION, "functions.executions.verbs:redrive"),
    (FORK_EXECUTION, "functions.executions.verbs:fork"),
    (REPLAY_EXECUTION, "functions.executions.verbs:replay"),
)
handler = api.handler
