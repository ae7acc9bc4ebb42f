"""`python -m local invoke <function> <event>`: one cold invocation of a built function, as Lambda makes it.

What `sam local invoke` is with Docker, under the Runtime Interface Emulator instead: the built artifact, its timeout,
its answer on stdout and its log on stderr. The servers are those that this shell's environment names: `. .local/env`
names those of a running `make dev`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from local.stack.function_pool import FunctionPool
from local.stack.invocation import Outcome
from local.stack.lambda_environment import LambdaEnvironment, Runtime
from local.stack.template import Function, read_template
from local.tools.artifacts import ROOT, folder_of

BUILD = ROOT / ".local" / "lambda" / "build"
# Defaults: the values of a stack on this machine.
DEFAULTS = {"REDIS_TLS": "false", "REDIS_PASSWORD": "", "SECRETS_KEY_ARN": "", "METRICS_NAMESPACE": ""}
NO_SERVERS = (
    "This shell names no servers, and the function seems to need them: run `make dev` in another terminal, then here "
    "`. .local/env && .venv/bin/python -m local.tools.sample_world`, and invoke it again."
)
GIVEN = (
    *("JWKS_URL", "DRAIN_CONCURRENCY", "MAX_DRAINS"),
    *("DRAIN_LINGER_SECONDS", "LOCK_SECONDS", "LEASE_SECONDS"),
)


def main(argv: list[str]) -> int:
    """0 when the function has answered; 1 when it has failed; 2 for a function or an event that is not there."""
    parser = argparse.ArgumentParser(prog="python -m local invoke", description=__doc__)
    parser.add_argument("function", help="its folder under functions/, such as intake")
    parser.add_argument("event", type=Path, help="a file, such as events/intake/github_push.json")
    parser.add_argument("--build", type=Path, default=BUILD)
    options = parser.parse_args(argv)
    functions = {
        folder_of(function.logical_id): function
        for function in read_template(options.build / "template.yaml").functions.values()
    }
    if options.function not in functions:
        parser.error(f"there is no function {options.function!r}, but {', '.join(sorted(functions))}")
    if not options.event.is_file():
        parser.error(f"there is no file {options.event}")
    function = functions[options.function]
    runtime, event = Runtime.of(options.build), options.event.read_bytes()
    outcome, log = asyncio.run(invoke(function, runtime, event, environment(function)))
    sys.stderr.write(log)
    answer = json.loads(outcome.payload) if outcome.payload else None
    print("" if answer is None else json.dumps(answer, indent=2))
    is_error = outcome.function_error is not None
    is_answer_500 = isinstance(answer, dict) and answer.get("statusCode") == 500
    if (is_error or is_answer_500) and "SUPABASE_URL" not in os.environ:
        print(NO_SERVERS, file=sys.stderr)
    return 1 if is_error else 0


def environment(function: Function) -> dict[str, str]:
    """The shell's variables for the function's servers, which override the template's."""
    own = set(function.environment) | ({"SECRETS_KEY"} if "SECRETS_KEY_ARN" in function.environment else set())
    names = [name for name in os.environ if name in own or name in GIVEN or name.startswith("AWS_")]
    return {**DEFAULTS, **{name: os.environ[name] for name in names}}


async def invoke(
    function: Function, runtime: Runtime, event: bytes, variables: Mapping[str, str]
) -> tuple[Outcome, str]:
    """The outcome of one invocation in a new environment, and its log."""
    start = partial(LambdaEnvironment, runtime=runtime)
    with tempfile.NamedTemporaryFile() as file:
        log = Path(file.name)
        pool = FunctionPool(function, environment=variables, log=log, concurrency=1, start=start)
        try:
            # Read before the runtime is ended, which it complains of.
            return await pool.invoke(event), await asyncio.to_thread(log.read_text, errors="replace")
        finally:
            pool.close()
            await pool.wait_closed()
