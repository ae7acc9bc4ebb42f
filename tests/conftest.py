"""The servers that tests run against: real ones, one set for each pytest-xdist worker, on free ports."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import hypothesis
import pytest

from local.stack import migrations
from local.stack.gateway_process import SupabaseGateway
from local.stack.postgres import PostgresServer, template
from local.stack.process import free_port
from local.stack.redis import RedisServer
from local.stack.stack import LocalStack
from local.stack.tenant import Tenant
from local.stack.tokens import LocalKeys

# Tests use servers of their own, whatever ones the shell names: some empty Redis, and kill what runs.
os.environ["LOCAL_STACK"] = "tests"

# `--hypothesis-profile=long`, for the property tests of the engine: see CONTRIBUTING.md.
hypothesis.settings.register_profile("long", max_examples=50_000)

MIGRATED = "migrated"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--artifacts=<folder>`: the stack runs what was built there, as on Lambda, instead of the source tree.
    `--storm=long`: the drains' storm of kills lasts a minute; see CONTRIBUTING.md."""
    parser.addoption("--artifacts", type=Path, default=None)
    parser.addoption("--storm", choices=("short", "long"), default="short")


@pytest.fixture(scope="session")
def postgres_template(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """An initialised data folder to copy; made once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    return template((base if worker_id == "master" else base.parent) / "postgres-template")


@pytest.fixture(scope="session")
def postgres(postgres_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A running Postgres without crash safety, and in it the database `migrated`: connect to copies, not to it."""
    data_dir = tmp_path_factory.mktemp("postgres") / "data"
    with PostgresServer(data_dir, template=postgres_template, durable=False) as server:
        migrations.apply(server.createdb(MIGRATED))
        yield server
    shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(postgres: PostgresServer) -> Callable[[], str]:
    """Makes a migrated, empty database and returns its URL (superuser)."""
    numbers = count(1)
    return lambda: postgres.createdb(f"test_{next(numbers)}", MIGRATED)


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """A migrated, empty database of this test's own."""
    return new_database()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running Valkey; tests keep apart by their own key prefixes or queue names."""
    with RedisServer(tmp_path_factory.mktemp("redis") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def supabase_gateway(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SupabaseGateway]:
    """The gateway over a migrated database of its own: `.url`, `.service_key`, `.anon_key`, `.database_url`, `.keys`.

    Tests keep apart by their own tenants.
    """
    folder = tmp_path_factory.mktemp("supabase")
    gateway = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session")
def aws_port() -> int:
    """Where the stack's effects on AWS go; nobody is there unless a test starts a server on it."""
    return free_port()


@pytest.fixture(scope="session")
def stack(
    postgres_template: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, aws_port: int
) -> Iterator[LocalStack]:
    """The whole service in processes of its own: `.api_url`, `.api_key`, `.tenant_id`, `.environment`, `.workers()`."""
    folder = tmp_path_factory.mktemp("stack")
    artifacts = pytestconfig.getoption("artifacts")
    with LocalStack(
        folder,
        postgres_template=postgres_template,
        durable=False,
        artifacts=artifacts and artifacts.absolute(),
        environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws_port}"},
    ) as running:
        yield running
    shutil.rmtree(folder / "postgres", ignore_errors=True)


@pytest.fixture(scope="session")
def other_tenant(stack: LocalStack) -> Tenant:
    """A second tenant of the stack: `.tenant_id`, `.api_key`."""
    return stack.new_tenant("other")
