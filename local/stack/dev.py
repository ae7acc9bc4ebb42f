"""`python -m local dev`: the whole stack until Ctrl-C, with functions that follow the source."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from local.stack.functions import DEFAULT_CONCURRENCY, PortInUseError
from local.stack.migrations import MigrationError, apply
from local.stack.process import ROOT, ServerError, port
from local.stack.stack import LocalStack, StackRunningError

_LOOK_EVERY_MILLISECONDS = 500


def main(argv: list[str]) -> int:
    """0 after Ctrl-C or SIGTERM; 1 when the stack does not start or a part of it ends on its own."""
    parser = argparse.ArgumentParser(prog="python -m local dev", description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path(os.environ.get("DIR") or ".local"), help="data, keys and logs")
    # Defaults as text: argparse checks them as it checks what is typed.
    parser.add_argument("--port", type=port, default=os.environ.get("PORT") or "3000", help="of the HTTP API")
    parser.add_argument(
        "--concurrency",
        type=int,
        default=os.environ.get("LOCAL_CONCURRENCY") or str(DEFAULT_CONCURRENCY),
        help="how many invocations of one function run at once",
    )
    parser.add_argument("--no-reload", action="store_true", help="do not follow changes of the source")
    options = parser.parse_args(argv)
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- the signature of a signal handler
        ended.set()
        # A second Ctrl-C does not wait for the first.
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        _run(options, ended)
    except (ServerError, PortInUseError, StackRunningError, MigrationError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, ended: threading.Event) -> None:
    print(f"starting the stack in {options.dir}", flush=True)
    began = time.perf_counter()
    stack = LocalStack(options.dir, options.port, concurrency=options.concurrency, report=_say)
    with stack:
        _say(f"ready after {time.perf_counter() - began:.1f} s")
        _say(_welcome(stack, options.dir))
        if options.no_reload:
            while not ended.wait(_LOOK_EVERY_MILLISECONDS / 1000):
                stack.check()
        else:
            _follow(stack, ended)
        _say("stopping")


def _follow(stack: LocalStack, ended: threading.Event) -> None:
    from watchfiles import watch

    watched = [ROOT / "functions", ROOT / "shared", ROOT / "supabase" / "migrations", ROOT / "template.yaml"]
    changes = watch(
        *(path for path in watched if path.exists()),
        stop_event=ended,
        rust_timeout=_LOOK_EVERY_MILLISECONDS,
        yield_on_timeout=True,
    )
    for changed in changes:
        stack.check()
        paths = sorted({Path(path) for _, path in changed if "__pycache__" not in path})
        if paths:
            _take_over(stack, paths)


def _take_over(stack: LocalStack, paths: list[Path]) -> None:
    names = ", ".join(str(path.relative_to(ROOT)) for path in paths[:3]) + (" …" if len(paths) > 3 else "")
    if any(path.suffix == ".sql" for path in paths) and stack.postgres is not None:
        try:
            _say(f"migrations: {', '.join(apply(stack.postgres.url())) or 'up to date'}")
        except MigrationError as error:
            _say(str(error))
    if any(path.name == "template.yaml" for path in paths):
        _say(f"{names} changed: the functions start again")
        stack.restart_functions()
    else:
        _say(f"{names} changed: reloaded")
        stack.reload()


def _say(line: str) -> None:
    print(line, flush=True)


def _welcome(stack: LocalStack, folder: Path) -> str:
    return f"""
  API       {stack.api_url}       docs {stack.api_url}/docs
  API key   {stack.api_key}
  Supabase  {stack.environment["SUPABASE_URL"]}
  Lambda    {stack.lambda_url}
  logs      {folder}/logs
  settings  . {folder}/env

A first workflow, in another terminal:

  . {folder}/env
  curl -s "$API_URL/api/workflows" -H "Authorization: Bearer $API_KEY" -H 'Content-Type: application/json' -d '{{
    "name": "hello",
    "nodes": [{{"id": "start", "type": "manual_trigger"}},
              {{"id": "greet", "type": "transform",
               "parameters": {{"value": {{"greeting": "{{% \\"Hello, \\" & $trigger.body.name %}}"}}}}}}],
    "edges": [{{"source": "start", "target": "greet"}}]}}'

  # with the id of the answer:
  curl -s -X POST "$API_URL/api/workflows/$ID/publish" -H "Authorization: Bearer $API_KEY"
  curl -s "$API_URL/api/workflows/$ID/execute" -H "Authorization: Bearer $API_KEY" \\
    -H 'Content-Type: application/json' -H 'Prefer: wait=10' -d '{{"input": {{"name": "world"}}}}'

Ctrl-C stops everything; the data stays in {folder}."""
