"""The read models of a stack that really ran things, against its event store."""

from __future__ import annotations

import pytest

from local.stack.stack import LocalStack
from local.tools import rebuild
from tests.e2e.clients import client_of

WORKFLOW = {
    "name": "rebuilt",
    "nodes": [
        {"id": "hand", "type": "manual_trigger"},
        {"id": "big", "type": "if", "parameters": {"condition": "{% $trigger.body.n > 10 %}"}},
        {"id": "stop", "type": "fail", "parameters": {"code": "too_big", "message": "Too big."}},
        {"id": "double", "type": "transform", "parameters": {"value": "{% $trigger.body.n * 2 %}"}},
    ],
    "edges": [
        {"source": "hand", "target": "big"},
        {"source": "big", "source_handle": "true", "target": "stop"},
        {"source": "big", "source_handle": "false", "target": "double"},
    ],
}


def test_check_finds_a_used_stack_in_order(stack: LocalStack, capsys: pytest.CaptureFixture[str]) -> None:
    """After runs that succeeded, failed and were cancelled, every row is what the events imply."""
    with client_of(stack, stack.new_tenant("rebuild").api_key) as http:
        path = http.post("/api/workflows", json=WORKFLOW).headers["location"]
        assert http.post(f"{path}/publish").status_code == 200
        ended = [
            http.post(f"{path}/execute", json={"input": {"n": n}}, headers={"Prefer": "wait=20"}).json()["status"]
            for n in (1, 100)
        ]
        assert ended == ["succeeded", "failed"]
        started = http.post(f"{path}/execute", json={"input": {"n": 1}}).headers["location"]
        assert http.post(f"{started}/cancel").status_code in (200, 409)
    environment = stack.environment
    code = rebuild.main(["--check", "--url", environment["SUPABASE_URL"], "--key", environment["SUPABASE_KEY"]])
    assert code == 0, capsys.readouterr().err
