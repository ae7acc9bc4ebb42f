"""What a page of each list costs where there are 300,000 rows: rows and pages that Postgres looked at, never time."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Awaitable, Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.postgres import PostgresServer
from local.stack.tokens import LocalKeys
from local.tools.read_models import TABLES
from local.tools.rebuild import PAGE, connect, stored
from shared import repositories
from shared.json_types import JsonObject
from shared.repositories.api_keys import ApiKeyRepository
from shared.repositories.database import Database
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository
from shared.repositories.rows import Keyset
from shared.repositories.secrets import SecretRepository
from shared.repositories.webhooks import WebhookRepository
from shared.repositories.workflows import WorkflowRepository
from tests.integration.repositories import many_rows as world
from tests.integration.repositories.plans import Plans, Statement

LIMIT = 51
# A page of 51 rows lies in up to 51 pages of its table and a few of its index. Where Postgres knows
# that there are only some hundreds, it may read and sort them all.
MOST_ROWS, MOST_PAGES = 10 * LIMIT, 20 * LIMIT
BIG = {"executions", "webhook_deliveries", "event_store", "payloads", "workflows", "workflow_versions", "webhooks"}
BIG |= {"api_keys", "secrets", "schedules"}
EARLY, MIDDLE, LATE = "2026-01-01T00:10:00Z", "2026-01-02T17:40:00Z", "2026-01-04T11:00:00Z"


class List(NamedTuple):
    """A list: its repository and method, how a deep place in it is told, and the values that its filters take."""

    repository: Callable[[Database], Any]
    method: str
    before: tuple[object, ...]
    filters: dict[str, tuple[object, ...]]
    looked_through: frozenset[str] = frozenset()
    """Filters that together have no index of their own: what the others leave is looked through for them."""


KEYSETS = (None, Keyset(MIDDLE, world.an_id(15)))
EXECUTIONS = List(
    ExecutionRepository,
    "list",
    KEYSETS,
    {
        "workflow_id": (None, world.WORKING_WORKFLOW, world.FAILING_WORKFLOW),
        "status": (None, "succeeded", "failed", "queued", "cancelled"),
        "since": (None, EARLY),
        "until": (None, LATE),
        "parent_id": (None, world.PARENT, world.an_id(4, 2)),
    },
)
DELIVERIES = List(
    WebhookRepository,
    "deliveries",
    KEYSETS,
    {
        "webhook_id": tuple(world.OWNERS),
        "verdict": (None, "accepted", "filtered", "throttled", "handshake"),
        "event_type": (None, "push", "ping", "seldom", "absent"),
        "since": (None, EARLY),
        "until": (None, LATE),
        "redeliveries": (True, False),
    },
    looked_through=frozenset({"verdict", "event_type"}),
)
WORKFLOWS = List(
    WorkflowRepository,
    "list",
    (None, Keyset("2026-01-01T02:46:40Z", world.an_id(15))),
    {
        "status": (None, "draft", "published", "archived"),
        "tag": (None, "usual", "seldom", "absent"),
        "text": (None, "workflow 1"),
    },
    looked_through=frozenset({"text"}),
)
LISTS = (
    EXECUTIONS,
    DELIVERIES,
    WORKFLOWS,
    List(
        WorkflowRepository,
        "versions",
        (None, 3000),
        {"workflow_id": (world.an_id(3, 1), world.an_id(3, 2))},
    ),
    List(
        WebhookRepository,
        "list",
        (None, Keyset("2026-01-01T02:46:40Z", world.an_id(15))),
        {"workflow_id": (None, world.an_id(3, 1), world.an_id(3, 5000))},
    ),
    List(ApiKeyRepository, "list", (None, Keyset("2026-01-01T02:46:40Z", world.an_id(15))), {}),
    List(SecretRepository, "list", (None, Keyset("2026-01-01T02:46:40Z", world.an_id(15))), {}),
)

Filled = tuple[SupabaseGateway, Plans]
Call = tuple[str, Callable[[Database], Awaitable[object]]]
REPOSITORIES = [
    found
    for module in pkgutil.iter_modules(repositories.__path__)
    for name, found in inspect.getmembers(
        importlib.import_module(f"{repositories.__name__}.{module.name}"), inspect.isclass
    )
    if name.endswith("Repository") and found.__module__.endswith(f".{module.name}")
]
IDS = [world.an_id(4, number) for number in range(1, 40)]
# Everything else that a repository reads, by its method.
READS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "ApiKeyRepository.get": lambda keys: keys.get(world.LARGE_TENANT, world.an_id(7, 1)),
    "ApiKeyRepository.for_authorizer": lambda keys: keys.for_authorizer(world.an_id(7, 1)),
    "EventStoreRepository.read_all": lambda store: store.read_all(world.LARGE_TENANT, world.STREAM),
    "EventStoreRepository.read_history": lambda store: store.read_history(world.ROWS // 2, LIMIT),
    "EventStoreRepository.read_outcomes": lambda store: store.read_outcomes(world.LARGE_TENANT, IDS),
    "EventStoreRepository.read_page": lambda store: store.read_page(
        world.LARGE_TENANT, world.LONG_STREAM, world.ROWS // 6, LIMIT
    ),
    "EventStoreRepository.read_rows": lambda store: store.read_rows(
        world.LARGE_TENANT, world.LONG_STREAM, world.ROWS // 6, LIMIT
    ),
    "EventStoreRepository.read_stream": lambda store: store.read_stream(
        world.LARGE_TENANT, world.LONG_STREAM, world.ROWS // 6, LIMIT
    ),
    "EventStoreRepository.verify_stream": lambda store: store.verify_stream(world.LARGE_TENANT, world.STREAM),
    "ExecutionRepository.claim_due": lambda executions: executions.claim_due(100, 60, LATE),
    "ExecutionRepository.held_workflows": lambda runs: runs.held_workflows(world.LARGE_TENANT, world.an_id(5, 1)),
    "ExecutionRepository.get": lambda executions: executions.get(world.LARGE_TENANT, world.an_id(4, 2)),
    "ExecutionRepository.invariant_violations": lambda executions: executions.invariant_violations(),
    "ScheduleRepository.list": lambda schedules: schedules.list(world.LARGE_TENANT, world.an_id(3, 1)),
    "SecretRepository.count": lambda secrets: secrets.count(world.LARGE_TENANT),
    "SecretRepository.get": lambda secrets: secrets.get(world.LARGE_TENANT, "s1"),
    "SecretRepository.bound": lambda secrets: secrets.bound(world.LARGE_TENANT, ["s1", "s2001"]),
    "SecretRepository.values": lambda secrets: secrets.values(world.LARGE_TENANT, ["s1", "s2001"]),
    "WebhookRepository.delivery": lambda webhooks: webhooks.delivery(
        world.LARGE_TENANT, world.an_id(5, 1), world.an_id(9, 1)
    ),
    "WebhookRepository.delivery_body": lambda webhooks: webhooks.delivery_body(world.LARGE_TENANT, "0" * 64),
    "WebhookRepository.for_intake": lambda webhooks: webhooks.for_intake(world.an_id(5, 1)),
    "WebhookRepository.get": lambda webhooks: webhooks.get(world.LARGE_TENANT, world.an_id(5, 1)),
    "WebhookRepository.of_workflow": lambda webhooks: webhooks.of_workflow(world.LARGE_TENANT, world.an_id(3, 2), 100),
    "WorkflowRepository.get": lambda workflows: workflows.get(world.LARGE_TENANT, world.an_id(3, 1)),
    "WorkflowRepository.known": lambda workflows: workflows.known(world.LARGE_TENANT, [world.an_id(3, 1)]),
    "WorkflowRepository.version": lambda workflows: workflows.version(world.LARGE_TENANT, world.an_id(3, 1), 5),
}
# What writes, on a store of its own: test_young_store.py.
WRITES = {
    "ApiKeyRepository.note_use",
    "EventStoreRepository.append",
    "EventStoreRepository.append_one",
    "EventStoreRepository.cancel_called",
    "EventStoreRepository.hold",
    "EventStoreRepository.set_wake_up",
    "ScheduleRepository.advance",
    "WebhookRepository.record",
}
FEED = {
    "after": (0, world.ROWS // 2, world.ROWS),
    "event_type": (None, "NodeStarted", "NodeSucceeded", "ExecutionFailed", "Absent"),
    "stream_id": (None, world.STREAM, world.LONG_STREAM, world.an_id(6, 2_000_000)),
}


@pytest.fixture(scope="module")
def filled(
    postgres: PostgresServer, new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Filled]:
    """A gateway over 300,000 rows, on whose connections everything is explained."""
    url = new_database()
    world.fill(url)
    plans = Plans(url, postgres.log)
    plans.explain()
    folder = tmp_path_factory.mktemp("plans")
    gateway = SupabaseGateway(url, LocalKeys.of(folder), folder / "gateway.log").start()
    yield gateway, plans
    gateway.stop()


async def _done(filled: Filled, calls: Iterator[Call]) -> list[tuple[str, list[Statement]]]:
    """What the database did for each of the calls, by its name: there were calls, and each was seen to do something."""
    gateway, plans = filled
    database = Database(gateway.url, gateway.service_key)
    done = []
    for count, (name, call) in enumerate(calls):
        if not count:
            await call(database)  # what a session's first calls read of the catalog is another matter
            plans.forget()
        await call(database)
        done.append((name, plans.statements()))
    await database.close()
    assert done, "there is nothing to look at"
    assert [name for name, statements in done if not statements] == [], "what these did was not seen"
    return done


def _expensive(done: list[tuple[str, list[Statement]]], pages: int = MOST_PAGES, rows: int = MOST_ROWS) -> list[str]:
    return [
        f"{name}: {statement.rows} rows, {statement.pages} pages, from the beginning: {statement.scanned() & BIG}"
        for name, statements in done
        for statement in statements
        if statement.scanned() & BIG or statement.rows > rows or statement.pages > pages
    ]


def _pages(one: List, *, looked_through: bool = False) -> Iterator[Call]:
    for *filters, before, tenant_id in product(
        *one.filters.values(), one.before, (world.LARGE_TENANT, world.SMALL_TENANT)
    ):
        named = {name: value for name, value in zip(one.filters, filters, strict=True) if value is not None}
        if looked_through != bool(one.looked_through and one.looked_through <= named.keys()):
            continue
        if world.OWNERS.get(str(named.get("webhook_id")), tenant_id) != tenant_id:
            continue  # a webhook's deliveries are asked for once it is known to be the tenant's

        def call(
            database: Database, tenant_id: object = tenant_id, before: object = before, named: JsonObject = named
        ) -> Awaitable[object]:
            found: Awaitable[object] = getattr(one.repository(database), one.method)(
                tenant_id, limit=LIMIT, before=before, **named
            )
            return found

        yield f"{one.method} of {tenant_id}: {named}, before {before}", call


def _named(one: List) -> str:
    return f"{one.repository.__name__}.{one.method}"


@pytest.mark.parametrize("one", LISTS, ids=_named)
async def test_a_page_costs_the_same_anywhere_and_with_any_filters(filled: Filled, one: List) -> None:
    """No list reads more than about what it shows, on its first page or in the middle, whatever is filtered."""
    done = await _done(filled, _pages(one))

    assert _expensive(done) == []


async def test_verdict_and_type_together_are_looked_for_in_the_index_alone(filled: Filled) -> None:
    """Deliveries that are of a frequent verdict and a frequent type, but seldom of both, are found without reading any
    of the others."""
    done = await _done(filled, _pages(DELIVERIES, looked_through=True))

    assert _expensive(done, pages=world.ROWS // 150) == []


async def test_a_text_is_looked_for_in_the_tenants_workflows_alone(filled: Filled) -> None:
    """A part of a name is looked for among the tenant's workflows in their order, until the page is full."""
    done = await _done(filled, _pages(WORKFLOWS, looked_through=True))

    assert _expensive(done, rows=world.WORKFLOWS) == []


