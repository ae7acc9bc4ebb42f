"""`make bench-cold`: every built function's first invocation, through the emulator, beside a bare handler's.

The events are samples over what `local/tools/sample_world.py` makes in live servers: a delivery that verifies and is
queued, API calls that answer 200, a drain that runs a job. What is compared is processor time, as a ratio, and modules,
as a count: neither depends on what else the machine does. On Lambda a function of 512 MB has 0.29 of a processor, so
that its processor time is what its caller waits for.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from local.stack.function_pool import FunctionPool
from local.stack.lambda_environment import LambdaEnvironment, Runtime
from local.stack.template import Function, read_template
from shared.json_types import JsonObject
from tests.artifacts.world import SAMPLES, World, running

ROUNDS = 5
BARE = "bare"
# The sample that is a function's first event.
FIRST = {
    "api_keys": "create_api_key",
    "audit": "audit_feed",
    "authorizer": "api_key",
    "console": "get_docs",
    "drain": "wake",
    "execute": "execute_workflow",
    "executions": "get_execution",
    "health": "get_health",
    "intake": "github_push",
    "publish": "publish_workflow",
    "secrets": "list_secrets",
    "signals": "ask_signal",
    "webhooks": "get_webhook",
    "workflows": "get_workflow",
}
BUDGETS = {"intake": 5.0, "drain": 14.0}
API_BUDGET = 8.0
# Imports the handler in the place of the runtime, gives it the event, and tells what both have imported.
WATCH = """
import json, sys, awslambdaric.bootstrap
before = set(sys.modules)
from {module} import handler
started = set(sys.modules)
class Context:
    aws_request_id = "first"
    def get_remaining_time_in_millis(self): return 20_000
handler(json.loads(sys.stdin.read()), Context())
print(json.dumps([sorted(started - before), sorted(set(sys.modules) - before)]))
"""


@dataclass(frozen=True, slots=True)
class Start:
    """A function's first invocation: medians of its processor and of its waiting time in ms, how many times a bare
    handler's that is, and its answer."""

    name: str
    cpu_ms: float
    wall_ms: float
    ratio: float
    answer: JsonObject


@dataclass(frozen=True, slots=True)
class Imported:
    """The modules that a handler's import adds to the runtime's, and that it has added after its first event."""

    at_start: tuple[str, ...]
    after_event: tuple[str, ...]


# Processor and waiting time in ms, and the answer.
First = tuple[float, float, JsonObject]


def _start(name: str, pairs: list[tuple[First, First]]) -> Start:
    firsts = [first for _, first in pairs]
    ratio = median(first[0] / bare[0] for bare, first in pairs)
    return Start(name, median(first[0] for first in firsts), median(first[1] for first in firsts), ratio, firsts[0][2])


def budget(name: str) -> float:
    """How many times a bare handler's first invocation this function's may take."""
    return BUDGETS.get(name, API_BUDGET)


def folder(function: Function) -> str:
    """The function's folder, which is its name here."""
    return function.handler.split(".")[1]


