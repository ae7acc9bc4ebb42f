"""Tests of what `make e2e-lambda` has built; without a build (`--artifacts`) there is nothing to collect."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.stack.stack import LocalStack


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out of `make test`."""
    return True if config.getoption("artifacts") is None and collection_path.name.startswith("test_") else None


@pytest.fixture(scope="session")
def build(pytestconfig: pytest.Config) -> Path:
    """The folder of the build."""
    folder: Path = pytestconfig.getoption("artifacts")
    return folder.absolute()


@pytest.fixture(scope="module")
def short_drains(
    build: Path, postgres_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalStack]:
    """A stack whose drains have twelve seconds, with a schedule of seconds."""
    with _short(build, postgres_template, tmp_path_factory.mktemp("short"), schedule_seconds=2) as running:
        yield running


@pytest.fixture
def unscheduled_drains(
    build: Path, postgres_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalStack]:
    """The same, where no schedule ever comes, and where one drain at a time is enough."""
    folder = tmp_path_factory.mktemp("unscheduled")
    with _short(build, postgres_template, folder, schedule_seconds=86_400, MaxDrains="1") as running:
        yield running


@contextmanager
def _short(
    build: Path, postgres_template: Path, folder: Path, *, schedule_seconds: int, **parameters: str
) -> Iterator[LocalStack]:
    environment = {"LOCK_SECONDS": "2", "LEASE_SECONDS": "5", "DRAIN_LINGER_SECONDS": "1", "DRAIN_CONCURRENCY": "4"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_SCHEDULE_SECONDS", str(schedule_seconds))
        with LocalStack(
            folder,
            postgres_template=postgres_template,
            durable=False,
            environment=environment,
            artifacts=build,
            parameters={"DrainTimeoutSeconds": "12", **parameters},
        ) as running:
            yield running
    shutil.rmtree(folder / "postgres", ignore_errors=True)
