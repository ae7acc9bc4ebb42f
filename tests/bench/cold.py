"""`make bench-cold`: every built function's first invocation, through the emulator, beside a bare handler's.

Ratios and counts and not times: a machine under load is slow in both, and what makes a start slow are imports.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from local.function_pool import FunctionPool
from local.lambda_environment import LambdaEnvironment, Runtime
from local.template import Function, read_template

ROUNDS = 5
BUDGETS = {"intake": 5.0, "drain": 14.0}
API_BUDGET = 8.0
# What every function finds on AWS; here nothing listens at these addresses, and the first event asks for nothing.
ENVIRONMENT = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_KEY": "none",
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PORT": "9",
    "REDIS_TLS": "false",
    "SECRETS_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "LOG_LEVEL": "CRITICAL",
    "DRAIN_LINGER_SECONDS": "0",
}
NOWHERE = {"requestContext": {"http": {"method": "GET", "path": "/"}}, "rawPath": "/", "headers": {}, "version": "2.0"}
COUNT = "import json, sys; before = set(sys.modules); import {module}; print(len(set(sys.modules) - before))"


@dataclass(frozen=True, slots=True)
class Start:
    """A function's first invocation: the least of its times in ms, and how many modules its import adds."""

    name: str
    first_ms: float
    modules: int


def budget(name: str) -> float:
    """How many times a bare handler's first invocation this function's may take."""
    return BUDGETS.get(name, API_BUDGET)


def folder(function: Function) -> str:
    """The function's folder, which is its name here."""
    return function.handler.split(".")[1]


async def first_ms(function: Function, runtime: Runtime, log: Path) -> float:
    """The time from a ready environment to the answer of its first invocation, process and imports included."""
    pool = FunctionPool(function, environment=ENVIRONMENT, log=log, concurrency=1)
    worker = LambdaEnvironment(pool, runtime)
    pool._workers.append(worker)
    while not worker.ready:  # noqa: ASYNC110 -- the pool knows, and tells nobody
        await asyncio.sleep(0.002)
    began = time.perf_counter()
    await pool.invoke(json.dumps(NOWHERE).encode())
    taken = (time.perf_counter() - began) * 1000
    pool.close()
    await pool.wait_closed()
    return taken


def paths(function: Function, runtime: Runtime) -> Mapping[str, str]:
    """The environment of a plain interpreter that sees what the function sees."""
    layers = [str(layer / "python") for layer in function.layers]
    return {
        **ENVIRONMENT,
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join((str(function.code_folder), *layers, runtime.packages)),
    }


def modules(function: Function, runtime: Runtime) -> int:
    """How many modules importing the function's handler adds to a bare interpreter."""
    command = [*runtime.interpreter, "-c", COUNT.format(module=function.handler.rpartition(".")[0])]
    done = subprocess.run(command, env=paths(function, runtime), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{function.name} cannot be imported:\n{done.stderr}")
    return int(done.stdout)


def heaviest(function: Function, runtime: Runtime, count: int = 10) -> list[tuple[str, float]]:
    """The imports that take longest by themselves and what only they import, top packages first, in ms."""
    command = [*runtime.interpreter, "-X", "importtime", "-c", f"import {function.handler.rpartition('.')[0]}"]
    done = subprocess.run(command, env=paths(function, runtime), capture_output=True, text=True, check=True)
    found: dict[str, float] = {}
    for line in done.stderr.splitlines():
        own, _, rest = line.removeprefix("import time:").partition("|")
        if own.strip().isdigit():
            package = ".".join(rest.partition("|")[2].strip().split(".")[:2])
            found[package] = found.get(package, 0) + int(own) / 1000
    return sorted(found.items(), key=lambda pair: -pair[1])[:count]


async def measure(build: Path, rounds: int = ROUNDS) -> list[Start]:
    """The bare handler first, then every function; rounds alternate, so that a busy moment hits all alike."""
    runtime = Runtime.of(build)
    template = read_template(build / "template.yaml", {"DrainTimeoutSeconds": "10"})
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "bare.py").write_text("def handler(event, context):\n    return {}\n")
        log = Path(scratch) / "log"
        some = next(iter(template.functions.values()))
        bare = replace(some, name="bare", handler="bare.handler", code_folder=Path(scratch))
        functions = {"bare": bare} | {folder(function): function for function in template.functions.values()}
        times: dict[str, list[float]] = {name: [] for name in functions}
        for _ in range(rounds):
            for name, function in functions.items():
                times[name].append(await first_ms(function, runtime, log))
        return [Start(name, min(times[name]), modules(function, runtime)) for name, function in functions.items()]


def main(argv: list[str]) -> int:
    """Print the table."""
    build = Path(argv[0]).absolute()
    bare, *starts = asyncio.run(measure(build))
    print(f"{'function':<12}{'first ms':>9}{'ratio':>7}{'budget':>8}{'modules':>9}")
    for start in (bare, *sorted(starts, key=lambda start: start.first_ms)):
        allowed = "" if start is bare else f"{budget(start.name):.0f}"
        print(
            f"{start.name:<12}{start.first_ms:9.1f}{start.first_ms / bare.first_ms:7.1f}{allowed:>8}{start.modules:9}"
        )
    template = read_template(build / "template.yaml")
    for function in template.functions.values():
        print(f"\n{folder(function)}: the heaviest imports, ms")
        print("  " + ", ".join(f"{name} {ms:.1f}" for name, ms in heaviest(function, Runtime.of(build))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
