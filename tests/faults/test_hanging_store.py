"""Supabase and Valkey hang: whoever asks is answered in time, and nobody is refused for it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from functions.authorizer.app import handler as authorizer
from functions.authorizer.app import user_tokens
from local.stack.gateway_process import SupabaseGateway
from local.stack.redis import RedisServer
from shared.errors import StorageUnavailableError, UnavailableError
from shared.ids import new_id
from shared.platform.deadline import within
from tests.faults.hanging_servers import frozen
from tests.integration.http.client import Answer, Client, answer, event
from tests.integration.http.graphs import DOUBLING
from tests.integration.wiring import environment, wired


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Valkey of this module's own."""
    with RedisServer(tmp_path_factory.mktemp("redis") / "data") as server:
        yield server


@pytest.fixture
def api(supabase_gateway: SupabaseGateway, redis: RedisServer) -> Iterator[SupabaseGateway]:
    """The functions in this process, over servers that may hang."""
    with wired(environment(supabase_gateway, redis, LOG_LEVEL="CRITICAL")):
        user_tokens.cache_clear()
        yield supabase_gateway
        user_tokens.cache_clear()


def asked(path: str) -> Answer:
    """What a stranger is answered."""
    return answer(event("GET", path, None, {}, ""))


def authorised(token: str) -> bool:
    """Whether the authorizer lets the token in."""
    answer = authorizer({"headers": {"authorization": f"Bearer {token}"}}, None)
    return bool(answer["isAuthorized"])


def test_health_names_what_hangs(api: SupabaseGateway, redis: RedisServer) -> None:
    """Within seconds, and of each alone."""
    for server, name in ((api, "supabase"), (redis, "redis")):
        started = time.monotonic()
        with frozen(server):
            answer = asked("/health")
        assert (answer.status, answer.pointers) == (503, [f"/checks/{name}"])
        assert time.monotonic() - started < 10
        assert asked("/health").status == 200


def test_valid_key_is_not_denied_while_the_store_hangs(api: SupabaseGateway) -> None:
    """The authorizer fails, within its own time: a denial would be kept for a minute. Afterwards the key is let in."""
    key = Client().request("POST", "/api/api-keys", {"name": "CI"}).json["key"]
    started = time.monotonic()
    with frozen(api), pytest.raises(StorageUnavailableError):
        authorised(key)
    assert time.monotonic() - started < 9  # API Gateway waits for ten
    assert authorised(key)


def test_valid_key_is_not_denied_while_the_store_is_stopped(api: SupabaseGateway) -> None:
    """The same when it is refused a connection."""
    key = Client().request("POST", "/api/api-keys", {"name": "CI"}).json["key"]
    api.stop()
    try:
        with pytest.raises(StorageUnavailableError):
            authorised(key)
        assert not authorised(key[:8])  # malformed: nobody needs to be asked
    finally:
        api.start()


def test_signed_in_user_is_not_denied_while_the_keys_hang(
    api: SupabaseGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the key set is known nobody can say; once known, its last copy counts."""
    token = api.keys.user_token(api.url, new_id(), user_id=new_id())
    started = time.monotonic()
    with frozen(api), pytest.raises(UnavailableError):
        authorised(token)
    assert time.monotonic() - started < 9
    user_tokens.cache_clear()
    assert authorised(token)
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 700)
    with frozen(api):
        assert authorised(token)


@pytest.mark.slow
def test_api_says_so_while_the_store_hangs(api: SupabaseGateway) -> None:
    """503 with Retry-After, once and not thrice the time of a call, and before API Gateway gives up."""
    client = Client()
    started = time.monotonic()
    with frozen(api):
        answer = client.request("GET", "/api/workflows")
    assert (answer.status, answer.code) == (503, "storage_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert time.monotonic() - started < 20
    assert client.request("GET", "/api/workflows").status == 200


def test_commands_succeed_while_valkey_hangs(api: SupabaseGateway, redis: RedisServer) -> None:
    """It is a hint: what is published, started and cancelled is so, and its caller is told within seconds."""
    client = Client()
    workflow = client.request("POST", "/api/workflows", DOUBLING).json["id"]
    started = time.monotonic()
    with frozen(redis):
        assert client.request("POST", f"/api/workflows/{workflow}/publish").status == 200
        run = client.request("POST", f"/api/workflows/{workflow}/execute")
        assert client.request("GET", f"/api/executions/{run.json['execution_id']}").json["status"] == "queued"
        assert client.request("POST", f"/api/executions/{run.json['execution_id']}/cancel").status == 200
        unknown = client.request("GET", f"/api/executions/{new_id()}")
    assert run.status == 202
    assert (unknown.status, unknown.code) == (503, "queue_unavailable")  # it may be a delivery that is queued
    assert time.monotonic() - started < 25
    assert client.request("GET", f"/api/executions/{run.json['execution_id']}").json["status"] == "cancelled"


def test_waiting_for_an_answer_ends_in_time_while_valkey_hangs(api: SupabaseGateway, redis: RedisServer) -> None:
    """Nobody runs it, so there is none: 202, and not half a minute later."""
    client = Client()
    workflow = client.request("POST", "/api/workflows", DOUBLING).json["id"]
    client.request("POST", f"/api/workflows/{workflow}/publish")
    started = time.monotonic()
    with frozen(redis):
        answer = client.request("POST", f"/api/workflows/{workflow}/execute", headers={"prefer": "wait=2"})
    assert answer.status == 202
    assert time.monotonic() - started < 15


def test_waiting_for_an_answer_leaves_the_request_time_to_answer(api: SupabaseGateway) -> None:
    """What was spent before, on a slow store say, is not waited for again: API Gateway would cut the answer off."""
    client = Client()
    workflow = client.request("POST", "/api/workflows", DOUBLING).json["id"]
    client.request("POST", f"/api/workflows/{workflow}/publish")
    started = time.monotonic()
    with within(4.0):
        answer = client.request("POST", f"/api/workflows/{workflow}/execute", headers={"prefer": "wait=20"})
    assert answer.status == 202
    assert time.monotonic() - started < 12
