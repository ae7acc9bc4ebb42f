"""`python -m local reseal`: the key of all secrets is replaced while they are in use."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from local.tools import reseal
from shared.aws.secrets import decrypt, forget_keys
from shared.domain.secret import secret_context
from shared.domain.webhook import provider_rules
from shared.errors import SecretUnreadableError
from shared.platform.runtime import run
from shared.settings import settings
from tests.integration.http.client import Client

OLD, NEW, OTHER = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
GRAPH = {"nodes": [{"id": "hook", "type": "webhook_trigger"}], "edges": []}


@pytest.fixture
def keys(api: object, monkeypatch: pytest.MonkeyPatch, supabase_gateway: SupabaseGateway) -> Iterator[object]:
    """Configures the keys for this test. What other tests encrypted, under keys unknown here, is put aside."""

    def configure(text: str) -> None:
        monkeypatch.setenv("SECRETS_KEY", text)
        settings.cache_clear()
        forget_keys()

    with psycopg.connect(supabase_gateway.database_url, autocommit=True) as connection:
        hooks = connection.execute("select secret, previous_secret, id from webhooks").fetchall()
        values = connection.execute("select value, status, id from secrets").fetchall()
        connection.execute("update webhooks set secret = null, previous_secret = null")
        connection.execute("update secrets set value = null, status = 'deleted'")
    configure(OLD)
    yield configure
    with psycopg.connect(supabase_gateway.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany("update webhooks set secret = %s, previous_secret = %s where id = %s", hooks)
        cursor.executemany("update secrets set value = %s, status = %s where id = %s", values)
    forget_keys()
    settings.cache_clear()


def _command(gateway: SupabaseGateway, *arguments: str) -> int:
    return reseal.main([*arguments, "--url", gateway.url, "--key", gateway.service_key])


def _stored(gateway: SupabaseGateway, query: str) -> list[tuple[str, ...]]:
    with psycopg.connect(gateway.database_url) as connection:
        return connection.execute(query).fetchall()


def test_old_key_may_be_taken_away(keys, supabase_gateway: SupabaseGateway, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret, a webhook's and its former one: all open under the new key alone, afterwards."""
    client = Client()
    client.request("PUT", "/api/secrets/token", {"value": "a-value", "allowed_hosts": ["*"]})
    workflow = client.request("POST", "/api/workflows", {"name": "w", **GRAPH}).json
    hook = {"name": "h", "workflow_id": workflow["id"], "provider": "github", "secret": "first-secret"}
    webhook = client.request("POST", "/api/webhooks", hook).json
    rotated = {"secret": "second-secret", "grace_seconds": 3600}
    assert client.request("POST", f"/api/webhooks/{webhook['id']}/rotate-secret", rotated).status == 200

    keys(f"{NEW} {OLD}")
    assert _command(supabase_gateway, "--check") == 1
    assert "3 values are under another key" in capsys.readouterr().err
    assert _command(supabase_gateway) == 0
    assert "3 values encrypted again" in capsys.readouterr().out
    assert _command(supabase_gateway) == 0  # again: nothing to do
    assert "0 values encrypted again" in capsys.readouterr().out

    keys(NEW)
    [(value,)] = _stored(supabase_gateway, "select value from secrets where value is not null")
    assert run(decrypt(value, secret_context(client.tenant_id, "token"))) == "a-value"
    query = "select secret, previous_secret from webhooks where secret is not null"
    context = provider_rules.secret_context(client.tenant_id, webhook["id"])
    assert [run(decrypt(text, context)) for text in _stored(supabase_gateway, query)[0]] == [
        "second-secret",
        "first-secret",
    ]


def test_value_under_no_known_key_is_named(
    keys, supabase_gateway: SupabaseGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its row stays as it is, and the others are done."""
    client = Client()
    client.request("PUT", "/api/secrets/lost", {"value": "a-value", "allowed_hosts": ["*"]})
    keys(OTHER)
    client.request("PUT", "/api/secrets/kept", {"value": "b-value", "allowed_hosts": ["*"]})
    before = _stored(supabase_gateway, "select value from secrets where name = 'lost' and value is not null")
    keys(f"{NEW} {OTHER}")
    assert _command(supabase_gateway) == 1
    said = capsys.readouterr()
    assert "1 values encrypted again" in said.out
    assert "value is under none of the configured keys" in said.err
    assert _stored(supabase_gateway, "select value from secrets where name = 'lost' and value is not null") == before


def test_value_that_changes_meanwhile_stays(keys, supabase_gateway: SupabaseGateway) -> None:
    """What was read is compared with what is there: the command never writes an older secret back."""
    from local.tools.rebuild import connect

    client = Client()
    client.request("PUT", "/api/secrets/token", {"value": "read", "allowed_hosts": ["*"]})
    with connect(supabase_gateway.url, supabase_gateway.service_key) as supabase:
        [row] = reseal._under_others(supabase, "secrets", "value", "name", "none")
        client.request("PUT", "/api/secrets/token", {"value": "written meanwhile", "allowed_hosts": ["*"]})
        assert not reseal._replaced(supabase, "secrets", "value", row, "v1:none:")
    [(value,)] = _stored(supabase_gateway, "select value from secrets where value is not null")
    assert run(decrypt(value, secret_context(client.tenant_id, "token"))) == "written meanwhile"
    with pytest.raises(SecretUnreadableError):
        run(decrypt("v1:none:", secret_context(client.tenant_id, "token")))