@pytest.mark.parametrize("one", LISTS, ids=_named)
def test_every_filter_of_a_list_is_tried(one: List) -> None:
    """A filter that a list gains is tried here, too."""
    parameters = set(inspect.signature(getattr(one.repository, one.method)).parameters)

    assert parameters - {"self", "tenant_id", "limit", "before"} == set(one.filters)


def test_every_read_is_tried() -> None:
    """A method that a repository gains is tried here, too, or where writes are."""
    methods = {
        f"{repository.__name__}.{name}"
        for repository in REPOSITORIES
        for name, _ in inspect.getmembers(repository, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }

    assert methods == {_named(one) for one in LISTS} | READS.keys() | WRITES | {"EventStoreRepository.read_feed"}
    assert set(inspect.signature(EventStoreRepository.read_feed).parameters) - {"self", "tenant_id", "limit"} == set(
        FEED
    )


@pytest.mark.parametrize("name", READS)
async def test_a_read_looks_only_at_what_it_needs(filled: Filled, name: str) -> None:
    """Whatever else is read costs no more where there are 300,000 rows, however often a connection has done it."""
    (repository,) = [one for one in REPOSITORIES if one.__name__ == name.split(".")[0]]
    done = await _done(filled, ((name, lambda database: READS[name](repository(database))) for _ in range(8)))

    assert _expensive(done) == []


def _feed(*, of_a_type_in_a_stream: bool) -> Iterator[Call]:
    for after, event_type, stream_id in product(*FEED.values()):
        if of_a_type_in_a_stream != (event_type is not None and stream_id is not None):
            continue
        for tenant_id in [world.LARGE_TENANT] * 6 + [world.SMALL_TENANT]:

            def call(
                database: Database, one: Any = (tenant_id, after, LIMIT, event_type, stream_id)
            ) -> Awaitable[object]:
                return EventStoreRepository(database).read_feed(*one)

            yield f"{tenant_id} after {after} of {event_type} in {stream_id}", call


async def test_a_page_of_the_feed_costs_the_same_anywhere_and_with_any_filter(filled: Filled) -> None:
    """A small tenant's page, or one of a stream or a type that there is not, does not look through a large tenant's
    events, however many pages of the large one a connection has read before."""
    done = await _done(filled, _feed(of_a_type_in_a_stream=False))

    assert _expensive(done) == []


async def test_a_type_is_looked_for_in_its_stream_alone(filled: Filled) -> None:
    """The events of one type in one stream are looked for among the stream's events in their order, and a stranger's
    stream not at all."""
    done = await _done(filled, _feed(of_a_type_in_a_stream=True))

    length = world.ROWS // 3
    assert _expensive(done, rows=length, pages=length // 10) == []
    small = [(name, statements) for name, statements in done if name.startswith(world.SMALL_TENANT)]
    assert _expensive(small) == []


@pytest.mark.parametrize("name", ["workflows", "workflow_versions", "schedules"])
def test_a_rebuild_finds_every_row(filled: Filled, name: str) -> None:
    """The read models are read in pages that begin where the last one ended, by keys of one column or two."""
    gateway, plans = filled
    (table,) = (table for table in TABLES if table.name == name)
    plans.forget()
    with connect(gateway.url, gateway.service_key) as client:
        found = stored(client, table)

    assert len(found) == {"workflow_versions": 6000}.get(name, world.WORKFLOWS)
    pages = [statement.rows for statement in plans.statements() if name in statement.text]
    assert len(pages) == len(found) // PAGE + 1
    # Where a table is small or one workflow has most of its rows, they may be sorted anew for each page.
    assert max(pages) <= (2 * PAGE if name == "workflows" else world.WORKFLOWS)


async def test_events_are_described_without_a_call_for_each(filled: Filled) -> None:
    """Every way to read events has the description of one inlined."""
    names = ("read_all", "read_history", "read_outcomes", "read_page", "read_stream")
    reads = [(name, READS[f"EventStoreRepository.{name}"]) for name in names]
    feed = iter([("read_feed", lambda store: store.read_feed(world.LARGE_TENANT))])
    calls = ((name, lambda database, read=read: read(EventStoreRepository(database))) for name, read in (*reads, *feed))

    for name, statements in await _done(filled, calls):
        assert any("jsonb_build_object" in json.dumps(statement.plan) for statement in statements), name
        assert not [statement.text for statement in statements if "event_json(" in json.dumps(statement.plan)], name
