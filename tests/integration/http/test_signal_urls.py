"""/signals/{token}: a signal by a URL, on the real database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.signals import app
from shared.aws.signal_tokens import SignalToken, token_text
from shared.bootstrap import Services
from shared.events.execution import ExecutionStarted
from shared.events.node import NodeWaiting
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests.integration.http.client import Client, event
from tests.integration.http.runs import happen

SCHEMA = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
WAITING = NodeWaiting(
    "double", 1, "2099-01-01T00:00:00.000000Z", {"name": "approval", "schema": SCHEMA}, 0, [], "approval"
)


@pytest.fixture
def execution_id(client: Client, wired: Services, workflow: JsonObject) -> str:
    """A run that waits for a signal."""
    found: str = client.request("POST", f"/api/workflows/{workflow['id']}/execute", {}).json["execution_id"]
    happen(wired, client.tenant_id, found, ExecutionStarted(1, "hand"), WAITING)
    return found


def token(client: Client, execution_id: str, name: str = "approval") -> str:
    """The token in a URL of ours."""
    return run(token_text(SignalToken(client.tenant_id, execution_id, name)))


def visit(method: str, token: str, query: str = "", content: bytes | None = None, **headers: str) -> JsonObject:
    """The answer to somebody who has the URL and nothing else."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    sent = event(method, f"/signals/{token}", content, named, query)
    return app.handler({**sent, "routeKey": f"{method} /signals/{{token}}", "pathParameters": {"token": token}}, None)


def signals(client: Client, execution_id: str) -> list[Any]:
    """The payloads that the run has been sent."""
    events = client.request("GET", f"/api/executions/{execution_id}/events").json["items"]
    return [one["payload"]["payload"] for one in events if one["event_type"] == "SignalReceived"]


def test_opening_the_url_sends_nothing(client: Client, execution_id: str) -> None:
    """What scans mail opens links; the page has a button, shows what it would send, and is nobody's frame."""
    answer = visit("GET", token(client, execution_id), "approved=true&note=%3Cscript%3E")
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "text/html")
    assert '<form method="post">' in answer["body"]
    assert "<script>" not in answer["body"]
    assert "frame-ancestors 'none'" in answer["headers"]["Content-Security-Policy"]
    assert answer["headers"]["Referrer-Policy"] == "no-referrer"
    assert signals(client, execution_id) == []


def test_button_sends_what_the_url_says(client: Client, execution_id: str) -> None:
    """The query's parameters are the payload, and a browser gets a page."""
    form = {"content_type": "application/x-www-form-urlencoded", "accept": "text/html,*/*"}
    answer = visit("POST", token(client, execution_id), "approved=true&n=7&note=yes", b"", **form)
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "text/html")
    assert signals(client, execution_id) == [{"approved": True, "n": 7, "note": "yes"}]
    (sent,) = (
        one for one in client.request("GET", "/api/events").json["items"] if one["event_type"] == "SignalReceived"
    )
    assert sent["metadata"]["actor"] == "signal_url"


def test_program_sends_json(client: Client, execution_id: str) -> None:
    """As to the API, and with its rules: schema, unknown fields, Idempotency-Key."""
    for _ in range(2):
        body = json.dumps({"payload": {"approved": False}}).encode()
        answer = visit("POST", token(client, execution_id), content=body, idempotency_key="once")
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"recorded": True})
    assert signals(client, execution_id) == [{"approved": False}]


@pytest.mark.parametrize(("query", "content"), [("approved=maybe", None), ("", b'{"payload": 1}'), ("", None)])
def test_payload_that_does_not_fit_is_refused(
    client: Client, execution_id: str, query: str, content: bytes | None
) -> None:
    """422, as with the API."""
    assert visit("POST", token(client, execution_id), query, content)["statusCode"] == 422
    assert signals(client, execution_id) == []


def test_finished_run_takes_no_more(client: Client, execution_id: str) -> None:
    """The URL is good for as long as the run lives."""
    assert client.request("POST", f"/api/executions/{execution_id}/cancel", {}).status == 200
    assert visit("POST", token(client, execution_id), "approved=true")["statusCode"] == 409


def test_token_that_is_not_ours_is_the_same_404(client: Client, execution_id: str) -> None:
    """Whatever is wrong with it: another name, run or tenant, a changed byte, no token at all."""
    good = token(client, execution_id)
    changed = ("A" if good[50] != "A" else "B").join((good[:50], good[51:]))
    other = token(client, new_id()).split(".")[0][22:43]
    bad = [good + "x", good.replace(".approval", ".reject"), changed, good[:22] + other + good[43:], "x", ".", "é.a"]
    answers = [visit(method, one, "approved=true") for one in bad for method in ("GET", "POST")]
    assert {answer["statusCode"] for answer in answers} == {404}
    assert len({answer["body"] for answer in answers}) == 1
    assert signals(client, execution_id) == []


def test_signal_by_url_is_small(client: Client, execution_id: str) -> None:
    """Whoever has the URL cannot fill the store; those with a key may send more."""
    text = token(client, execution_id)
    fits = json.dumps({"payload": {"approved": True, "note": ""}}).encode()
    fits = fits.replace(b'""', b'"' + b"x" * (app.MAX_BODY_BYTES - len(fits)) + b'"')
    too_large = visit("POST", text, content=fits + b" ")
    assert (too_large["statusCode"], json.loads(too_large["body"])["code"]) == (413, "payload_too_large")
    assert signals(client, execution_id) == []
    assert visit("POST", text, content=fits)["statusCode"] == 200
    path = f"/api/executions/{execution_id}/signals/more"
    assert client.request("POST", path, {"payload": "x" * 2 * app.MAX_BODY_BYTES}).status in (200, 202)
