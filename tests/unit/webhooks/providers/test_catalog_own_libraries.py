"""Cross-checked with the senders' own libraries: what we sign they accept, what they sign we accept.

The libraries are the dependency group `providers`; `make test` installs it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from local.signing.deliveries import sign
from shared.webhooks.delivery import Delivery
from shared.webhooks.signatures.verification import verify
from tests.unit.webhooks.builders import fitted, good
from tests.unit.webhooks.providers import own_libraries as theirs

# Libraries warn about Python's future, which is theirs to deal with.
pytestmark = [pytest.mark.filterwarnings("ignore")]

# Provider → what its library is imported as, and its verifier.
VERIFIERS: dict[str, tuple[str, theirs.Verifier]] = {
    "airtable": ("pyairtable", theirs.airtable),
    "box": ("box_sdk_gen", theirs.box),
    "clerk": ("svix", theirs.svix),
    "cloudinary": ("cloudinary", theirs.cloudinary),
    "coinbase_commerce": ("coinbase_commerce", theirs.coinbase_commerce),
    "dodo_payments": ("dodopayments", theirs.dodo),
    "easypost": ("easypost", theirs.easypost),
    "finch": ("finch", theirs.finch),
    "gocardless": ("gocardless_pro", theirs.gocardless),
    "imagekit": ("imagekitio", theirs.imagekit),
    "increase": ("increase", theirs.increase),
    "line": ("linebot", theirs.line),
    "lithic": ("lithic", theirs.lithic),
    "messagebird": ("messagebird", theirs.messagebird),
    "modern_treasury": ("modern_treasury", theirs.modern_treasury),
    "onfido": ("onfido", theirs.onfido),
    "openai": ("svix", theirs.svix),
    "orb": ("orb", theirs.orb),
    "paddle": ("paddle_billing", theirs.paddle),
    "plivo": ("plivo", theirs.plivo),
    "polar": ("polar", theirs.polar),
    "pusher": ("pusher", theirs.pusher),
    "qstash": ("qstash", theirs.qstash),
    "razorpay": ("razorpay", theirs.razorpay),
    "replicate": ("replicate", theirs.replicate),
    "resend": ("resend", theirs.resend),
    "retell": ("retell", theirs.retell),
    "slack": ("slack_sdk", theirs.slack),
    "smartcar": ("smartcar", theirs.smartcar),
    "square": ("square", theirs.square),
    "stream": ("stream_chat", theirs.stream),
    "stripe": ("stripe", theirs.stripe),
    "twilio": ("twilio", theirs.twilio),
    "viber": ("viberbot", theirs.viber),
    "vonage": ("vonage_jwt", theirs.vonage),
    "workos": ("workos", theirs.workos),
}
SIGNERS: dict[str, tuple[str, theirs.Signer]] = {
    "box": ("box_sdk_gen", theirs.box_sign),
    "clerk": ("svix", theirs.svix_sign),
    "coinbase_commerce": ("coinbase_commerce", theirs.coinbase_commerce_sign),
    "dodo_payments": ("standardwebhooks", theirs.standard_sign),
    "imagekit": ("standardwebhooks", theirs.imagekit_sign),
    "increase": ("standardwebhooks", theirs.standard_sign),
    "jira_connect": ("atlassian_jwt", theirs.atlassian_sign),
    "lithic": ("standardwebhooks", theirs.standard_sign),
    "livekit": ("livekit.api", theirs.livekit_sign),
    "modern_treasury": ("modern_treasury", theirs.modern_treasury_sign),
    "openai": ("svix", theirs.svix_sign),
    "paddle": ("paddle_billing", theirs.paddle_sign),
    "plivo": ("plivo", theirs.plivo_sign),
    "pusher": ("pusher", theirs.pusher_sign),
    "resend": ("resend", theirs.resend_sign),
    "slack": ("slack_sdk", theirs.slack_sign),
    "smartcar": ("smartcar", theirs.smartcar_sign),
    "stripe": ("stripe", theirs.stripe_sign),
    "svix": ("svix", theirs.svix_sign),
    "twilio": ("twilio", theirs.twilio_sign),
    "viber": ("viberbot", theirs.viber_sign),
    "workos": ("workos", theirs.workos_sign),
}
# These sign and verify in tests of their own, below and in test_verification_standardwebhooks.py.
BOTH_WAYS = {"adyen", "braintree", "retell", "standard_webhooks"}
# This library looks at the token alone, and leaves the body to its user.
BODY_UNCHECKED = {"vonage"}


def accepts(verifier: theirs.Verifier, secret: str, delivery: Delivery) -> bool:
    """Whether a library takes the delivery; each has its own way to say no."""
    try:
        return verifier(secret, delivery) is not False
    except Exception:  # noqa: BLE001  # every library has its own errors
        return False


def changed(delivery: Delivery) -> Delivery:
    """The delivery with another body of the same kind."""
    body = delivery.body.replace(b"1", b"2") if b"1" in delivery.body else delivery.body.replace(b"e", b"a")
    return replace(delivery, body=body)


def unsigned(provider_id: str) -> tuple[Any, Delivery, str]:
    """A provider, the delivery of its good vector without the proof, and the vector's secret."""
    found, delivery, data = good(provider_id)
    assert found.scheme.signature is not None
    names = {place.partition(":")[2].lower() for place in found.scheme.signature.places}
    headers = {name: value for name, value in delivery.headers.items() if name not in names}
    # Some bodies tell the time too, and some libraries look at it.
    body = delivery.body.replace(b"1700000000000", str(int(time.time() * 1000)).encode())
    return found, replace(delivery, headers=headers, body=body), data["secret"]


