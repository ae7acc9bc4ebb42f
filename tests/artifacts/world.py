"""The rows that `local/tools/sample_world.py` makes, in a running stack, and how to restore them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
import redis
from botocore.config import Config

from local.stack.stack import LocalStack
from local.tools.artifacts import ROOT
from shared.json_types import JsonObject

FOLDER = ROOT / "events"
SAMPLES = {f"{path.parent.name}/{path.stem}": path for path in sorted(FOLDER.glob("*/*.json"))}


class World:
    """The samples' stack, and what it held before the first sample."""

    def __init__(self, stack: LocalStack) -> None:
        environment = {**os.environ, **stack.environment}
        subprocess.run([sys.executable, "-m", "local.tools.sample_world"], cwd=ROOT, env=environment, check=True)
        self.stack = stack
        self.database = psycopg.connect(stack.environment["DATABASE_URL"], autocommit=True)
        self.redis = redis.Redis(port=int(stack.environment["REDIS_PORT"]))
        config = Config(retries={"total_max_attempts": 1}, read_timeout=60)
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        self.functions: Any = boto3.client("lambda", "us-east-1", endpoint_url=stack.lambda_url, config=config, **keys)
        self.database.execute("create schema kept")
        for table in self._tables():
            self.database.execute(f"create table kept.{table} as table public.{table}")  # type: ignore[call-overload]
        self._job = {key: self.redis.dump(key) for key in self.redis.scan_iter()}

    def _tables(self) -> list[str]:
        names = self.database.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        return [name for (name,) in names]

    def restore(self) -> None:
        """Restores all rows, once the drains that a sample has woken have ended."""
        while any(worker["busy"] for worker in self.stack.workers().get("local-drain", [])):
            time.sleep(0.02)
        tables = self._tables()
        copies = (f"insert into public.{table} overriding system value table kept.{table}" for table in tables)
        everything = ", ".join(f"public.{table}" for table in tables)
        script = "; ".join((f"truncate {everything}", *copies))
        self.database.execute(f"set session_replication_role = replica; {script}")  # type: ignore[call-overload]
        self.redis.flushall()
        for key, value in self._job.items():
            self.redis.restore(key, 0, value)
        # Their age counts from now, however long ago the world was made.
        for key in self.redis.scan_iter("*:webhook:*"):
            entry = json.loads(self.redis.get(key) or b"{}")  # type: ignore[arg-type]  # a synchronous client
            self.redis.set(key, json.dumps({**entry, "remembered_at": int(time.time())}))

    def invoke(self, sample: str) -> JsonObject:
        """The function's answer, its body parsed where that is JSON."""
        name = f"local-{SAMPLES[sample].parent.name.replace('_', '-')}"
        answer = self.functions.invoke(FunctionName=name, Payload=SAMPLES[sample].read_bytes())
        result: JsonObject = json.load(answer["Payload"])
        assert "FunctionError" not in answer, result
        content_type = next((v for n, v in result.get("headers", {}).items() if n.lower() == "content-type"), "")
        if "json" in content_type and result.get("body"):
            result["body"] = json.loads(result["body"])
        return result


@contextmanager
def running(folder: Path, postgres_template: Path | None = None, build: Path | None = None) -> Iterator[World]:
    """A stack with the samples' rows, without schedules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_SCHEDULE_SECONDS", "86400")
        environment = {"DRAIN_LINGER_SECONDS": "0"}
        with LocalStack(
            folder, postgres_template=postgres_template, durable=False, environment=environment, artifacts=build
        ) as stack:
            made = World(stack)
            yield made
            made.database.close()
            made.redis.close()
