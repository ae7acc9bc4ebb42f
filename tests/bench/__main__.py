"""`make bench`: webhook → if → transform, accepted and executed until all is in the store, beside a bare server.

Every figure of the engine stands beside that of a server that does one LPUSH and one INSERT per request, on the same
Postgres and Valkey in the same run: machines differ, ratios less so. CPU seconds are those of all processes below the
stack (databases, gateway, HTTP API, functions), without the generator's.

`make bench ARGS=neighbours` measures instead what one tenant does to another: tests/bench/neighbours.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg

from local.signing.deliveries import sign
from local.stack.process import accepts_connections, free_port
from local.stack.stack import LocalStack
from shared.json_types import JsonObject
from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.catalog import provider
from tests.bench.load import Answer, request, send

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "events" / "intake" / "github_push.json"
WORKFLOW = {
    "name": "bench",
    "nodes": [
        {"id": "hook", "type": "webhook_trigger"},
        {"id": "main", "type": "if", "parameters": {"condition": "{% $trigger.body.ref = 'refs/heads/main' %}"}},
        {"id": "set", "type": "transform", "parameters": {"value": {"by": "{% $trigger.body.pusher.name %}"}}},
    ],
    "edges": [{"source": "hook", "target": "main"}, {"source": "main", "source_handle": "true", "target": "set"}],
}

# What a process is, by what stands in its command line; the first that fits.
PARTS = {
    "functions.intake": "intake",
    "functions.drain": "drain",
    "evaluator_main": "expressions",
    "function_worker": "other functions",
    "local functions": "HTTP API",
    "local supabase": "Supabase gateway",
    "valkey": "Valkey",
    "postgres": "Postgres",
    "tests.bench.reference": "bare server",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One load: `seconds` until all was stored, the CPU seconds it took, and each run's latency in milliseconds."""

    runs: int
    seconds: float
    cpu_seconds: float
    statements: int
    latencies: list[float]
    by_part: dict[str, float]


def main() -> int:
    """0 once the table is printed; 1 when a run was lost or did not succeed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--small", action="store_true", help="a body of 200 bytes instead of GitHub's 12 KB")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, bench_stack(Path(folder)) as stack:
        bench = Bench(stack, options.connections, push_body(options.small))
        bench.engine(options.runs // 5)  # warm: connections, plans, caches
        engine = bench.engine(options.runs)
        steady = bench.paced(min(options.runs // 10, 500))
        with _reference(stack) as port:
            bench.reference(port, options.runs // 5)
            bare = bench.reference(port, options.runs)
    _print(engine, steady, bare, len(bench.body))
    if options.json:
        options.json.write_text(json.dumps({"engine": _figures(engine), "bare": _figures(bare)}, indent=2))
    return 0


def bench_stack(
    folder: Path, postgres_template: Path | None = None, report: Callable[[str], object] = print
) -> LocalStack:
    """A stack to be measured. `postgres_template` and `report` are `LocalStack`'s."""
    settings = {
        "shared_preload_libraries": "pg_stat_statements",
        # Prints the time of the commit of a run's last event.
        "track_commit_timestamp": "on",
    }
    return LocalStack(folder, postgres_settings=settings, postgres_template=postgres_template, report=report)


