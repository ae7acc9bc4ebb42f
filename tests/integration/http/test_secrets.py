"""/api/secrets: values go in, and never out."""

from __future__ import annotations

import json

import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from shared.aws.secrets import decrypt, encrypt
from shared.bootstrap import services
from shared.commands.secrets.changes import append
from shared.domain.actor import Actor
from shared.domain.secret import Secret, secret_context
from shared.errors import SecretUnreadableError
from shared.events.secret import SecretSet
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests.integration.http.client import Client

VALUE = "a-value-that-nobody-sees"
HOSTS = ["api.example.com", "*.example.org:8443"]


@pytest.fixture
def client(api: object) -> Client:
    """A new tenant's administrator."""
    return Client()


def test_secret_is_shown_by_name_and_dates_alone(client: Client) -> None:
    """Set, set again, listed: the value is in no answer."""
    first = client.request("PUT", "/api/secrets/shop_token", {"value": VALUE, "allowed_hosts": HOSTS})
    again = client.request("PUT", "/api/secrets/shop_token", {"value": VALUE + "2"})
    listed = client.request("GET", "/api/secrets")
    assert (first.status, again.status, listed.status) == (200, 200, 200)
    assert set(first.json) == {"name", "allowed_hosts", "created_at", "updated_at"}
    assert again.json["allowed_hosts"] == HOSTS  # not given again, and kept
    assert again.json["created_at"] == first.json["created_at"]
    assert listed.json["items"] == [again.json]
    assert VALUE not in first.text + again.text + listed.text


def test_value_is_stored_encrypted_for_its_place_and_in_no_event(
    client: Client, supabase_gateway: SupabaseGateway
) -> None:
    """Not even the service's own rows have it in clear, and it opens nowhere else."""
    client.request("PUT", "/api/secrets/token", {"value": VALUE, "allowed_hosts": HOSTS})
    stored = run(services().secrets.values(client.tenant_id, ["token"]))["token"].value
    assert run(decrypt(stored, secret_context(client.tenant_id, "token"))) == VALUE
    for context in (secret_context(client.tenant_id, "other"), secret_context(Client().tenant_id, "token")):
        with pytest.raises(SecretUnreadableError):
            run(decrypt(stored, context))
    with psycopg.connect(supabase_gateway.database_url) as connection:
        tables = ("event_store", "secrets", "payloads")
        rows = [connection.execute(f"select to_jsonb(t) from {table} t").fetchall() for table in tables]  # type: ignore[arg-type]
    assert VALUE not in json.dumps(rows, default=str)
    feed = client.request("GET", "/api/events").json["items"]
    assert [(event["event_type"], event["payload"]) for event in feed] == [
        ("SecretSet", {"name": "token", "allowed_hosts": HOSTS})
    ]


def test_deleted_secret_is_gone_with_its_value(client: Client) -> None:
    """It can be set again, as a new one; deleting twice is as good as once."""
    client.request("PUT", "/api/secrets/token", {"value": VALUE, "allowed_hosts": HOSTS})
    assert [client.request("DELETE", "/api/secrets/token").status for _ in range(2)] == [204, 204]
    assert client.request("GET", "/api/secrets").json["items"] == []
    assert run(services().secrets.values(client.tenant_id, ["token"])) == {}
    assert client.request("PUT", "/api/secrets/token", {"value": VALUE, "allowed_hosts": HOSTS}).status == 200
    assert len(client.request("GET", "/api/secrets").json["items"]) == 1


@pytest.mark.parametrize("name", ["1a", "a-b", "a.b", "ä", "a" * 101])
def test_malformed_name_is_refused(client: Client, name: str) -> None:
    """It could not be written in an expression."""
    assert client.request("PUT", f"/api/secrets/{name}", {"value": VALUE, "allowed_hosts": HOSTS}).status == 400


@pytest.mark.parametrize("value", ["", "abc", "x" * 16_385, 7])
def test_value_of_another_size_is_refused(client: Client, value: object) -> None:
    """And the refusal does not repeat it."""
    refused = client.request("PUT", "/api/secrets/token", {"value": value, "allowed_hosts": HOSTS})
    assert (refused.status, refused.pointers) == (400, ["/value"])
    assert "x" * 100 not in refused.text


