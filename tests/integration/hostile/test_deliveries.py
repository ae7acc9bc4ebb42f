"""Every text that a sender fills, and every verdict: each delivery has its line, and the delivery log goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.drain.work import drain
from functions.intake import app
from shared.bootstrap import Services
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests.custom_scheme import SCHEME
from tests.integration.hostile.examples import TEXTS, free
from tests.integration.http.client import Client
from tests.integration.webhooks.sender import Sender, ledger

# Who signs what, and what becomes of it: one webhook for each.
WEBHOOKS: dict[str, JsonObject] = {
    "accepted": {},
    "answered by a workflow's text": {"response": {"status": 200, "body": "\ufffe"}},
    "filtered by type": {"event_types": ["no such*type"]},
    "filtered by an error": {"filter": "{% $error('a\\u0000b' & $trigger.body.a) %}"},
    "filtered by a text": {"filter": "{% $trigger.body.a %}"},
    "from elsewhere": {"ip_allow": ["192.0.2.1"]},
    "paused": {"status": "paused"},
    "held": {"status": "holding"},
    "unpublished": {"publish": False},
    "kept": {"keep_raw_body": True},
    "throttled": {"rate_limit": {"per_minute": 1, "burst": 1}},
}
PROVIDERS = ("github", "generic_token", "stripe", "standard_webhooks", "custom")
SCHEMES: dict[str, JsonObject] = {
    "custom": {
        "scheme": SCHEME,
        "delivery": {"id": ["header:X-Id", "query:a?"]},
        "event": {"type": ["header:X-Type", "json:a", "form:a"]},
        "handshake": [
            {
                "method": "GET",
                "signed": False,
                "when": {"query:a": ""},
                "body": "{query:a}",
                "headers": {"X": "{query:a}"},
            }
        ],
    },
    "generic_token": {"place": "header:X-Token", "delivery_id": "header:x-id", "event_type": "json:a"},
}


def bodies(text: str) -> Iterator[bytes]:
    """Bodies with the text in them, as JSON, as a form and as it is."""
    yield from (json.dumps(value).encode() for value in free(text))
    yield json.dumps({"a": text, "type": text, "id": text}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    yield text.encode("utf-8", "surrogatepass")


def requests(sender: Sender, text: str) -> Iterator[JsonObject]:
    """Deliveries that would be right but for the text, each with it in another place."""
    for body in bodies(text):
        yield sender.event(body, webhook_id=new_id())
        yield sender.event(body, webhook_id=new_id()) | {"headers": {}}
    right = sender.event(b'{"a": "push"}', webhook_id=new_id())
    for name in ("x-id", "x-type", "x-github-delivery", "x-github-event", "webhook-id", "x-hub-signature-256", text):
        yield right | {"headers": right["headers"] | {name: text}}
    for name in ("content-type", "user-agent", "x-amzn-trace-id", "host", "stripe-signature", "authorization"):
        yield right | {"headers": right["headers"] | {name: text}}
    yield right | {"queryStringParameters": {"a": text, text: "a", "token": text}, "rawQueryString": text}
    for method in ("GET", "HEAD", "OPTIONS", text):
        about = {"requestContext": {"http": {"method": method, "sourceIp": text}, "requestId": text}}
        yield right | about | {"queryStringParameters": {"a": text}}
    for provider in (text, f"{text}github", "github "):
        yield right | {"pathParameters": {"webhookId": sender.webhook_id, "provider": provider}}
    yield right | {"pathParameters": {"webhookId": text, "provider": sender.provider_id}}


@pytest.mark.parametrize("kind", TEXTS)
def test_every_delivery_has_its_line(wired: Services, kind: str) -> None:
    """Whatever is in it: no fault of ours, no line that keeps others waiting, no run that fails for it."""
    senders = [_sender(wired, "github", **config) for config in WEBHOOKS.values()]
    senders += [_sender(wired, provider, **SCHEMES.get(provider, {})) for provider in PROVIDERS[1:]]
    answered = {sender.webhook_id: 0 for sender in senders}
    for sender in senders:
        for sent in requests(sender, TEXTS[kind]):
            answer = app.handler(sent, None)
            assert answer["statusCode"] < 500, (sender.config, sent, answer)
            json.dumps(answer, ensure_ascii=False).encode()  # what Lambda sends on is UTF-8
            # Else there is no such webhook or handshake, or it is the delivery that makes a scheme live.
            has_line = answer["statusCode"] in (200, 202, 401, 410, 429) and "live" not in answer["body"]
            answered[sender.webhook_id] += has_line
    other = _sender(wired, "github")
    assert other.send(b"1").status == 202
    assert other.send(b"2", signed={}).status == 401
    run(drain(lambda: 20.0))
    assert sorted(line["verdict"] for line in ledger(other)) == ["accepted", "rejected_signature"]
    for sender in senders:
        lines = run(wired.webhooks.deliveries(sender.actor.tenant_id, sender.webhook_id, 1000))
        assert sum(line["count"] for line in lines) >= answered[sender.webhook_id], sender.config
        runs = Client(sender.actor.tenant_id).request("GET", "/api/executions", query={"limit": 100}).json["items"]
        ended = "queued" if sender is senders[[*WEBHOOKS].index("held")] else "succeeded"
        assert {one["status"] for one in runs} <= {ended}, runs
        if sender is senders[0]:
            assert runs
    assert run(wired.redis.llen(wired.redis_keys.ledger)) == 0


def _sender(services: Services, provider: str, status: str = "active", **config: Any) -> Sender:
    secret = {"standard_webhooks": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "stripe": "whsec_x"}.get(provider)
    return Sender.of(services, provider, secret=secret or "an-example-of-a-secret", status=status, **config)
