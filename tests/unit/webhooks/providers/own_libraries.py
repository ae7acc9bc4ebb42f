"""How the senders' own libraries verify and sign: one small function each, for `test_providers_own_libraries.py`.

A verifier takes the secret and a delivery, and returns false or raises where it refuses. A signer takes the secret, a
delivery without proof and the time, and returns the headers that the library adds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from shared.webhooks.delivery import Delivery

Verifier = Callable[[str, Delivery], Any]
Signer = Callable[[str, Delivery, int], dict[str, str]]


def _text(delivery: Delivery) -> str:
    return delivery.body.decode()


def _form(delivery: Delivery) -> dict[str, str]:
    return dict(delivery.form or ())


def stripe(secret: str, delivery: Delivery) -> Any:
    import stripe

    return stripe.WebhookSignature.verify_header(_text(delivery), delivery.headers["stripe-signature"], secret, 300)


def stripe_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    import stripe

    signature = stripe.WebhookSignature._compute_signature(f"{now}.{_text(delivery)}", secret)
    return {"stripe-signature": f"t={now},v1={signature}"}


def slack(secret: str, delivery: Delivery) -> Any:
    from slack_sdk.signature import SignatureVerifier

    return SignatureVerifier(secret).is_valid_request(delivery.body, dict(delivery.headers))


def slack_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from slack_sdk.signature import SignatureVerifier

    signature = SignatureVerifier(secret).generate_signature(timestamp=str(now), body=delivery.body)
    return {"x-slack-request-timestamp": str(now), "x-slack-signature": str(signature)}


def svix(secret: str, delivery: Delivery) -> Any:
    from svix.webhooks import Webhook

    Webhook(secret).verify(delivery.body, dict(delivery.headers))


def svix_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from datetime import UTC, datetime

    from svix.webhooks import Webhook

    family = "svix" if "svix-id" in delivery.headers else "webhook"
    at = datetime.fromtimestamp(now, UTC)
    signature = Webhook(secret).sign(delivery.headers[f"{family}-id"], at, _text(delivery))
    return {f"{family}-timestamp": str(now), f"{family}-signature": signature}


def standard_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    """By the library of the specification, which the sender's own stands on."""
    from datetime import UTC, datetime

    from standardwebhooks import Webhook

    signature = Webhook(secret).sign(delivery.headers["webhook-id"], datetime.fromtimestamp(now, UTC), _text(delivery))
    return {"webhook-timestamp": str(now), "webhook-signature": signature}


def twilio(secret: str, delivery: Delivery) -> Any:
    from twilio.request_validator import RequestValidator

    signature = delivery.headers["x-twilio-signature"]
    return RequestValidator(secret).validate(delivery.full_url, _form(delivery), signature)


def twilio_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from twilio.request_validator import RequestValidator

    return {"x-twilio-signature": RequestValidator(secret).compute_signature(delivery.full_url, _form(delivery))}


def line(secret: str, delivery: Delivery) -> Any:
    from linebot.v3.webhook import SignatureValidator

    return SignatureValidator(secret).validate(_text(delivery), delivery.headers["x-line-signature"])


def square(secret: str, delivery: Delivery) -> Any:
    from square.utils.webhooks_helper import verify_signature

    return verify_signature(
        request_body=_text(delivery),
        signature_header=delivery.headers["x-square-hmacsha256-signature"],
        signature_key=secret,
        notification_url=delivery.url,
    )


def paddle(secret: str, delivery: Delivery) -> Any:
    from paddle_billing.Notifications import Secret, Verifier

    headers = {"Paddle-Signature": delivery.headers["paddle-signature"]}
    request: Any = SimpleNamespace(headers=headers, body=delivery.body, content=delivery.body, data=delivery.body)
    return Verifier().verify(request, Secret(secret))


def paddle_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from paddle_billing.Notifications.PaddleSignature import PaddleSignature

    mac = PaddleSignature.calculate_hmac(secret, f"{now}:{_text(delivery)}".encode())
    return {"paddle-signature": f"ts={now};h1={mac.hexdigest()}"}


def razorpay(secret: str, delivery: Delivery) -> Any:
    from razorpay.utility import Utility

    return Utility().verify_webhook_signature(_text(delivery), delivery.headers["x-razorpay-signature"], secret)


def cloudinary(secret: str, delivery: Delivery) -> Any:
    import cloudinary
    from cloudinary.utils import verify_notification_signature

    cloudinary.config(api_secret=secret)
    at = int(delivery.headers["x-cld-timestamp"])
    return verify_notification_signature(_text(delivery), at, delivery.headers["x-cld-signature"], algorithm="sha1")


def pusher(secret: str, delivery: Delivery) -> Any:
    import pusher

    key = delivery.headers["x-pusher-key"]
    client = pusher.Pusher(app_id="1", key=key, secret=secret)
    return client.validate_webhook(key, delivery.headers["x-pusher-signature"], _text(delivery)) is not None


def pusher_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from pusher.signature import sign

    return {"x-pusher-signature": str(sign(secret, _text(delivery)))}


