"""What each provider asks before it delivers, and the answer that its documentation wants, in so many words."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from local.signing.deliveries import signed
from shared.webhooks.delivery import Answer, Delivery, SignatureContext
from shared.webhooks.intake.pipeline import examine
from shared.webhooks.providers.catalog import provider_data, provider_ids
from shared.webhooks.providers.handshake import HandshakeAnswer
from tests.unit.webhooks.builders import fitted, good

NOW = 1_700_000_000.0
URL = "https://hooks.example.com/webhooks/1/provider"
FORM = {"content-type": "application/x-www-form-urlencoded"}
CONFIG = {"verify_token": "ours", "verify_code": "ours", "verification_token": "ours", "public_key": "pk"}
RSA, ED25519 = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()


def mac(text: str) -> bytes:
    """Of the text under the secret that the tests give to webhooks."""
    return hmac.new(b"key", text.encode(), "sha256").digest()


@dataclass(frozen=True)
class Asked:
    """A question, and its answer: a status, a body as text or as JSON, headers."""

    method: str
    status: int
    answer: Any = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = ""
    is_signed: bool = False
    answer_headers: dict[str, str] = field(default_factory=dict)

    def delivery(self, config: dict[str, str]) -> Delivery:
        """The request, without a proof."""
        body = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return Delivery(self.method, self.headers, body.encode(), self.query, URL, config)


def get(status: int, answer: Any = "", **query: str) -> Asked:
    """A GET; two underscores in a parameter's name are a dot."""
    return Asked("GET", status, answer, {name.replace("__", "."): value for name, value in query.items()})


