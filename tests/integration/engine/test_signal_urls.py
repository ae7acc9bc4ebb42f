"""Effects that send a signal's URL: the URL goes out, and events have a placeholder."""

from __future__ import annotations

import base64
import json

import pytest

from shared.aws import secrets as keys
from shared.aws.signal_tokens import SignalToken, read_token
from shared.errors import InvalidGraphError
from shared.json_types import JsonObject
from shared.settings import settings
from tests.integration.engine.harness import HOOK, EngineHarness, request, transform
from tests.integration.engine.sink import Sink, as_json

WAIT: JsonObject = {"id": "w", "type": "wait_for_signal", "parameters": {"name": "approval"}}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_KEY", base64.b64encode(bytes(32)).decode())
    monkeypatch.setenv("PUBLIC_URL", "https://api.test")
    settings.cache_clear()
    keys.forget_keys()


async def test_url_is_sent_and_not_said(harness: EngineHarness, sink: Sink) -> None:
    """Though the server echoes it; its token names this run and this signal, and verification needs no key."""
    sink.answer = lambda got: (200, {}, as_json({"echo": got.body.decode()}))
    body = {"blocks": [{"text": "{% $execution.signal_urls.approval %}?approved=true for {% $trigger.body.who %}"}]}
    send = request("send", sink.url, parameters={"body": body})
    job = harness.delivery(await harness.publish([HOOK, send, WAIT], "hook>send", "send>w"), {"who": "ada"})
    state = await harness.execute(job)
    assert state.status == "waiting", state.error
    text: str = json.loads(sink.received[0].body)["blocks"][0]["text"]
    assert text.endswith("?approved=true for ada")
    token = text.removeprefix("https://api.test/signals/").partition("?")[0]
    assert await read_token(token) == SignalToken(harness.tenant_id, job.execution_id, "approval")
    told = json.dumps([one.payload for one in await harness.events(job)])
    assert token not in told
    assert told.count("[signal_url:approval]?approved=true for ada") == 2
    assert (await harness.verify(job))["first_difference"] is None


async def test_request_with_a_url_follows_no_redirect(harness: EngineHarness, sink: Sink) -> None:
    """Whoever is redirected to could approve; the error says why."""
    sink.answer = lambda _got: (307, {"location": f"{sink.url}/elsewhere"}, b"")
    send = request("send", sink.url + "/x", parameters={"body": "{% $execution.signal_urls.approval %}"})
    job = harness.delivery(await harness.publish([HOOK, send, WAIT], "hook>send", "send>w"))
    state = await harness.execute(job)
    assert state.error is not None
    assert (state.error["code"], [one.path for one in sink.received]) == ("http_3xx", ["/x"])
    assert "because the request has [signal_url:approval] in it" in state.error["message"]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (transform("t", "{% $execution.signal_urls.approval %}"), "A transform cannot use a signal's URL"),
        (request("t", "http://a.b", parameters={"body": "{% $execution.signal_urls.aproval %}"}), "No node waits"),
        (request("t", "http://a.b", parameters={"body": "{% $execution.signal_urls %}"}), "put in as it is"),
        (
            request("t", "http://a.b", parameters={"body": "{% $execution.signal_urls.approval & 'x' %}"}),
            "put in as it is",
        ),
    ],
)
async def test_url_in_another_place_is_not_published(harness: EngineHarness, node: JsonObject, message: str) -> None:
    """Only an effect has it, as it is, of a signal that a node waits for."""
    with pytest.raises(InvalidGraphError) as refused:
        await harness.publish([HOOK, node, WAIT], "hook>t", "t>w")
    assert [one for one in refused.value.problems if message in one.message]