def stream(secret: str, delivery: Delivery) -> Any:
    import stream_chat

    client = stream_chat.StreamChat(api_key="key", api_secret=secret)
    return client.verify_webhook(delivery.body, delivery.headers["x-signature"])


def livekit_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    import base64

    from livekit.api import AccessToken

    digest = base64.b64encode(hashlib.sha256(delivery.body).digest()).decode()
    return {"authorization": AccessToken("APIexample", secret).with_sha256(digest).to_jwt()}


def qstash(secret: str, delivery: Delivery) -> Any:
    from qstash import Receiver

    signature = delivery.headers["upstash-signature"]
    Receiver(secret, secret).verify(signature=signature, body=_text(delivery), url=delivery.url)


def vonage(secret: str, delivery: Delivery) -> Any:
    from vonage_jwt.verify_jwt import verify_signature

    return verify_signature(delivery.headers["authorization"].removeprefix("Bearer "), secret)


def messagebird(secret: str, delivery: Delivery) -> Any:
    from messagebird.request_validator import RequestValidator

    signature = delivery.headers["messagebird-signature-jwt"]
    return RequestValidator(secret).validate_signature(signature, delivery.url, delivery.body)


def resend(secret: str, delivery: Delivery) -> Any:
    import resend

    names = {"id": "svix-id", "timestamp": "svix-timestamp", "signature": "svix-signature"}
    headers: Any = {short: delivery.headers[name] for short, name in names.items()}
    resend.Webhooks.verify({"payload": _text(delivery), "headers": headers, "webhook_secret": secret})


def resend_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    import base64

    import resend

    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{delivery.headers['svix-id']}.{now}.{_text(delivery)}".encode()
    signature = resend.Webhooks._generate_signature(key, content)
    return {"svix-timestamp": str(now), "svix-signature": f"v1,{signature}"}


def replicate(secret: str, delivery: Delivery) -> Any:
    from replicate.webhook import Webhooks, WebhookSigningSecret

    Webhooks.validate(headers=dict(delivery.headers), body=_text(delivery), secret=WebhookSigningSecret(key=secret))


def coinbase_commerce(secret: str, delivery: Delivery) -> Any:
    from coinbase_commerce.webhook import WebhookSignature

    WebhookSignature.verify_sig_header(_text(delivery), delivery.headers["x-cc-webhook-signature"], secret)


def coinbase_commerce_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from coinbase_commerce.webhook import WebhookSignature

    return {"x-cc-webhook-signature": str(WebhookSignature._compute_signature(_text(delivery), secret))}


def gocardless(secret: str, delivery: Delivery) -> Any:
    from gocardless_pro import webhooks

    return webhooks.parse(_text(delivery), secret, delivery.headers["webhook-signature"])


def _braintree(secret: str) -> Any:
    import braintree

    environment, key = braintree.Environment.Sandbox, "an_example_public_key"
    configured = braintree.Configuration(environment, merchant_id="m", public_key=key, private_key=secret)
    return braintree.BraintreeGateway(configured)


def braintree(secret: str, delivery: Delivery) -> Any:
    form = _form(delivery)
    return _braintree(secret).webhook_notification.parse(form["bt_signature"], form["bt_payload"])


def easypost(secret: str, delivery: Delivery) -> Any:
    from easypost.util import validate_webhook

    headers = {"X-Hmac-Signature": delivery.headers["x-hmac-signature"]}
    return validate_webhook(event_body=delivery.body, headers=headers, webhook_secret=secret)


def smartcar(secret: str, delivery: Delivery) -> Any:
    from smartcar import verify_payload

    return verify_payload(secret, delivery.headers["sc-signature"], _text(delivery))


def smartcar_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from smartcar import hash_challenge

    return {"sc-signature": str(hash_challenge(secret, _text(delivery)))}


def airtable(secret: str, delivery: Delivery) -> Any:
    from pyairtable.models import WebhookNotification

    header = delivery.headers["x-airtable-content-mac"]
    return WebhookNotification.from_request(_text(delivery), header, secret)


def viber(secret: str, delivery: Delivery) -> Any:
    from viberbot import Api, BotConfiguration

    api = Api(BotConfiguration(name="bot", avatar="", auth_token=secret))
    return api.verify_signature(delivery.body, delivery.headers["x-viber-content-signature"])


def viber_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from viberbot import Api, BotConfiguration

    api = Api(BotConfiguration(name="bot", avatar="", auth_token=secret))
    return {"x-viber-content-signature": str(api._calculate_message_signature(delivery.body))}


def sendgrid(secret: str, delivery: Delivery) -> Any:
    from sendgrid.helpers.eventwebhook import EventWebhook

    name = "x-twilio-email-event-webhook-"
    headers = delivery.headers
    return EventWebhook(secret).verify_signature(
        _text(delivery), headers[f"{name}signature"], headers[f"{name}timestamp"]
    )


