"""/api/api-keys and the authorizer that reads them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from functions.authorizer.app import handler as authorizer
from shared.bootstrap import services
from shared.commands.api_keys.create_api_key import CreateApiKey
from shared.commands.api_keys.use_api_key import use_api_key
from shared.domain.actor import Actor
from shared.domain.api_key_format import key_parts
from shared.domain.timestamps import timestamp
from shared.errors import StorageUnavailableError
from shared.http.auth import actor_of
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.repositories.api_keys import ApiKeyRepository
from tests.integration.http.client import Client


def authorised(key: str, header: str = "Bearer {}") -> JsonObject:
    """The authorizer's answer to a request with this key."""
    found: JsonObject = authorizer({"headers": {"authorization": header.format(key)}}, None)
    return found


def created(client: Client, **fields: Any) -> JsonObject:
    """A new key's body."""
    answer = client.request("POST", "/api/api-keys", {"name": "CI", **fields})
    assert answer.status == 201, answer.text
    body: JsonObject = answer.json
    return body


def test_created_key_opens_the_api_as_its_tenant(client: Client) -> None:
    """The authorizer's context for a key is its tenant, its role and its scopes, and the functions read it back."""
    key = created(client, role="viewer", scopes=["workflows:read"])
    answer = authorised(key["key"])
    assert answer["isAuthorized"] is True
    actor = actor_of({"requestContext": {"authorizer": {"lambda": answer["context"]}}})
    assert actor == Actor(client.tenant_id, f"api_key:{key['id']}", "viewer", frozenset({"workflows:read"}))


def test_create_api_key_shows_the_key_once(client: Client) -> None:
    """The key is in the first answer alone: not in the list, not in the events, and its row holds a hash."""
    key = created(client, expires_at="2999-01-01T00:00:00+01:00")
    assert set(key) == {"id", "name", "role", "scopes", "expires_at", "last_used_at", "created_at", "key"}
    assert key["expires_at"] == "2998-12-31T23:00:00.000000Z"
    (_, secret) = key_parts(key["key"]) or ("", "")
    (listed,) = client.request("GET", "/api/api-keys").json["items"]
    assert listed == {name: value for name, value in key.items() if name != "key"}
    events = run(services().events.read_stream(client.tenant_id, key["id"]))
    row = run(services().api_keys.for_authorizer(key["id"]))
    assert secret not in repr(events)
    assert secret not in repr(row)


def test_revoked_key_opens_nothing(client: Client) -> None:
    """After DELETE the authorizer refuses the key and the list no longer shows it; again is a 204 too."""
    key = created(client)
    assert [client.request("DELETE", f"/api/api-keys/{key['id']}").status for _ in range(2)] == [204, 204]
    assert authorised(key["key"]) == {"isAuthorized": False}
    assert client.request("GET", "/api/api-keys").json["items"] == []


def test_expired_key_opens_nothing(client: Client) -> None:
    """From its expiry on a key is refused."""
    text = created(client, expires_at="2999-01-01T00:00:00Z")["key"]
    keys = services().api_keys
    assert run(use_api_key(keys, text, 32472143999.0)) is not None
    assert run(use_api_key(keys, text, 32472144000.0)) is None


def test_use_of_a_key_is_noted_once_an_hour(client: Client) -> None:
    """Of a key that opened something, not of one that was tried; more often is a write too many."""
    keys, key = services().api_keys, created(client)

    def last_used_at() -> str | None:
        (listed,) = client.request("GET", "/api/api-keys").json["items"]
        found: str | None = listed["last_used_at"]
        return found

    assert authorised(key["key"][:-1] + "-") == {"isAuthorized": False}
    assert last_used_at() is None
    authorised(key["key"])
    first = last_used_at()
    assert first is not None
    authorised(key["key"])
    run(keys.note_use(key["id"], 3600))
    assert last_used_at() == first
    run(keys.note_use(key["id"], 0))
    assert (last_used_at() or "") > first


def test_a_use_that_cannot_be_noted_keeps_nobody_out(client: Client) -> None:
    """It is a hint; that the key is right is known."""
    text = created(client)["key"]

    class Unnoted(ApiKeyRepository):
        async def note_use(self, api_key_id: str, every_seconds: float) -> None:
            raise StorageUnavailableError

    assert run(use_api_key(Unnoted(services().database), text, 0.0)) is not None


def test_a_stranger_cannot_revoke_a_key(client: Client) -> None:
    """Another tenant's administrator is told that there is no such key."""
    key = created(client)
    assert Client().request("DELETE", f"/api/api-keys/{key['id']}").code == "not_found"
    assert authorised(key["key"])["isAuthorized"] is True


