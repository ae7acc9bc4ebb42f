"""SNS's subscription, confirmed over TLS at SNS's own host and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.bootstrap import Services
from shared.json_types import JsonObject
from shared.nodes import outbound
from shared.nodes.dns_resolver import Resolver
from shared.platform.runtime import run
from shared.settings import settings
from tests.integration.webhooks.sender import Answer, Sender, ledger
from tests.integration.webhooks.sns import CERTIFICATE, HOST, TOPIC, Sns, name_server, sns

CONFIRMED = f"/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"


@pytest.fixture
def amazon(tmp_path: Path) -> Iterator[Sns]:
    """SNS, at its own name, in a network that is the loopback one."""
    try:
        with sns(tmp_path) as (found, trust):
            # The name server and the trusted certificates are the network's; what is judged of them is not touched.
            outbound.use(outbound.Outbound(Resolver(name_server), trust))
            yield found
            run(outbound.close())
    except PermissionError:
        pytest.skip(
            "this user may not listen on port 443, where SNS is: run it as root, "
            "or after `sudo sysctl net.ipv4.ip_unprivileged_port_start=443`"
        )


@pytest.fixture
def subscriber(wired: Services, amazon: Sns) -> Sender:
    """A webhook of a tenant that may reach this machine, as none may unless the operator says so."""
    sender = Sender.of(wired, "aws_sns", topic_arn=TOPIC)
    wired.settings = wired.settings._replace(outbound_allow=(f"{sender.actor.tenant_id}={HOST}",))
    return sender


def deliver(sender: Sender, message: JsonObject) -> Answer:
    """What SNS is answered."""
    headers = {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": message["Type"]}
    return sender.send(json.dumps(message).encode(), signed=headers)


def test_subscription_to_the_topic_is_confirmed(subscriber: Sender, amazon: Sns) -> None:
    """The certificate is fetched, then the confirmation; a notification afterwards starts a run, with the same
    certificate."""
    assert deliver(subscriber, amazon.signed(amazon.message("SubscriptionConfirmation"))).status == 200
    assert amazon.asked == [CERTIFICATE, CONFIRMED]
    assert deliver(subscriber, amazon.signed(amazon.message("Notification", Subject="paid"))).status == 202
    assert amazon.asked == [CERTIFICATE, CONFIRMED]
    assert [line["verdict"] for line in ledger(subscriber)] == ["handshake"]


def test_forged_subscription_is_not_confirmed(subscriber: Sender, amazon: Sns) -> None:
    """Not with another signature, and not for another topic: its owner would send his events to this webhook."""
    forged = {**amazon.message("SubscriptionConfirmation"), "Signature": "AAAA"}
    other = amazon.signed(amazon.message("SubscriptionConfirmation", TopicArn=f"{TOPIC}s"))
    assert [deliver(subscriber, message).status for message in (forged, other)] == [401, 401]
    assert CONFIRMED not in amazon.asked


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/confirm",
        f"http://{HOST}/",
        f"https://{HOST}.evil.example/",
        "https://sns.s3-us-west-2.amazonaws.com/confirm",  # a bucket with the name sns
        "https://sns.s3.amazonaws.com/confirm",
    ],
)
def test_subscription_is_confirmed_at_amazons_host_alone(subscriber: Sender, amazon: Sns, url: str) -> None:
    """However well it is signed, no other place is asked for."""
    deliver(subscriber, amazon.signed(amazon.message("SubscriptionConfirmation", SubscribeURL=url)))
    assert amazon.asked == [CERTIFICATE]


def test_certificate_is_fetched_from_amazons_host_alone(subscriber: Sender, amazon: Sns) -> None:
    """A message that names another place is refused unseen."""
    for host in ("evil.example", "sns.s3-us-west-2.amazonaws.com"):
        message = amazon.message("Notification", SigningCertURL=f"https://{host}{CERTIFICATE}")
        assert deliver(subscriber, amazon.signed(message)).status == 401
    assert amazon.asked == []
    assert {line["reason"] for line in ledger(subscriber)} == {"key_unavailable"}


def test_confirmation_that_moves_is_not_followed(subscriber: Sender, amazon: Sns) -> None:
    """A redirect is no confirmation; SNS tries again."""
    amazon.moves = True
    assert deliver(subscriber, amazon.signed(amazon.message("SubscriptionConfirmation"))).status == 401
    assert amazon.asked == [CERTIFICATE, CONFIRMED]


def test_name_that_leads_inwards_is_not_asked(wired: Services, amazon: Sns) -> None:
    """A tenant without the operator's leave reaches no private address, whatever the name server says."""
    sender = Sender.of(wired, "aws_sns", topic_arn=TOPIC)
    assert settings().outbound_allow == ()
    assert deliver(sender, amazon.signed(amazon.message("Notification"))).status == 401
    assert amazon.asked == []