def post(status: int, body: Any, answer: Any = "", **headers: str) -> Asked:
    """A POST that is signed like a delivery."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked("POST", status, answer, headers=given, body=body, is_signed=True)


def open_post(status: int, body: Any, answer: Any = "", answer_headers: Any = None, **headers: str) -> Asked:
    """A POST that nobody has signed."""
    return replace(post(status, body, answer, **headers), is_signed=False, answer_headers=answer_headers or {})


HEAD = Asked("HEAD", 200)
VALIDATION = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "code-1"}}]
# Its key is a hash of the secret.
BRAINTREE = hmac.new(hashlib.sha1(b"key").digest(), b"0123456789abcdef0123", "sha1").hexdigest()
EBAY = hashlib.sha256(f"c-1ours{URL}".encode()).hexdigest()

ASKED: dict[str, list[Asked]] = {
    "adobe_io": [get(200, "c-1", challenge="c-1")],
    "adobe_sign": [
        Asked("GET", 200, headers={"x-adobesign-clientid": "key"}, answer_headers={"X-AdobeSign-ClientId": "key"}),
        Asked("GET", 403, headers={"x-adobesign-clientid": "another"}),
    ],
    "asana": [open_post(200, "", answer_headers={"X-Hook-Secret": "s-1"}, x_hook_secret="s-1")],
    "ashby": [post(200, {"action": "ping"})],
    "azure_event_grid": [
        post(200, VALIDATION, {"validationResponse": "code-1"}, aeg_event_type="SubscriptionValidation")
    ],
    "braintree": [get(200, f"pk|{BRAINTREE}", bt_challenge="0123456789abcdef0123")],
    "cloudevents": [
        Asked(
            "OPTIONS",
            200,
            headers={"webhook-request-origin": "sender.example"},
            answer_headers={"WebHook-Allowed-Origin": "sender.example", "WebHook-Allowed-Rate": "600"},
        )
    ],
    "daily": [open_post(200, {"test": "test"})],
    "discord": [post(200, {"type": 1}, {"type": 1}), post(204, {"type": 0})],
    "dropbox": [get(200, "c-1", challenge="c-1")],
    "ebay": [get(200, {"challengeResponse": EBAY}, challenge_code="c-1")],
    "feishu": [open_post(200, {"type": "url_verification", "challenge": "c-1"}, {"challenge": "c-1"})],
    "figma": [post(200, {"event_type": "PING", "passcode": "x", "timestamp": "t", "webhook_id": "22"})],
    "fitbit": [get(204, verify="ours"), get(404, verify="theirs")],
    "front": [post(200, {"type": "sync"}, "c-1", x_front_challenge="c-1")],
    "generic_hmac": [HEAD],
    "github": [post(200, {"zen": "Keep it logically awesome."}, x_github_event="ping")],
    "google_calendar": [post(200, "", x_goog_resource_state="sync")],
    "greenhouse": [post(200, {"action": "ping"})],
    "intercom": [HEAD],
    "linkedin": [
        get(200, {"challengeCode": "c-1", "challengeResponse": mac("c-1").hex()}, challengeCode="c-1"),
    ],
    "mailchimp": [get(200)],
    "mandrill": [HEAD],
    "meta": [
        get(200, "c-1", hub__mode="subscribe", hub__challenge="c-1", hub__verify_token="ours"),
        get(403, hub__mode="subscribe", hub__challenge="c-1", hub__verify_token="theirs"),
    ],
    "microsoft_graph": [
        Asked("POST", 200, "Validation: a b+c", query={"validationToken": "Validation: a b+c"}),
    ],
    "monday": [open_post(200, {"challenge": "c-1"}, {"challenge": "c-1"})],
    "notion": [open_post(200, {"verification_token": "secret_1"})],
    "nylas": [get(200, "c-1", challenge="c-1")],
    "okta": [Asked("GET", 200, {"verification": "c-1"}, headers={"x-okta-verification-challenge": "c-1"})],
    "onfleet": [get(200, "c-1", check="c-1")],
    "oura": [
        get(200, {"challenge": "c-1"}, verification_token="ours", challenge="c-1"),
        get(403, verification_token="theirs", challenge="c-1"),
    ],
    "ringcentral": [open_post(200, "", answer_headers={"Validation-Token": "t-1"}, validation_token="t-1")],
    "slack": [post(200, {"type": "url_verification", "challenge": "c-1"}, "c-1")],
    "smartcar": [
        post(200, {"eventName": "verify", "payload": {"challenge": "c-1"}}, {"challenge": mac("c-1").hex()}),
        post(200, {"eventType": "VERIFY", "data": {"challenge": "c-1"}}, {"challenge": mac("c-1").hex()}),
    ],
    "smartsheet": [
        open_post(
            200,
            {"challenge": "c-1", "webhookId": 1},
            {"smartsheetHookResponse": "c-1"},
            answer_headers={"Smartsheet-Hook-Response": "c-1"},
            smartsheet_hook_challenge="c-1",
        )
    ],
    "snyk": [post(200, {"hookId": "1"}, x_snyk_event="ping/v0")],
    "strava": [
        get(200, {"hub.challenge": "c-1"}, hub__mode="subscribe", hub__challenge="c-1", hub__verify_token="ours"),
        get(403, hub__mode="subscribe", hub__challenge="c-1", hub__verify_token="theirs"),
    ],
    "surveymonkey": [HEAD],
    "terraform_cloud": [post(200, {"notifications": [{"trigger": "verification"}]})],
    "trello": [HEAD],
    "twitch": [
        post(
            200,
            {"challenge": "c-1"},
            "c-1",
            twitch_eventsub_message_type="webhook_callback_verification",
            twitch_eventsub_message_id="1",
        ),
        post(204, {}, twitch_eventsub_message_type="revocation", twitch_eventsub_message_id="1"),
    ],
    "twitter": [get(200, {"response_token": f"sha256={b64encode(mac('c-1')).decode()}"}, crc_token="c-1")],
    "unisender_go": [get(200)],
    "viber": [post(200, {"event": "webhook"})],
    "wechat": [
        Asked("GET", 200, "c-1", query={"echostr": "c-1", "timestamp": "1700000000", "nonce": "1"}, is_signed=True)
    ],
    "wise": [post(200, {"event_type": "test"}, x_test_notification="true")],
    "woocommerce": [open_post(200, "webhook_id=7", **FORM)],
    "xero": [post(200, {"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "S0M3"})],
    "youtube": [get(200, "c-1", hub__mode="subscribe", hub__topic="https://a.example", hub__challenge="c-1")],
    "zoom": [
        post(
            200,
            {"event": "endpoint.url_validation", "payload": {"plainToken": "c-1"}},
            {"plainToken": "c-1", "encryptedToken": mac("c-1").hex()},
        )
    ],
}
# Its confirmation is fetched: tests/integration/webhooks/test_sns.py.
ELSEWHERE = {"aws_sns"}
EACH = [(name, asked) for name, list_ in ASKED.items() for asked in list_]
ACK = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
    '<soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)
# What some want to be answered to every delivery.
ANSWERS = {
    "adobe_sign": Answer(200, b"", "text/plain", {"X-AdobeSign-ClientId": "an-example-client-id"}),
    "adyen": Answer(200, b"[accepted]", "text/plain"),
    "dropbox_sign": Answer(200, b"Hello API Event Received", "text/plain"),
    "fitbit": Answer(204, b"", "text/plain"),
    "google_chat": Answer(200, b"{}", "application/json"),
    "payfast": Answer(200, b"", "text/plain"),
    "salesforce": Answer(200, ACK.encode(), "text/xml"),
    "strava": Answer(200, b"", "text/plain"),
    "twilio": Answer(200, b"<Response/>", "text/xml"),
    "xero": Answer(200, b"", "text/plain"),
}


def keys(provider_id: str) -> tuple[str, str]:
    """What a webhook of this provider has as its secret, and what the provider signs with."""
    if provider_id == "discord":
        raw = ED25519.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return raw.hex(), private(ED25519)
    if provider_id == "wise":
        pem, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return RSA.public_key().public_bytes(pem, form).decode(), private(RSA)
    return "key", "key"


def private(key: Any) -> str:
    """The private key in PEM."""
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, form, plain).decode())


def answered(provider_id: str, asked: Asked, is_signed: bool) -> HandshakeAnswer | None:
    """The answer to the question, with or without its proof."""
    options = (provider_data(provider_id) or {}).get("options", {})
    config = {name: value for name, value in CONFIG.items() if name in options}
    found, delivery = fitted(provider_id, **config), asked.delivery(config)
    secret, signing_key = keys(provider_id)
    if is_signed:
        delivery = signed(found, delivery, signing_key, NOW)
    return examine(found, delivery, [secret], NOW).handshake


@pytest.mark.parametrize(("provider_id", "asked"), EACH)
def test_a_handshake_is_answered_as_the_provider_wants(provider_id: str, asked: Asked) -> None:
    """With this status, these headers and this body, and nothing else in it."""
    found = answered(provider_id, asked, asked.is_signed)
    assert found is not None
    answer = found.answer
    assert answer.status == asked.status
    assert found.accepted is (asked.status < 300)
    assert dict(answer.headers) == asked.answer_headers
    if isinstance(asked.answer, str):
        assert answer.body.decode() == asked.answer
        assert answer.content_type == "text/plain"
    else:
        assert (json.loads(answer.body), answer.content_type) == (asked.answer, "application/json")


@pytest.mark.parametrize(("provider_id", "asked"), [one for one in EACH if one[1].is_signed])
def test_a_signed_handshake_is_not_answered_without_its_proof(provider_id: str, asked: Asked) -> None:
    """Whoever cannot sign an event learns nothing from a question either."""
    assert answered(provider_id, asked, is_signed=False) is None


def test_every_handshake_is_shown() -> None:
    """For each provider of the catalog that asks, all that it asks."""
    asking = {name: len((provider_data(name) or {}).get("handshake", ())) for name in provider_ids()}
    questions = {name: {(one.method, str(one.body)) for one in list_} for name, list_ in ASKED.items()}
    assert {name for name, count in asking.items() if count} == ASKED.keys() | ELSEWHERE
    assert [name for name, found in questions.items() if len(found) < asking[name]] == []


@pytest.mark.parametrize("provider_id", [name for name in provider_ids() if "answer" in (provider_data(name) or {})])
def test_a_delivery_is_answered_as_the_provider_wants(provider_id: str) -> None:
    """In the words that it waits for, instead of our JSON."""
    found, delivery, _ = good(provider_id)
    assert found.reply is not None
    assert found.reply.answer(SignatureContext(delivery)) == ANSWERS[provider_id]


def test_what_a_first_delivery_hands_over_is_kept() -> None:
    """The secret that Asana and Notion send is the one that later deliveries are signed with."""
    kept = {name: answered(name, ASKED[name][0], is_signed=False) for name in ("asana", "notion")}
    assert {name: found and found.stores for name, found in kept.items()} == {"asana": "s-1", "notion": "secret_1"}
