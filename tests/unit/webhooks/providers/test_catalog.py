"""The provider files: whole, and true to their own vectors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from local.signing.deliveries import sign
from local.tools.catalog import providers_page
from shared.domain.webhook.provider_rules import new_secret, secret_problems
from shared.json_types import JsonObject
from shared.webhooks.delivery import Delivery
from shared.webhooks.intake.delivery_key import delivery_key, event_type
from shared.webhooks.providers.catalog import provider, provider_data, provider_ids
from shared.webhooks.providers.catalog_view import catalog
from shared.webhooks.providers.rules import provider_rules
from shared.webhooks.signatures.verification import verify
from tests.unit.webhooks.builders import SAMPLES, fitted, good, sample, vector, verdict

PROVIDERS = provider_ids()


@pytest.mark.parametrize("provider_id", PROVIDERS)
def test_the_good_vector_verifies(provider_id: str) -> None:
    """What the provider's documentation or library signed is accepted, with its key and type."""
    found, delivery, data = vector(provider_id, "good")
    verification = verdict(found, delivery, data)
    assert verification.reason is None
    body_sha256 = hashlib.sha256(delivery.body).hexdigest()
    assert delivery_key(found, delivery, body_sha256, verification.timestamp) == data["delivery_key"]
    assert event_type(found, delivery) == data.get("event_type")


@pytest.mark.parametrize("provider_id", PROVIDERS)
def test_the_forged_vector_is_refused(provider_id: str) -> None:
    """The forged vector fails for the reason that the file gives."""
    found, delivery, data = vector(provider_id, "forged")
    assert verdict(found, delivery, data).reason == data["reason"]


def test_there_are_more_providers_than_anybody_has() -> None:
    """The catalog only grows."""
    assert len(PROVIDERS) >= 300


@pytest.mark.parametrize("provider_id", [p for p in PROVIDERS if "variants" in (provider_data(p) or {})])
def test_every_variant_is_within_the_grammar(provider_id: str) -> None:
    """What `config.variant` may say makes a scheme, with the options that the good vector has."""
    data = provider_data(provider_id) or {}
    config = data["vectors"]["good"].get("config", {})
    for variant in data["variants"]:
        found = provider(provider_id, {**config, "variant": variant})
        assert found is not None
        assert found.scheme != fitted(provider_id, **config).scheme


def is_signable(data: Mapping[str, Any]) -> bool:
    """Whether the proof is a shared secret's and stands in a header whose text nothing else decides."""
    signature = data["scheme"].get("signature", {})
    place = str(signature.get("in", "header:"))
    return (
        data["scheme"]["kind"] in ("hmac", "hash", "token", "basic")
        and place.startswith("header:")
        and "|" not in place
        and signature.get("format") != "json"
        and "{signature:" not in str(data["scheme"].get("content"))
    )


SIGNABLE = [provider_id for provider_id in PROVIDERS if is_signable(provider_data(provider_id) or {})]


@pytest.mark.parametrize("provider_id", SIGNABLE)
def test_what_we_sign_verifies(provider_id: str) -> None:
    """Signing and verifying read the same data."""
    found, delivery, data = good(provider_id)
    assert found.scheme.signature is not None
    bare = {n: v for n, v in delivery.headers.items() if n != found.scheme.signature.place[7:].lower()}
    unsigned = replace(delivery, headers=bare)
    now = data["now"]
    signed = replace(delivery, headers=sign(found, unsigned, data["secret"], now))
    assert verify(found.scheme, signed, [data["secret"]], now).accepted
    assert not verify(found.scheme, unsigned, [data["secret"]], now).accepted


@pytest.mark.parametrize("provider_id", PROVIDERS)
def test_every_provider_is_described(provider_id: str) -> None:
    """A file says what people need: a title, where to read on, how to set it up, where the secret is."""
    data = provider_data(provider_id)
    assert data is not None
    assert data["id"] == provider_id
    assert data["documentation"].startswith("https://")
    assert all(data[name] for name in ("title", "category", "setup"))
    assert data["secret"]["where"]
    assert all(handshake["about"] for handshake in data.get("handshake", ()))