def test_secrets_of_tenants_are_apart(client: Client) -> None:
    """The same name is another secret."""
    other = Client()
    client.request("PUT", "/api/secrets/token", {"value": VALUE, "allowed_hosts": HOSTS})
    assert other.request("GET", "/api/secrets").json["items"] == []
    assert other.request("DELETE", "/api/secrets/token").status == 404
    assert run(services().secrets.values(other.tenant_id, ["token"])) == {}


def test_secret_that_never_was_is_not_found(client: Client) -> None:
    """Deleting it changes nothing."""
    assert client.request("DELETE", "/api/secrets/never").status == 404


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"value": VALUE}, ["/allowed_hosts"]),
        ({"allowed_hosts": ["*"]}, ["/value"]),
        ({}, ["/value", "/allowed_hosts"]),
    ],
)
def test_new_secret_needs_a_value_and_hosts(client: Client, body: JsonObject, pointers: list[str]) -> None:
    """Also one that was deleted: what it was bound to is gone with it."""
    assert client.request("PUT", "/api/secrets/gone", {"value": VALUE, "allowed_hosts": HOSTS}).status == 200
    assert client.request("DELETE", "/api/secrets/gone").status == 204
    for name in ("token", "gone"):
        refused = client.request("PUT", f"/api/secrets/{name}", body)
        assert (refused.status, refused.pointers) == (422, pointers)
    assert client.request("GET", "/api/secrets").json["items"] == []


@pytest.mark.parametrize(
    "host",
    [
        *(
            "https://api.example.com",
            "api.example.com/",
            "a b",
            "*",
            "*.com",
            "a.*.com",
            "**.example.com",
            "user@a.com",
        ),
        *("", "a.com:0", "a.com:65536", "a.com:x", "bücher.example", "a..b", "-a.com", "[::1", "a" * 64 + ".com", 7),
    ],
)
def test_malformed_host_is_refused(client: Client, host: object) -> None:
    """With its place; `*` alone is the one that says every host."""
    answer = client.request("PUT", "/api/secrets/token", {"value": VALUE, "allowed_hosts": ["a.com", host]})
    assert (answer.status, answer.pointers) == ((200, []) if host == "*" else (400, ["/allowed_hosts/1"]))


def test_binding_changes_without_the_value(client: Client) -> None:
    """Nobody needs to know a value to bind it; one that was set before there were bindings is shown as such."""
    client.request("PUT", "/api/secrets/token", {"value": VALUE, "allowed_hosts": HOSTS})
    before = run(services().secrets.values(client.tenant_id, ["token"]))["token"]
    bound = client.request("PUT", "/api/secrets/token", {"allowed_hosts": ["API.example.com"]})
    after = run(services().secrets.values(client.tenant_id, ["token"]))["token"]
    assert bound.json["allowed_hosts"] == ["api.example.com"]
    assert (after.value, after.allowed_hosts) == (before.value, ("api.example.com",))


def test_secret_from_before_bindings_keeps_working_and_is_shown(
    client: Client, supabase_gateway: SupabaseGateway
) -> None:
    """Its value may be changed without a list; a list binds it, and older functions cannot take that away."""
    actor = Actor(client.tenant_id, "user:1", "admin", frozenset())
    sealed = run(encrypt(VALUE, secret_context(client.tenant_id, "old")))
    run(append(services(), actor, "old", None, SecretSet("old"), sealed))
    assert client.request("GET", "/api/secrets").json["items"][0]["allowed_hosts"] is None
    assert client.request("PUT", "/api/secrets/old", {"value": VALUE + "2"}).json["allowed_hosts"] is None
    assert client.request("PUT", "/api/secrets/old", {"allowed_hosts": HOSTS}).json["allowed_hosts"] == HOSTS
    row = run(services().secrets.get(client.tenant_id, "old"))
    assert row is not None
    without = Secret(**{**row, "allowed_hosts": None})
    run(append(services(), actor, "old", without, SecretSet("old"), sealed))
    assert client.request("GET", "/api/secrets").json["items"][0]["allowed_hosts"] == HOSTS
