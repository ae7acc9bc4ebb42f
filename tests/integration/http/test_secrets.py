"""/api/secrets: values go in, and never out."""

from __future__ import annotations

import json

import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from shared.aws.secrets import decrypt
from shared.bootstrap import services
from shared.domain.secret import secret_context
from shared.errors import SecretUnreadableError
from shared.platform.runtime import run
from tests.integration.http.client import Client

VALUE = "a-value-that-nobody-sees"


@pytest.fixture
def client(api: object) -> Client:
    """A new tenant's administrator."""
    return Client()


def test_secret_is_shown_by_name_and_dates_alone(client: Client) -> None:
    """Set, set again, listed: the value is in no answer."""
    first = client.request("PUT", "/api/secrets/shop_token", {"value": VALUE})
    again = client.request("PUT", "/api/secrets/shop_token", {"value": VALUE + "2"})
    listed = client.request("GET", "/api/secrets")
    assert (first.status, again.status, listed.status) == (200, 200, 200)
    assert set(first.json) == {"name", "created_at", "updated_at"}
    assert again.json["created_at"] == first.json["created_at"]
    assert listed.json["items"] == [again.json]
    assert VALUE not in first.text + again.text + listed.text


def test_value_is_stored_encrypted_for_its_place_and_in_no_event(
    client: Client, supabase_gateway: SupabaseGateway
) -> None:
    """Not even the service's own rows have it in clear, and it opens nowhere else."""
    client.request("PUT", "/api/secrets/token", {"value": VALUE})
    stored = run(services().secrets.values(client.tenant_id, ["token"]))["token"]
    assert run(decrypt(stored, secret_context(client.tenant_id, "token"))) == VALUE
    for context in (secret_context(client.tenant_id, "other"), secret_context(Client().tenant_id, "token")):
        with pytest.raises(SecretUnreadableError):
            run(decrypt(stored, context))
    with psycopg.connect(supabase_gateway.database_url) as connection:
        tables = ("event_store", "secrets", "payloads")
        rows = [connection.execute(f"select to_jsonb(t) from {table} t").fetchall() for table in tables]  # type: ignore[arg-type]
    assert VALUE not in json.dumps(rows, default=str)
    feed = client.request("GET", "/api/events").json["items"]
    assert [(event["event_type"], event["payload"]) for event in feed] == [("SecretSet", {"name": "token"})]


def test_deleted_secret_is_gone_with_its_value(client: Client) -> None:
    """It can be set again, as a new one; deleting twice is as good as once."""
    client.request("PUT", "/api/secrets/token", {"value": VALUE})
    assert [client.request("DELETE", "/api/secrets/token").status for _ in range(2)] == [204, 204]
    assert client.request("GET", "/api/secrets").json["items"] == []
    assert run(services().secrets.values(client.tenant_id, ["token"])) == {}
    assert client.request("PUT", "/api/secrets/token", {"value": VALUE}).status == 200
    assert len(client.request("GET", "/api/secrets").json["items"]) == 1


@pytest.mark.parametrize("name", ["1a", "a-b", "a.b", "ä", "a" * 101])
def test_malformed_name_is_refused(client: Client, name: str) -> None:
    """It could not be written in an expression."""
    assert client.request("PUT", f"/api/secrets/{name}", {"value": VALUE}).status == 400


@pytest.mark.parametrize("value", ["", "abc", "x" * 16_385, 7, None])
def test_value_of_another_size_is_refused(client: Client, value: object) -> None:
    """And the refusal does not repeat it."""
    refused = client.request("PUT", "/api/secrets/token", {"value": value})
    assert (refused.status, refused.pointers) == (400, ["/value"])
    assert "x" * 100 not in refused.text


def test_secrets_of_tenants_are_apart(client: Client) -> None:
    """The same name is another secret."""
    other = Client()
    client.request("PUT", "/api/secrets/token", {"value": VALUE})
    assert other.request("GET", "/api/secrets").json["items"] == []
    assert other.request("DELETE", "/api/secrets/token").status == 404
    assert run(services().secrets.values(other.tenant_id, ["token"])) == {}


def test_secret_that_never_was_is_not_found(client: Client) -> None:
    """Deleting it changes nothing."""
    assert client.request("DELETE", "/api/secrets/never").status == 404