@pytest.mark.parametrize("provider_id", sorted(VERIFIERS))
def test_ours_signs_theirs_verifies(provider_id: str) -> None:
    """What we sign is accepted by the sender's library, and with another body it is not."""
    module, verifier = VERIFIERS[provider_id]
    importlib.import_module(module)
    found, delivery, secret = unsigned(provider_id)
    signed = replace(delivery, headers=dict(sign(found, delivery, secret, time.time())))
    assert verifier(secret, signed) is not False
    if provider_id not in BODY_UNCHECKED:
        assert not accepts(verifier, secret, changed(signed))


@pytest.mark.parametrize("provider_id", sorted(SIGNERS))
def test_theirs_signs_ours_verifies(provider_id: str) -> None:
    """What the sender's library signs is accepted by us, and under another secret it is not."""
    module, signer = SIGNERS[provider_id]
    importlib.import_module(module)
    found, delivery, secret = unsigned(provider_id)
    now = int(time.time())
    signed = replace(delivery, headers={**delivery.headers, **signer(secret, delivery, now)})
    assert verify(found.scheme, signed, [secret], now).reason is None
    assert not verify(found.scheme, replace(signed, claims={}), [secret[:-2] + "Zz"], now).accepted


def test_as_many_agree_as_are_promised() -> None:
    """What we sign is looked at by at least as many libraries, and as many providers' libraries sign for us."""
    assert len({module for module, _ in VERIFIERS.values()}) >= 25
    assert len(SIGNERS.keys() | BOTH_WAYS) >= 25


@pytest.mark.parametrize("which", ["discord", "sendgrid"])
def test_public_keys_agree(which: str) -> None:
    """What is signed with a private key verifies here and there with its public one."""
    found, delivery, _ = unsigned(which)
    key = ed25519.Ed25519PrivateKey.generate() if which == "discord" else ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = public_text(key.public_key())
    now = time.time()
    signed = replace(delivery, headers=dict(sign(found, delivery, pem, now)))
    verifier = theirs.discord if which == "discord" else theirs.sendgrid
    assert verifier(public, signed) is not False
    assert not accepts(verifier, public, changed(signed))
    assert verify(found.scheme, signed, [public], now).accepted


def public_text(key: Any) -> str:
    """A public key as the sender's settings show it: Discord in hex, SendGrid in base64 of DER."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def test_adyen_signs_each_item() -> None:
    """Adyen's library signs a notification that we accept, and accepts the one of the vector."""
    util = importlib.import_module("Adyen.util")
    found, delivery, data = good("adyen")
    assert theirs.adyen(data["secret"], delivery)
    assert not accepts(theirs.adyen, data["secret"], changed(delivery))
    item = {"pspReference": "8", "amount": {"value": 5, "currency": "EUR"}, "eventCode": "CAPTURE", "success": "true"}
    item["additionalData"] = {"hmacSignature": util.generate_notification_sig(item, data["secret"]).decode()}
    body = json.dumps({"notificationItems": [{"NotificationRequestItem": item}] * 2}).encode()
    assert verify(found.scheme, replace(delivery, body=body), [data["secret"]], 0).accepted


def test_braintree_samples_verify() -> None:
    """The sample notifications of Braintree's library verify, and its challenge is answered as it wants."""
    found, delivery, data = good("braintree")
    gateway = theirs._braintree(data["secret"])
    sample = gateway.webhook_testing.sample_notification("subscription_canceled", "my_id")
    sample = {name: text.decode() if isinstance(text, bytes) else text for name, text in sample.items()}
    signed = replace(delivery, body=urlencode(sample).encode())
    assert verify(found.scheme, signed, [data["secret"]], 0).accepted
    assert theirs.braintree(data["secret"], signed).subscription.id == "my_id"
    assert not verify(found.scheme, signed, ["another"], 0).accepted


def test_retell_signs_what_we_accept() -> None:
    """Retell's library signs body and time."""
    auth = importlib.import_module("retell.lib.webhook_auth")
    found, delivery, secret = unsigned("retell")
    now = int(time.time() * 1000)
    signature = auth.symmetric["sign"](delivery.body.decode(), secret, now)
    signed = replace(delivery, headers={**delivery.headers, "x-retell-signature": signature})
    assert verify(found.scheme, signed, [secret], now / 1000).accepted


def test_twilio_signs_json_by_its_hash() -> None:
    """A JSON body is signed by its hash in the URL's query; a form's body is not taken under it."""
    twilio = importlib.import_module("twilio.request_validator")
    body = b'{"status": "delivered"}'
    digest = hashlib.sha256(body).hexdigest()
    url = "https://hooks.example.com/intake/twilio"
    signature = twilio.RequestValidator("token").compute_signature(f"{url}?bodySHA256={digest}", {})
    headers = {"content-type": "application/json", "x-twilio-signature": signature}
    delivery = Delivery("POST", headers, body, {"bodySHA256": digest}, url, {}, f"bodySHA256={digest}")
    scheme = fitted("twilio").scheme
    assert verify(scheme, delivery, ["token"], 0).accepted
    assert not verify(scheme, replace(delivery, body=b"{}"), ["token"], 0).accepted