def test_api_keys_page(client: Client) -> None:
    """The list follows cursors, newest first."""
    ids = [created(client)["id"] for _ in range(3)]
    page = client.request("GET", "/api/api-keys", query={"limit": 2}).json
    rest = client.request("GET", "/api/api-keys", query={"limit": 2, "cursor": page["next_cursor"]}).json
    assert [item["id"] for item in page["items"] + rest["items"]] == ids[::-1]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"role": "root"}, "/role"),
        ({"scopes": ["workflows:read", "everything"]}, "/scopes/1"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "tomorrow"}, "/expires_at"),
        ({"expires_at": "2999-01-01"}, "/expires_at"),
        ({"expires_at": "2999-01-01T00:00:00"}, "/expires_at"),
        ({"expires_at": "2999-02-30T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "/expires_at"),
        ({"expires_at": 5}, "/expires_at"),
        ({"key": "mine"}, "/key"),
    ],
)
def test_malformed_key_is_a_400(client: Client, fields: JsonObject, pointer: str) -> None:
    """Every field is checked, and each problem points at it."""
    found = client.request("POST", "/api/api-keys", {"name": "CI", **fields})
    assert (found.status, found.pointers) == (400, [pointer]), found.text


def test_scopes_cannot_be_widened(api: object) -> None:
    """Credentials with scopes make keys with a part of these scopes only."""
    client = Client(scopes=frozenset({"api_keys:write", "workflows:read"}))
    assert created(client, scopes=["workflows:read"])["scopes"] == ["workflows:read"]
    for scopes in ([], ["workflows:write"]):
        found = client.request("POST", "/api/api-keys", {"name": "CI", "scopes": scopes})
        assert (found.status, found.code) == (403, "forbidden")


def test_scheme_is_read_in_any_case(client: Client) -> None:
    """`bearer` and spaces around the token do no harm; other schemes are refused."""
    key = created(client)["key"]
    assert authorised(key, "bearer  {} ")["isAuthorized"] is True
    for header in ("{}", "Basic {}", "Token {}", "Bearer", "", "Bearer x{}", "Bearer {}x"):
        assert authorised(key, header) == {"isAuthorized": False}


@pytest.mark.parametrize(
    "token",
    ["wk_", "wk__", f"wk_{'0' * 32}_{'a' * 43}", f"wk_{'0' * 32}_{'é' * 43}", "wk_\x00", "x" * 20_000, "a.b.c", "é"],
)
def test_anything_else_is_refused(api: object, token: str) -> None:
    """No token whatever makes the authorizer fail."""
    assert authorised(token) == {"isAuthorized": False}


@pytest.mark.parametrize("event", [{}, {"headers": None}, {"headers": {"authorization": None}}])
def test_request_without_credentials_is_refused(api: object, event: JsonObject) -> None:
    """No header, no entry."""
    assert authorizer(event, None) == {"isAuthorized": False}


def test_right_id_with_wrong_secret_is_refused(client: Client) -> None:
    """The id alone opens nothing."""
    key = created(client)["key"]
    assert authorised(key[:-1] + ("A" if key[-1] != "A" else "B")) == {"isAuthorized": False}


def test_the_shortest_command_makes_an_editor() -> None:
    """A key without a role is an editor's, without limits of scope or time."""
    command = CreateApiKey(name="x")
    assert (command.role, command.scopes, command.expires_at) == ("editor", [], None)


def test_answer_of_the_authorizer_ends_with_the_credentials(api: object) -> None:
    """API Gateway gives functions the authorizer's answer for up to a minute more; they look at the time themselves."""
    client = Client(expires_at=time.time() + 60)
    assert client.request("GET", "/api/workflows").status == 200
    for expires_at in (time.time() - 0.001, 0.0):
        expired = replace(client, expires_at=expires_at).request("GET", "/api/workflows")
        assert (expired.status, expired.code) == (401, "unauthorized")


def test_authorizer_says_when_a_key_ends(client: Client) -> None:
    """And says nothing of a key without an end."""
    expiring = created(client, expires_at="2999-01-01T00:00:00Z")["key"]
    assert authorised(expiring)["context"]["expires_at"] == "32472144000.0"
    assert "expires_at" not in authorised(created(client)["key"])["context"]


def test_key_makes_none_that_outlives_it(api: object) -> None:
    """Nor one that does not expire; as long as itself is allowed. A user may, whose token ends within the hour."""
    end = int(time.time()) + 3600
    maker = Client(expires_at=float(end))
    for expires_at, status in ((None, 403), (end + 1, 403), (end, 201), (end - 60, 201)):
        given = {} if expires_at is None else {"expires_at": timestamp(expires_at)}
        made = maker.request("POST", "/api/api-keys", {"name": "CI", **given})
        assert made.status == status, (expires_at, made.text)
    assert timestamp(float(end)) in maker.request("POST", "/api/api-keys", {"name": "CI"}).json["detail"]
    assert replace(maker, name="user:ada").request("POST", "/api/api-keys", {"name": "CI"}).status == 201
