"""Secrets that a sender has put where they do not belong, and secrets that cannot be opened."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from functions.drain.work import drain
from shared.bootstrap import Services
from shared.commands.webhooks.rotate_webhook_secret import RotateWebhookSecret, rotate_webhook_secret
from shared.domain.api_key_format import key_text
from shared.ids import new_id
from shared.platform.runtime import run
from shared.webhooks.providers.rules import provider_rules
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import Sender, ledger

TOKEN = "glsec-0123456789/abc+def"
API_KEY = key_text(new_id(), "k" * 43)


def token(issuer: str) -> str:
    """A JWT, whose signature nobody looks at."""
    parts = ({"alg": "ES256"}, {"aud": "authenticated", "iss": issuer, "sub": "u"})
    head, claims = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{claims}.c2lnbmF0dXJl"


USER_TOKEN, FOREIGN_TOKEN = token("https://project.supabase.co/auth/v1"), token("https://sender.example")


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.MEMORY_SECONDS", 0.0)


@pytest.fixture
def gitlab(wired: Services) -> Sender:
    """A sender whose provider sends the secret itself, in `X-Gitlab-Token`."""
    return Sender.of(wired, "gitlab", secret=TOKEN)


def kept(sender: Sender, secret: str) -> str:
    """The delivery log's lines, none of which may have the secret, as text."""
    text = json.dumps(ledger(sender))
    assert secret not in text
    return text


@pytest.mark.parametrize("secret", [TOKEN, API_KEY], ids=["webhook secret", "API key"])
@pytest.mark.parametrize(
    "request_",
    [
        lambda secret: {"signed": {"x-token": secret}},
        lambda secret: {"signed": {"x-token": f"Bearer {secret}"}},
        lambda secret: {"signed": {"x-original-uri": f"/webhooks?key={quote(secret, safe='')}"}},
        lambda secret: {"signed": {secret.lower(): "1"}},
        lambda secret: {"signed": {}, "query": {"key": secret}},
        lambda secret: {"signed": {}, "query": {secret: ""}},
        lambda secret: {"signed": {}, "query": {"next": f"https://x.example/?k={quote(secret, safe='')}"}},
        lambda secret: {"signed": {}, "path": secret},
    ],
    ids=["header", "bearer", "proxy", "name", "query", "parameter", "url", "path"],
)
def test_misplaced_secret_is_not_kept(gitlab: Sender, request_: Any, secret: str) -> None:
    """A refused delivery is logged without it, whether it is the webhook's or an API key."""
    assert gitlab.send(**request_(secret)).status in (401, 404)
    text = kept(gitlab, secret)
    assert text.count("[webhook_secret]" if secret == TOKEN else "[api_key]") == 1
    assert secret.lower() not in text


@pytest.mark.parametrize(
    "request_",
    [
        {"signed": {"x-token": f"Bearer {USER_TOKEN}"}},
        {"signed": {}, "query": {"access_token": USER_TOKEN, USER_TOKEN: ""}},
    ],
)
def test_users_token_is_not_kept_and_a_senders_own_is(gitlab: Sender, request_: Any) -> None:
    """A token of this service by its issuer; another one may be what a workflow reads."""
    assert gitlab.send(**request_).status == 401
    assert "[user_token]" in kept(gitlab, USER_TOKEN)
    assert (
        gitlab.send(signed={"x-jwt": FOREIGN_TOKEN, "x-broken": "eyJ.eyJ. eyJ.eyJA. eyJ.eyJAB. eyJ.eyJABC.x"}).status
        == 401
    )
    assert FOREIGN_TOKEN in kept(gitlab, USER_TOKEN)


@pytest.mark.parametrize("before", ["", "u", "us", "a-long-name"])
def test_secret_in_basic_credentials_is_not_kept(gitlab: Sender, before: str) -> None:
    """In base64 the webhook's own is recognised, wherever it begins."""
    encoded = base64.b64encode(f"{before}{TOKEN}".encode()).decode()
    assert gitlab.send(signed={"x-auth": f"Basic {encoded}"}).status == 401
    assert "[webhook_secret]" in kept(gitlab, encoded)


def test_misplaced_secret_of_an_accepted_delivery_is_in_no_event(gitlab: Sender) -> None:
    """Nor where its id and its event type are read from; what else the sender says is kept."""
    headers = gitlab.signed(
        x_gitlab_event=TOKEN, x_gitlab_event_uuid=TOKEN, x_copy=TOKEN, idempotency_key=TOKEN, x_other="as it is"
    )
    answer = gitlab.send(signed=headers, query={"token": TOKEN, "n": "1"})
    assert answer.status == 202, answer.text
    run(drain(lambda: 10.0))
    events = run(gitlab.services.events.read_all(gitlab.actor.tenant_id, answer.json["execution_id"]))
    text = json.dumps([event.payload for event in events]) + kept(gitlab, TOKEN)
    assert TOKEN not in text
    trigger = events[0].payload["trigger"]
    assert (trigger["headers"]["x-other"], trigger["query"]["n"]) == ("as it is", "1")


def test_former_secret_is_not_kept_either(gitlab: Sender) -> None:
    """During a rotation both are the webhook's."""
    command = RotateWebhookSecret(secret="another-secret-0123", grace_seconds=600)
    run(rotate_webhook_secret(gitlab.services, gitlab.actor, gitlab.webhook_id, command, provider_rules("gitlab")))
    assert gitlab.send(signed={"x-token": TOKEN, "x-two": "another-secret-0123"}).status == 401
    assert "another-secret-0123" not in kept(gitlab, TOKEN)


def test_ordinary_text_stays(wired: Services) -> None:
    """A short secret is only taken out where it is a whole value."""
    sender = Sender.of(wired, "gitlab", secret="json")
    assert sender.send(signed={"content-type": "application/json", "x-token": "json", "x-url": "/a%2Fb"}).status == 401
    headers = ledger(sender)[0]["headers"]
    assert headers == {"content-type": "application/json", "x-token": "[webhook_secret]", "x-url": "/a%2Fb"}


def test_secret_that_cannot_be_opened_refuses_with_503(
    wired: Services, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """It was moved from another row: senders are asked to come back, the owner and the operator are told why."""
    mine, other = Sender.of(wired, "gitlab", secret=TOKEN), Sender.of(wired, "gitlab", secret=TOKEN)
    move = "update webhooks set secret = (select secret from webhooks where id = %s) where id = %s"
    with psycopg.connect(servers.supabase.database_url, autocommit=True) as connection:
        connection.execute(move, (other.webhook_id, mine.webhook_id))
    run(wired.config_cache.forget_webhook(mine.webhook_id))
    with caplog.at_level(logging.ERROR):
        answer = mine.send()
    assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (503, "unavailable", "60")
    assert [one.webhook_id for one in caplog.records if one.message == "webhook_secret_unreadable"] == [mine.webhook_id]  # type: ignore[attr-defined]
    (line,) = ledger(mine)
    assert (line["verdict"], line["reason"].partition(":")[0]) == ("rejected_signature", "secret_unreadable")
    assert other.send().status == 202