def discord(secret: str, delivery: Delivery) -> Any:
    from discord_interactions import verify_key

    signature, at = delivery.headers["x-signature-ed25519"], delivery.headers["x-signature-timestamp"]
    return verify_key(delivery.body, signature, at, secret)


def plivo(secret: str, delivery: Delivery) -> Any:
    from plivo.utils.signature_v3 import validate_v3_signature

    name = "x-plivo-signature-v3"
    nonce, signature = delivery.headers[f"{name}-nonce"], delivery.headers[name]
    return validate_v3_signature("POST", delivery.full_url, nonce, secret, signature, _form(delivery))


def plivo_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from plivo.utils.signature_v3 import construct_post_url, get_signature_v3

    name = "x-plivo-signature-v3"
    url = construct_post_url(delivery.full_url, _form(delivery)).decode()
    return {name: get_signature_v3(secret.encode(), url, delivery.headers[f"{name}-nonce"]).decode()}


def adyen(secret: str, delivery: Delivery) -> Any:
    from Adyen.util import is_valid_hmac_notification

    items = json.loads(delivery.body)["notificationItems"]
    return all(is_valid_hmac_notification(item["NotificationRequestItem"], secret) for item in items)


def onfido(secret: str, delivery: Delivery) -> Any:
    from onfido.webhook_event_verifier import WebhookEventVerifier

    return WebhookEventVerifier(secret).read_payload(_text(delivery), delivery.headers["x-sha2-signature"])


def box(secret: str, delivery: Delivery) -> Any:
    from box_sdk_gen.managers.webhooks import WebhooksManager

    return WebhooksManager.validate_message(_text(delivery), dict(delivery.headers), secret)


def box_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from datetime import UTC, datetime

    from box_sdk_gen.internal.utils import compute_webhook_signature

    at = datetime.fromtimestamp(now, UTC).isoformat()
    headers = {**delivery.headers, "box-delivery-timestamp": at}
    signature = compute_webhook_signature(_text(delivery), headers, secret)
    return {"box-delivery-timestamp": at, "box-signature-primary": str(signature)}


def retell(secret: str, delivery: Delivery) -> Any:
    from retell.lib.webhook_auth import verify

    return verify(_text(delivery), secret, delivery.headers["x-retell-signature"])


def finch(secret: str, delivery: Delivery) -> Any:
    from finch import Finch

    Finch(access_token="token").webhooks.verify_signature(_text(delivery), dict(delivery.headers), secret=secret)


def imagekit(secret: str, delivery: Delivery) -> Any:
    from imagekitio import ImageKit

    ImageKit(private_key="key").webhooks.unwrap(_text(delivery), headers=dict(delivery.headers), key=secret)


def imagekit_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    import base64

    # As its library does before it verifies.
    return standard_sign(base64.b64encode(secret.encode()).decode(), delivery, now)


def dodo(secret: str, delivery: Delivery) -> Any:
    from dodopayments import DodoPayments

    client = DodoPayments(bearer_token="token")
    client.webhooks.unwrap(_text(delivery), headers=dict(delivery.headers), key=secret)


def increase(secret: str, delivery: Delivery) -> Any:
    from increase import Increase

    Increase(api_key="key").events.unwrap(_text(delivery), headers=dict(delivery.headers), key=secret)


def modern_treasury(secret: str, delivery: Delivery) -> Any:
    from modern_treasury import ModernTreasury

    client = ModernTreasury(api_key="key", organization_id="id")
    return client.webhooks.validate_signature(_text(delivery), dict(delivery.headers), key=secret)


def modern_treasury_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from modern_treasury import ModernTreasury

    client = ModernTreasury(api_key="key", organization_id="id")
    return {"x-signature": client.webhooks.get_signature(_text(delivery), key=secret)}


def lithic(secret: str, delivery: Delivery) -> Any:
    from lithic import Lithic

    client = Lithic(api_key="key")
    client.webhooks.verify_signature(_text(delivery), dict(delivery.headers), secret=secret)


def orb(secret: str, delivery: Delivery) -> Any:
    from orb import Orb

    Orb(api_key="key").webhooks.verify_signature(_text(delivery), dict(delivery.headers), secret=secret)


def polar(secret: str, delivery: Delivery) -> Any:
    from polar.webhooks import _verify_signature

    _verify_signature(_text(delivery), dict(delivery.headers), secret)


def workos(secret: str, delivery: Delivery) -> Any:
    from workos.webhooks._verification import verify_header

    verify_header(
        event_body=delivery.body, event_signature=delivery.headers["workos-signature"], secret=secret, tolerance=180
    )


def workos_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    from workos.actions import _compute_signature

    milliseconds = now * 1000
    signature = _compute_signature(f"{milliseconds}.{_text(delivery)}", secret)
    return {"workos-signature": f"t={milliseconds}, v1={signature}"}


def atlassian_sign(secret: str, delivery: Delivery, now: int) -> dict[str, str]:
    import atlassian_jwt

    path = "/" + delivery.url.split("/", 3)[3]
    return {"authorization": f"JWT {atlassian_jwt.encode_token('POST', path, 'client', secret)}"}
