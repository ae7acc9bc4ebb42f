"""Answers of webhooks come from the API's own origin: whatever a tenant or a sender puts in, no browser runs it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.bootstrap import Services
from shared.commands.webhooks.update_webhook import UpdateWebhook, update_webhook
from shared.domain.response import is_powerful
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.webhooks.acceptance import option_problems
from shared.webhooks.providers.rules import provider_rules
from tests.custom_scheme import SCHEME
from tests.integration.webhooks.sender import Sender

INERT = {"content-security-policy": "sandbox; default-src 'none'", "x-content-type-options": "nosniff"}
POWERFUL = {
    "Service-Worker-Allowed": "/",
    "Clear-Site-Data": '"*"',
    "Access-Control-Allow-Origin": "*",
    "Content-Security-Policy": "default-src *",
    "Strict-Transport-Security": "max-age=0",
    "Refresh": "0;url=https://example.com",
    "Link": "</x.js>; rel=preload",
    "X-Content-Type-Options": "sniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def _handshake(content_type: str, headers: dict[str, str]) -> dict[str, object]:
    echo = {"status": 200, "content_type": content_type, "headers": headers, "body": "<script>a()</script>{query:c}"}
    return {"method": "GET", "signed": False, "when": {"query:c": ""}, **echo}


@pytest.mark.parametrize(
    ("content_type", "answered"),
    [
        ("text/html", "text/html"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("text/javascript", "text/plain; charset=utf-8"),
        ("Application/JavaScript; charset=utf-8", "text/plain; charset=utf-8"),
        ("application/wasm", "text/plain; charset=utf-8"),
        ("text/css", "text/plain; charset=utf-8"),
    ],
)
def test_handshake_of_a_tenant_is_no_page_of_ours(wired: Services, content_type: str, answered: str) -> None:
    """What it echoes reaches the sender as it is, and a browser as text, or in a sandbox."""
    handshake = _handshake(content_type, POWERFUL | {"X-Tea": "green"})
    sender = Sender.of(wired, "custom", scheme=SCHEME, handshake=[handshake])
    answer = sender.send(b"", method="GET", query={"c": "<img onerror=b()>"}, signed={})
    assert (answer.status, answer.text) == (200, "<script>a()</script><img onerror=b()>")
    assert answer.headers["content-type"] == answered
    _assert_inert(answer.headers)
    assert answer.headers["X-Tea"] == "green"


def test_own_response_and_refusals_are_inert(wired: Services) -> None:
    """Of what a webhook answers to a delivery, and of what it answers to strangers."""
    response = {"status": 200, "headers": {"Content-Type": "text/html", **POWERFUL}, "body": "<script>a()</script>"}
    sender = Sender.of(wired, "github")
    _save(sender, {**sender.config, "response": response})
    for answer in (sender.send(), sender.send(signed={}), sender.send(webhook_id="none")):
        _assert_inert(answer.headers)


@pytest.mark.parametrize("header", POWERFUL)
def test_powerful_header_is_refused_when_it_is_saved(header: str) -> None:
    """With the place; a harmless one is taken."""
    for name, refused in ((header, True), ("X-Tea", False)):
        config = {"response": {"status": 200, "headers": {name: "x"}, "body": ""}}
        pointers = [problem.pointer for problem in option_problems(config)]
        assert ("/response/headers" in pointers) is refused, name


def _save(sender: Sender, config: JsonObject) -> None:
    """Stores what was valid once."""
    about = {"name": "h", "workflow_id": sender.workflow_id, "provider": sender.provider_id, "config": config}
    rules = replace(provider_rules(sender.provider_id), config_problems=lambda _: [])
    command = UpdateWebhook.model_validate(about)
    run(update_webhook(sender.services, sender.actor, sender.webhook_id, command, rules))


def _assert_inert(headers: object) -> None:
    assert isinstance(headers, dict)
    assert headers.items() >= INERT.items()
    assert [name for name in headers if is_powerful(name) and name not in INERT] == []