class Bench:
    """A build, and servers with the rows that its functions' first events need."""

    def __init__(self, build: Path, world: World, scratch: Path) -> None:
        self.runtime, self.world, self._log = Runtime.of(build), world, scratch / "log"
        template = read_template(build / "template.yaml")
        self.functions = {folder(function): function for function in template.functions.values()}
        (scratch / "bare.py").write_text("def handler(event, context):\n    return {}\n")
        some = next(iter(self.functions.values()))
        self._bare = replace(some, name=BARE, handler="bare.handler", code_folder=scratch)

    def environment(self) -> dict[str, str]:
        """What the functions get. A drain is live as far as they know: waking one is the business of the first
        delivery after a quiet minute, and not of each cold start."""
        own = {"REDIS_TLS": "false", "DRAIN_LINGER_SECONDS": "0", "DRAIN_FUNCTION_NAME": "", "LOG_LEVEL": "WARNING"}
        return {**self.world.stack.environment, **own}

    def event(self, name: str) -> bytes:
        """The function's first event, over a world that is as it was."""
        self.world.restore()
        event = json.loads(SAMPLES[f"{name}/{FIRST[name]}"].read_text())
        event.get("headers", {}).pop("prefer", None)  # the response does not wait for the run here
        return json.dumps(event).encode()

    def measure(self, rounds: int = ROUNDS) -> list[Start]:
        """Every function, each after a bare handler: the machine's pace changes within seconds, and a ratio is of two
        neighbours. The bare handler's own medians come first."""
        pairs: dict[str, list[tuple[First, First]]] = {name: [] for name in self.functions}
        for _ in range(rounds):
            for name, function in self.functions.items():
                bare = asyncio.run(self._first(self._bare, b"{}"))
                pairs[name].append((bare, asyncio.run(self._first(function, self.event(name)))))
        every_bare = [bare for all_ in pairs.values() for bare, _ in all_]
        return [
            _start(BARE, [(bare, bare) for bare in every_bare]),
            *(_start(name, all_) for name, all_ in pairs.items()),
        ]

    async def _first(self, function: Function, event: bytes) -> First:
        """Processor and waiting time in ms from a ready environment to the answer, process and imports included."""
        start = partial(LambdaEnvironment, runtime=self.runtime)
        pool = FunctionPool(function, environment=self.environment(), log=self._log, concurrency=1, start=start)
        worker = LambdaEnvironment(pool, self.runtime)
        pool._workers.append(worker)
        while not worker.ready:  # noqa: ASYNC110 -- the pool has no event for it
            await asyncio.sleep(0.002)
        began = time.perf_counter()
        outcome = await pool.invoke(event)
        waited = (time.perf_counter() - began) * 1000
        spent = sum(_cpu_ms(process.pid) for process in worker._inside())
        pool.close()
        await pool.wait_closed()
        return spent, waited, json.loads(outcome.payload)

    def imported(self, name: str, function: Function | None = None) -> Imported:
        """What the function imports; raises `RuntimeError` where it cannot be imported or fails."""
        function = function or self.functions[name]
        code = WATCH.format(module=function.handler.rpartition(".")[0])
        done = self._python(function, ["-c", code], self.event(name))
        if done.returncode:
            raise RuntimeError(f"{function.name} cannot start:\n{done.stderr.decode()}")
        at_start, after_event = json.loads(done.stdout.splitlines()[-1])
        return Imported(tuple(at_start), tuple(after_event))

    def heaviest(self, name: str, count: int = 10) -> list[tuple[str, float]]:
        """The packages whose modules take longest to import until the first event is answered, in ms."""
        code = WATCH.format(module=self.functions[name].handler.rpartition(".")[0])
        done = self._python(self.functions[name], ["-X", "importtime", "-c", code], self.event(name))
        milliseconds: dict[str, float] = {}
        for line in done.stderr.decode().splitlines():
            own, _, rest = line.removeprefix("import time:").partition("|")
            if own.strip().isdigit():
                package = ".".join(rest.partition("|")[2].strip().split(".")[:2])
                milliseconds[package] = milliseconds.get(package, 0) + int(own) / 1000
        return sorted(milliseconds.items(), key=lambda pair: -pair[1])[:count]

    def _python(self, function: Function, arguments: list[str], event: bytes) -> subprocess.CompletedProcess[bytes]:
        layers = [str(layer / "python") for layer in function.layers]
        path = os.pathsep.join((str(function.code_folder), *layers, self.runtime.packages))
        own: Mapping[str, str] = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": path}
        environment = {**function.environment, **self.environment(), **own}
        command = [*self.runtime.interpreter, *arguments]
        return subprocess.run(command, env=environment, input=event, capture_output=True, check=False)


def _cpu_ms(pid: int) -> float:
    """What the process's threads have used. Source: docs.kernel.org/scheduler/sched-stats.html"""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6


def shown(start: Start) -> str:
    """One line of the table."""
    allowed = f"{budget(start.name):.0f}" if start.name != BARE else ""
    return f"{start.name:<12}{start.cpu_ms:8.1f}{start.wall_ms:9.1f}{start.ratio:7.1f}{allowed:>8}"


def benches(build: Path, folder: Path, postgres_template: Path | None = None) -> Iterator[Bench]:
    """One, over servers of its own."""
    scratch = folder / "bare"
    scratch.mkdir(parents=True)
    with running(folder / "stack", postgres_template) as world:
        yield Bench(build, world, scratch)


def main(argv: list[str]) -> int:
    """Print the table."""
    os.environ["LOCAL_STACK"] = "bench"
    with tempfile.TemporaryDirectory() as scratch:
        for bench in benches(Path(argv[0]).absolute(), Path(scratch)):
            bare, *starts = bench.measure()
            print(f"{'function':<12}{'cpu ms':>8}{'wall ms':>9}{'ratio':>7}{'budget':>8}{'at start':>10}{'modules':>9}")
            print(shown(bare))
            for start in sorted(starts, key=lambda start: start.cpu_ms):
                imported = bench.imported(start.name)
                print(shown(start) + f"{len(imported.at_start):10}{len(imported.after_event):9}")
            for name in bench.functions:
                heaviest = ", ".join(f"{package} {ms:.1f}" for package, ms in bench.heaviest(name))
                print(f"\n{name}: the heaviest imports, ms\n  {heaviest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
