"""Tests of what `make e2e-lambda` has built; without a build (`--artifacts`) there is nothing to collect."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import LocalStack


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
    folder = tmp_path_factory.mktemp("short")
    environment = {"LOCK_SECONDS": "2", "LEASE_SECONDS": "5", "DRAIN_LINGER_SECONDS": "1", "DRAIN_CONCURRENCY": "4"}
    before = os.environ.get("LOCAL_SCHEDULE_SECONDS")
    os.environ["LOCAL_SCHEDULE_SECONDS"] = "2"
    try:
        with LocalStack(
            folder,
            postgres_template=postgres_template,
            durable=False,
            environment=environment,
            artifacts=build,
            parameters={"DrainTimeoutSeconds": "12"},
        ) as running:
            yield running
    finally:
        os.environ.pop("LOCAL_SCHEDULE_SECONDS")
        if before is not None:
            os.environ["LOCAL_SCHEDULE_SECONDS"] = before
    shutil.rmtree(folder / "postgres", ignore_errors=True)
