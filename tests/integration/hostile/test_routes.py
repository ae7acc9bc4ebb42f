"""Every operation of the API, with hostile text in every place that a caller fills: an answer, and never a 5xx."""

from __future__ import annotations

import json

import pytest

from functions.drain.work import drain
from shared.bootstrap import Services
from shared.http.openapi import every_operation
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests.integration.hostile.examples import TEXTS
from tests.integration.hostile.world import World, handlers, ordered
from tests.integration.http.client import Client

# A run that has not failed, and what the requests before have removed.
MAY_REFUSE = {"redrive_execution", "delete_webhook"}
# Their functions route nothing by operations: `test_deliveries` sends to the one, the other has constant pages.
ELSEWHERE = {"webhooks/", "console", "docs", "openapi.json"}


def test_every_operation_is_tested() -> None:
    """A new one is among them without a word here."""
    untested = {one.path for one in every_operation() if one.id not in handlers()}
    assert {path.strip("/") for path in untested if not path.strip("/").startswith(tuple(ELSEWHERE))} == set()


@pytest.mark.parametrize("kind", TEXTS)
def test_no_text_is_a_fault_of_ours(wired: Services, kind: str) -> None:
    """What cannot be stored is refused or replaced, and runs of another tenant go on beside it."""
    world, other = World.of(wired), World.of(wired)
    served, answers = handlers(), dict[str, JsonObject]()
    for operation in ordered():
        if operation.id in served:
            for sent in world.events(operation, TEXTS[kind]):
                answer = served[operation.id](sent, None)
                answers[operation.id] = answer
                assert answer["statusCode"] < 500, (operation.id, sent, answer)
                json.dumps(answer, ensure_ascii=False).encode()  # what Lambda sends on is UTF-8
    # The right request of each is one that its operation takes, or there would be nothing to be wrong about.
    refused = {name: answer["body"] for name, answer in answers.items() if answer["statusCode"] >= 400}
    assert refused.keys() <= MAY_REFUSE, refused
    assert_runs(other.client)


def assert_runs(client: Client) -> None:
    """Passes where a run of the client's, started now, succeeds."""
    workflow = client.request("GET", "/api/workflows").json["items"][-1]["id"]
    started = client.request("POST", f"/api/workflows/{workflow}/execute", {"input": {"n": 21}}).json
    run(drain(lambda: 12.0))
    ended = client.request("GET", f"/api/executions/{started['execution_id']}").json
    assert (ended["status"], ended["output"]) == ("succeeded", 42)
