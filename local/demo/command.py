"""`python -m local demo`: one signed webhook through the whole stack, and the events that it left."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import httpx

from local.demo.story import DemoError, Outcome, tell
from local.stack.functions import PortInUseError
from local.stack.migrations import MigrationError
from local.stack.process import ServerError
from local.stack.stack import LocalStack, StackRunningError


def main(argv: list[str]) -> int:
    """0 when everything went as promised and is stopped again; 1 with what went wrong and where the logs are."""
    parser = argparse.ArgumentParser(prog="python -m local demo", description=__doc__)
    # Not the folder of `dev`: the demo begins with nothing, and may run beside it.
    parser.add_argument("--dir", type=Path, default=Path(".local/demo"), help="emptied first; data, keys and logs")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        outcome = _run(options.dir)
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    except (DemoError, ServerError, PortInUseError, StackRunningError, MigrationError, httpx.HTTPError) as error:
        print(f"\ndemo: failed: {error}\nThe logs are in {options.dir}/logs.", file=sys.stderr)
        return 1
    # The last line is for scripts to read.
    print(
        f"demo: execution {outcome.execution_id} {outcome.status}, {outcome.events} events, "
        f"{outcome.duplicates} duplicates"
    )
    return 0 if outcome.status == "succeeded" and outcome.duplicates == 0 else 1


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- the signature of a signal handler
    raise KeyboardInterrupt


def _run(folder: Path) -> Outcome:
    began = time.perf_counter()
    _say(f"demo: starting an empty stack in {folder}")
    stack = LocalStack(folder, report=_say)
    stack.empty()
    with stack:
        _say(f"  ready after {time.perf_counter() - began:.1f} s\n")
        outcome = tell(stack.api_url, stack.api_key, _say)
        stack.check()
    shutil.rmtree(folder / "postgres", ignore_errors=True)
    _say(f"stopped    after {time.perf_counter() - began:.1f} s")
    return outcome


def _say(line: str) -> None:
    print(line, flush=True)
