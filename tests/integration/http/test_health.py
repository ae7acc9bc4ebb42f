"""/health: the servers within reach, and out of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from local.stack.gateway_process import SupabaseGateway
from local.stack.tokens import LocalKeys
from shared.bootstrap import services
from shared.errors import UnavailableError
from shared.events.envelope import NewEvent
from shared.http.version import VERSION
from shared.ids import new_id
from shared.platform.runtime import run
from shared.queries.check_health import check_health
from shared.repositories.append import Append
from shared.repositories.database import Database
from tests.integration.http.client import Client, answer, event


@pytest.fixture(scope="module")
def supabase_gateway(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SupabaseGateway]:
    """A gateway over a database of this module's own: it leaves rows that no event implies."""
    folder = tmp_path_factory.mktemp("own")
    gateway = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield gateway
    gateway.stop()


NOWHERE = "http://127.0.0.1:9"


def test_health_is_open_and_says_what_was_reached(api: object) -> None:
    """Without credentials: 200 with each server and the version."""
    found = answer(event("GET", "/health", None, {}, ""))
    assert found.status == 200
    assert found.json == {"status": "ok", "checks": {"supabase": "ok", "redis": "ok"}, "version": VERSION}


def test_health_names_what_is_down(api: object) -> None:
    """The problem points at each server that did not answer."""

    async def check() -> tuple[str, ...]:
        database, redis = Database(NOWHERE, "unused"), Redis(host="127.0.0.1", port=9)
        try:
            with pytest.raises(UnavailableError) as caught:
                await check_health(database, redis)
            with pytest.raises(UnavailableError, match=r"Not within reach: supabase\."):
                await check_health(database, services().redis)
        finally:
            await database.close()
            await redis.aclose()
        return tuple(problem.pointer for problem in caught.value.problems)

    assert run(check()) == ("/checks/supabase", "/checks/redis")


def test_invariants_count_runs_that_nobody_picked_up_and_name_none(api: object) -> None:
    """A run that has been due for long is a violation until it is finished; strangers are told of no ids."""
    execution_id = new_id()
    append_execution(execution_id, 0, {"status": "running", "wake_at": "2026-01-01T00:00:00.000000Z"})
    overdue = answer(event("GET", "/health/invariants", None, {}, ""))
    append_execution(execution_id, 1, {"status": "failed", "wake_at": None})
    finished = answer(event("GET", "/health/invariants", None, {}, "")).json

    assert overdue.json["violations"] == [{"invariant": "due_run_is_picked_up", "count": 1}]
    assert not overdue.json["ok"]
    assert execution_id not in overdue.text
    assert finished == {"ok": True, "violations": []}


def test_administrator_is_named_the_runs_of_his_tenant(api: object) -> None:
    """And none of another's; with a lesser role he is refused."""
    execution_id = new_id()  # the tenant's id as well
    append_execution(execution_id, 0, {"status": "running", "wake_at": "2026-01-01T00:00:00.000000Z"})
    own = Client(execution_id).request("GET", "/api/invariants").json
    others = Client().request("GET", "/api/invariants").json
    refused = Client(execution_id, role="editor").request("GET", "/api/invariants")
    append_execution(execution_id, 1, {"status": "failed", "wake_at": None})

    assert [one["execution_id"] for one in own["violations"]] == [execution_id]
    assert others == {"ok": True, "violations": []}
    assert refused.status == 403


def append_execution(execution_id: str, version: int, changes: dict[str, object]) -> None:
    """One more event of a run, whose row is then as given."""
    now = "2026-01-01T00:00:00.000000Z"
    row = {
        "id": execution_id,
        "tenant_id": execution_id,
        "workflow_id": execution_id,
        "trigger": {},
        "created_at": now,
        "stream_version": version + 1,
        **changes,
    }
    skipped = NewEvent(new_id(), "NodeSkipped", now, {"node_id": "a"})
    append = Append(execution_id, execution_id, "execution", version, (skipped,), row)
    run(services().events.append_one(append))


def test_version_is_the_projects() -> None:
    """The version that is shown is the one in pyproject.toml."""
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert re.search(r'^version = "(.+)"$', text, re.MULTILINE)[1] == VERSION  # type: ignore[index]