@pytest.mark.parametrize("provider_id", SIGNABLE)
def test_a_generated_secret_is_one_that_verifies(provider_id: str) -> None:
    """The secret that is made for a new webhook fits the provider's own rules."""
    rules = provider_rules(provider_id)
    assert rules is not None
    secret = new_secret(rules, bytes(range(32)))
    if secret is None:
        return
    assert secret_problems(rules, secret) == []
    found, delivery, data = good(provider_id)
    signed = replace(delivery, headers=sign(found, delivery, secret, data["now"]))
    assert verify(found.scheme, signed, [secret], data["now"]).accepted


@pytest.mark.parametrize("provider_id", PROVIDERS)
def test_the_secret_of_the_good_vector_has_the_form(provider_id: str) -> None:
    """What a registration asks of a secret is met by one that verifies."""
    _, _, data = good(provider_id)
    rules = provider_rules(provider_id, data.get("config", {}))
    assert rules is not None
    if "secret" in data and rules.takes_secret:
        assert secret_problems(rules, data["secret"]) == []


@pytest.mark.parametrize(
    ("provider_id", "config", "origin"),
    [
        ("github", {}, "chosen"),
        ("stripe", {}, "provider"),
        ("slack", {}, "provider"),
        ("discord", {}, "provider"),
        ("postmark", {}, "provider"),
        ("gitlab", {}, "chosen"),
        ("gitlab", {"variant": "signing_token"}, "provider"),
        ("fusionauth", {"variant": "rsa"}, "provider"),
        ("asana", {}, "handshake"),
        ("aws_sns", {}, None),
    ],
)
def test_who_makes_the_secret_decides_whether_one_is_generated(
    provider_id: str, config: JsonObject, origin: str | None
) -> None:
    """Only a secret that you may choose is made here; one that has two parts, or is the provider's, must be given."""
    rules = provider_rules(provider_id, config)
    assert rules is not None
    assert (rules.needs_secret, rules.must_be_given) == (origin == "chosen", origin == "provider")
    assert rules.takes_secret is (origin is not None)
    assert (new_secret(rules, bytes(range(32))) is not None) is (origin == "chosen")


@pytest.mark.parametrize("provider_id", ["", "nobody", "../catalog", "GITHUB", "github.toml", "a" * 100])
def test_an_unknown_provider_is_none(provider_id: str) -> None:
    """Ids come from paths: they name a file of the catalog or nothing."""
    assert provider(provider_id, {}) is None
    assert provider_rules(provider_id) is None


def test_catalog_shows_where_everything_stands() -> None:
    """The API's list says how each provider signs, and where id and type are."""
    entry = next(entry for entry in catalog() if entry["id"] == "github")
    assert entry["scheme"] == "hmac-sha256"
    assert entry["headers"] == {"signature": "X-Hub-Signature-256", "id": "X-GitHub-Delivery"}
    assert entry["event_type"] == "header:X-GitHub-Event + json:action"


def test_what_nobody_could_check_is_offered_with_a_warning() -> None:
    """A file that says `verified = false` is shown as such, with words that say what that means; others are not."""
    doubtful = {name for name in PROVIDERS if (provider_data(name) or {}).get("verified") is False}
    entries = {entry["id"]: entry for entry in catalog()}
    assert len(doubtful) >= 9
    assert {name for name, entry in entries.items() if not entry["verified"]} == doubtful
    assert [name for name in doubtful if not entries[name]["warning"]] == []
    for section in providers_page().split("\n## ")[1:]:
        entry = entries[section.partition("`provider: ")[2].partition("`")[0]]
        assert ("**Mind:**" in section) is bool(entry["warning"]), entry["id"]
        assert (entry["warning"] or "") in section


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.json") if "body" in sample(path.stem)))
def test_samples_are_really_signed(name: str) -> None:
    """The sample events verify with a secret that is named beside them, at their time, except the forged one."""
    event = sample(name)
    found = provider(event["pathParameters"]["provider"], {})
    assert found is not None
    secrets = re.findall(r"`((?:an-example|whsec_)\S+)`", (SAMPLES / "README.md").read_text())
    delivery = Delivery("POST", event["headers"], event["body"].encode())
    accepted = verify(found.scheme, delivery, secrets, event["requestContext"]["timeEpoch"] / 1000).accepted
    assert accepted is (name != "github_forged")
    assert int(event["headers"]["content-length"]) == len(delivery.body)
    assert f"`{name}`" in (SAMPLES / "README.md").read_text()
