"""Which deliveries are the same one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.webhooks.delivery import Delivery
from shared.webhooks.intake.delivery_key import delivery_key, event_type
from tests.unit.webhooks.builders import fitted

GITHUB = fitted("github")


def github(delivery_id: str | None = "one", body: bytes = b"{}", event: str = "push") -> Delivery:
    """A delivery of GitHub's."""
    headers = {"x-github-event": event, **({"x-github-delivery": delivery_id} if delivery_id else {})}
    return Delivery("POST", headers, body)


def test_an_unsigned_id_is_joined_with_the_body() -> None:
    """GitHub does not sign its id: a new id for an old body, or an old id for a new body, is another delivery."""
    keys = {delivery_key(GITHUB, github(which), body, None) for which in ("one", "two") for body in ("a", "b")}
    assert keys == {"one:a", "one:b", "two:a", "two:b"}


def test_without_an_id_the_body_is_the_key() -> None:
    """Where the provider names nothing, the bytes do."""
    assert delivery_key(GITHUB, github(None), "a", None) == "a"


def test_a_signed_id_is_the_key() -> None:
    """A signed id alone is the key, whatever the body: other bytes under it are a contradiction."""
    delivery = Delivery("POST", {"webhook-id": "msg_1"}, b"{}")
    assert delivery_key(fitted("standard_webhooks"), delivery, "a", "17") == "msg_1"


def test_a_signed_timestamp_is_part_of_the_key() -> None:
    """The same bytes at another signed time are another delivery."""
    provider = fitted("generic_hmac", content="{ts}{body}", timestamp_header="T", timestamp_unit="s")
    assert delivery_key(provider, Delivery("POST", {}, b""), "a", "17") == "17:a"


def test_a_json_id_is_signed_with_the_body() -> None:
    """An id inside a signed body may be believed."""
    provider = fitted("generic_hmac", delivery_id="json:event.id")
    assert delivery_key(provider, Delivery("POST", {}, b'{"event": {"id": "e1"}}'), "a", None) == "e1"


def test_a_long_id_is_hashed() -> None:
    """Keys stay short whatever a sender writes."""
    assert len(delivery_key(GITHUB, github("x" * 9000), "a", None)) < 100
    assert len(delivery_key(GITHUB, github("\ud800" * 9000), "a", None)) < 100


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"action": "opened"}', "pull_request.opened"),
        (b'{"other": "action"}', "pull_request"),
        (b'{"action": {"nested": 1}}', "pull_request"),
        (b'{"action": null}', "pull_request"),
        (b'{"action"', "pull_request"),
        (b"[" * 100_000, "pull_request"),
    ],
)
def test_event_type_joins_what_is_there(body: bytes, expected: str) -> None:
    """The event's name, and the action where the body has one."""
    assert event_type(GITHUB, github(event="pull_request", body=body)) == expected


def test_event_type_may_be_missing() -> None:
    """Nothing said is nothing known."""
    assert event_type(fitted("generic_hmac"), replace(github(), headers={})) is None