class Bench:
    """A stack with a published workflow and its webhook, ready to be loaded."""

    def __init__(self, stack: LocalStack, connections: int, body: bytes, api_key: str | None = None) -> None:
        """`api_key` is that of the tenant whose workflow it is; unset, the stack's first."""
        self.stack, self.connections, self.body = stack, connections, body
        self.database = psycopg.connect(stack.environment["DATABASE_URL"], autocommit=True)
        self.database.execute("create extension pg_stat_statements")
        headers = {"authorization": f"Bearer {api_key or stack.api_key}"}
        with httpx.Client(base_url=stack.api_url, headers=headers) as client:
            workflow = client.post("/api/workflows", json=WORKFLOW).raise_for_status().json()
            client.post(f"/api/workflows/{workflow['id']}/publish").raise_for_status()
            wanted = {"name": "bench", "workflow_id": workflow["id"], "provider": "github"}
            self.webhook = client.post("/api/webhooks", json=wanted).raise_for_status().json()
        self.workflow_id: str = workflow["id"]

    def engine(self, runs: int) -> Measured:
        """So many deliveries as fast as they are accepted, until every run is in the store."""
        requests = [self.delivery() for _ in range(runs)]
        return self._measure(runs, lambda: asyncio.run(send(self.stack.port, requests, self.connections)), 202)

    def paced(self, runs: int) -> Measured:
        """One delivery every ten milliseconds: the latency of a system that is not overloaded."""
        requests = [self.delivery() for _ in range(runs)]

        def load() -> list[Answer]:
            async def one_by_one() -> list[Answer]:
                results = []
                for wire in requests:
                    results += await send(self.stack.port, [wire], 1)
                    await asyncio.sleep(0.01)
                return results

            return asyncio.run(one_by_one())

        return self._measure(runs, load, 202)

    def reference(self, port: int, runs: int) -> Measured:
        """The same deliveries to the bare server."""
        requests = [self.delivery() for _ in range(runs)]
        before, cpu, started = self._statements(), self._cpu(), time.perf_counter()
        answers = asyncio.run(send(port, requests, self.connections))
        seconds = time.perf_counter() - started
        assert {answer.status for answer in answers} == {202}
        latencies = [answer.seconds * 1000 for answer in answers]
        return self._measured(runs, seconds, cpu, before, latencies)

    def _measure(self, runs: int, load: Callable[[], list[Answer]], status: int) -> Measured:
        done = self._finished()
        before, cpu, started = self._statements(), self._cpu(), time.perf_counter()
        answers = load()
        refused = [answer for answer in answers if answer.status != status]
        if refused:
            raise SystemExit(f"{len(refused)} deliveries were refused, the first with {refused[0]}")
        deadline = time.monotonic() + 120
        while (count := self._finished() - done) < runs:
            if time.monotonic() > deadline:
                raise SystemExit(f"{runs - count} of {runs} runs were not finished after two minutes.")
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        accepted = {json.loads(answer.body)["execution_id"]: answer.received_at for answer in answers}
        return self._measured(runs, seconds, cpu, before, list(self.latencies(accepted).values()))

    def _measured(
        self, runs: int, seconds: float, cpu_before: dict[str, float], statements: int, latencies: list[float]
    ) -> Measured:
        cpu = {part: used - cpu_before.get(part, 0.0) for part, used in self._cpu().items()}
        return Measured(runs, seconds, sum(cpu.values()), self._statements() - statements, latencies, cpu)

    def delivery(self) -> bytes:
        """The request of a new delivery, signed."""
        github = provider("github", {})
        assert github is not None
        headers = {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/bench",
            "x-github-delivery": str(uuid.uuid4()),
            "x-github-event": "push",
        }
        unsigned = Delivery(method="POST", headers=headers, body=self.body, query={}, url="", config={})
        signed = sign(github, unsigned, self.webhook["secret"], time.time())
        return request(f"/webhooks/{self.webhook['id']}/github", dict(signed), self.body)

    def _finished(self) -> int:
        return self._one("select count(*) from executions where workflow_id = %s and status = 'succeeded'")

    def latencies(self, accepted: dict[str, float]) -> dict[str, float]:
        """Milliseconds from each 202 to the commit of the terminal event, of the runs that have succeeded."""
        rows = self.database.execute(
            "select stream_id::text, extract(epoch from pg_xact_commit_timestamp(xmin)) from event_store "
            "where event_type = 'ExecutionSucceeded' and stream_id = any (%s)",
            [list(accepted)],
        ).fetchall()
        return {stream: max(0.0, (float(at) - accepted[stream]) * 1000) for stream, at in rows}

    def _one(self, statement: str) -> int:
        row = self.database.execute(statement, [self.workflow_id]).fetchone()
        assert row is not None
        return int(row[0])

    def _statements(self) -> int:
        """Statements so far that the gateway or the bare server sent; not those of this bench."""
        row = self.database.execute(
            "select coalesce(sum(calls), 0) from pg_stat_statements where toplevel and "
            "(userid::regrole::text in ('authenticator', 'service_role') or query ilike 'insert into reference%')"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _cpu(self) -> dict[str, float]:
        """CPU seconds so far by part of every process below this one, those that have ended meanwhile included."""
        used: dict[str, float] = {}
        for process in psutil.Process().children(recursive=True):
            try:
                times, command = process.cpu_times(), " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            part = next((name for mark, name in PARTS.items() if mark in command), "other")
            seconds = times.user + times.system + times.children_user + times.children_system
            used[part] = used.get(part, 0.0) + seconds
        return used


@contextmanager
def _reference(stack: LocalStack) -> Iterator[int]:
    with psycopg.connect(stack.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("create table reference (id bigint generated always as identity primary key, body jsonb)")
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.bench.reference:application", "--port", str(port)]
    command += ["--log-level", "error", "--no-access-log", "--loop", "uvloop", "--http", "httptools"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **stack.environment})
    try:
        while not accepts_connections(port):
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()


def push_body(small: bool) -> bytes:
    whole: JsonObject = json.loads(json.loads(SAMPLE.read_text())["body"])
    wanted = {"ref": whole["ref"], "after": whole["after"], "pusher": whole["pusher"]} if small else whole
    return json.dumps(wanted, separators=(",", ":")).encode()


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of them is."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _figures(measured: Measured) -> dict[str, float]:
    return {
        "executions_per_second": measured.runs / measured.seconds,
        "cpu_seconds_per_1000": measured.cpu_seconds / measured.runs * 1000,
        "statements_per_execution": measured.statements / measured.runs,
        **{f"p{share}_ms": percentile(measured.latencies, share / 100) for share in (50, 95, 99)},
    }


def _print(engine: Measured, steady: Measured, bare: Measured, size: int) -> None:
    ours, paced, theirs = _figures(engine), _figures(steady), _figures(bare)
    print(f"\n{engine.runs} deliveries of {size:,} bytes, webhook → if → transform\n")
    print(f"{'':<30}{'engine':>12}{'bare server':>14}{'ratio':>8}")
    for name in ("executions_per_second", "cpu_seconds_per_1000", "statements_per_execution"):
        print(f"{name:<30}{ours[name]:>12.2f}{theirs[name]:>14.2f}{ours[name] / theirs[name]:>8.2f}")
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        print(f"{name + ', overloaded':<30}{ours[name]:>12.1f}{theirs[name]:>14.1f}{ours[name] / theirs[name]:>8.2f}")
        print(f"{name + ', one each 10 ms':<30}{paced[name]:>12.1f}")
    print("\nCPU milliseconds per execution, by part:")
    for part, used in sorted(engine.by_part.items(), key=lambda item: -item[1]):
        print(f"  {part:<28}{used / engine.runs * 1000:>12.3f}")
    print("\nLatency: from the 202 to the commit of the run's last event; the bare server's: of the whole request.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["neighbours"]:
        from tests.bench import neighbours

        sys.exit(neighbours.main(sys.argv[2:]))
    sys.exit(main())
