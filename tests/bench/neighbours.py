"""`python -m tests.bench.neighbours`: what one tenant's attack does to another tenant's runs.

For each attack of `tests/bench/attacks.py`, on a stack of its own: the victim's latency while nothing else happens, and
the same while the attack lasts. Another tenant's 99th percentile shall stay below twice the idle one, or one second
where that is more; its deliveries shall be taken, its runs shall end, and its delivery log shall be written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from local.stack.postgres import template
from local.stack.stack import LocalStack
from tests.bench import name_server
from tests.bench.__main__ import ROOT, bench_stack
from tests.bench.attacker import BEGUN
from tests.bench.attacks import ATTACKS
from tests.bench.victim import Seen, Victim

MAX_RATIO = 2.0
# An attack that is refused at once is watched for this long.
LEAST_SECONDS = 3.0
PREPARATION_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Row:
    """One attack: what the victim saw idle and attacked, and the attacker's outcome in words."""

    attack: str
    idle: Seen
    attacked: Seen
    outcome: str

    @property
    def ratio(self) -> float:
        """How many times higher the 99th percentile is under the attack."""
        return self.attacked.run_p99_ms / self.idle.run_p99_ms

    @property
    def allowed_ms(self) -> float:
        """What the 99th percentile may be under the attack."""
        return max(MAX_RATIO * self.idle.run_p99_ms, ATTACKS[self.attack].allowed_seconds * 1000)

    @property
    def holds(self) -> bool:
        """Whether the other tenant stayed within the bound."""
        seen = self.attacked
        in_time = max(seen.run_p99_ms, seen.answer_p99_ms) <= self.allowed_ms
        return in_time and not seen.refused and not seen.not_ended and seen.ledger_ms is not None

    def figures(self) -> dict[str, object]:
        """All of it for JSON."""
        return {**asdict(self), "ratio": self.ratio, "allowed_ms": self.allowed_ms, "holds": self.holds}


class Attacking:
    """An attack in a process of its own; `over` once that has ended. It is killed when it is left; one that has failed
    before, so that nothing was attacked, raises a `RuntimeError` then."""

    def __init__(self, stack: LocalStack, name: str, seconds: float) -> None:
        """The first tenant attacks: its workflows may call this machine."""
        self._environment = {**os.environ, **stack.environment}
        self._command = [sys.executable, "-m", "tests.bench.attacks", name, "--seconds", str(seconds)]
        self.over = False
        self.outcome = "was not over in time"

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, env=self._environment, stdout=pipe
        )
        self._begun = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        with suppress(TimeoutError):
            async with asyncio.timeout(PREPARATION_SECONDS):
                await self._begun.wait()
        return self

    async def __aexit__(self, *_error: object) -> None:
        by_itself = self.over
        if not by_itself:
            self._process.kill()
        code = await self._process.wait()
        await self._reading
        if by_itself and code:
            raise RuntimeError(f"{' '.join(self._command)} ended with code {code}.")

    async def ended(self, seconds: float) -> None:
        """Returns when the attack has ended by itself, or after so long."""
        await asyncio.wait([self._reading], timeout=seconds)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.decode().strip() != BEGUN:
                self.outcome = line.decode().strip()
            self._begun.set()
        self.over = True
        self._begun.set()


async def compare(stack: LocalStack, name: str, seconds: float, patience_seconds: float) -> Row:
    """The attack's row, from a stack that nothing else happens on. `seconds` bounds each half."""
    patience_seconds = max(patience_seconds, ATTACKS[name].allowed_seconds)
    least, short = ATTACKS[name].least_seconds, min(LEAST_SECONDS, seconds)
    with Victim(stack, patience_seconds) as victim:
        await victim.watch(lambda passed: passed < 1)  # warm: functions, connections, plans
        idle = await victim.watch(lambda passed: passed < seconds)
        async with Attacking(stack, name, seconds) as attack:
            attacked = await victim.watch(lambda passed: passed < max(least, short if attack.over else seconds))
            await attack.ended(5)
        return Row(name, idle, attacked, attack.outcome)


def measured(
    names: Sequence[str], seconds: float, patience_seconds: float, postgres_template: Path | None = None
) -> list[Row]:
    """A row for each attack, printed as soon as it is there. `postgres_template` is `LocalStack`'s; unset, one is
    made."""
    rows = []
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        initialised = postgres_template or template(Path(scratch) / "postgres")
        for number, name in enumerate(names):
            if ATTACKS[name].silent_names and not name_server.is_silent():
                print(f"  {name:<32}left out: a silent name server needs root and unshare, on Linux", flush=True)
                continue
            folder = Path(scratch) / f"stack-{number}"
            with bench_stack(folder, initialised, report=lambda _: None) as stack:
                rows.append(asyncio.run(compare(stack, name, seconds, patience_seconds)))
            print(shown(rows[-1]), flush=True)
    return rows


HEAD = (
    f"{'attack':<34}{'idle p50/p99 ms':>16}{'attacked p50/p99':>18}{'ratio':>7}{'allowed':>9}{'202 p99':>9}"
    f"{'ledger':>8}{'lost':>6}  outcome\n"
)


def shown(row: Row) -> str:
    """A line of the table."""
    idle, seen = row.idle, row.attacked
    times = f"{idle.run_p50_ms:.0f}/{idle.run_p99_ms:.0f}", f"{seen.run_p50_ms:.0f}/{seen.run_p99_ms:.0f}"
    ledger = "never" if seen.ledger_ms is None else f"{seen.ledger_ms:.0f}"
    mark = " " if row.holds else "!"
    return (
        f"{mark} {row.attack:<32}{times[0]:>16}{times[1]:>18}{row.ratio:>7.1f}{row.allowed_ms:>9.0f}"
        f"{seen.answer_p99_ms:>9.0f}{ledger:>8}{seen.refused + seen.not_ended:>6}  {row.outcome}"
    )


def main(arguments: Sequence[str] | None = None, postgres_template: Path | None = None) -> int:
    """0 once the table is printed; 1 with `--assert` where the other tenant was delayed beyond the bound."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.neighbours", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(ATTACKS), metavar="NAME", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=15.0, help="how long the idle and the attacked half last")
    parser.add_argument("--patience", type=float, default=15.0, help="how many seconds are waited for what is late")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--assert", action="store_true", dest="asserts", help="exit with 1 where a bound is broken")
    options = parser.parse_args(arguments)
    names = options.only or list(ATTACKS)
    if (
        any(ATTACKS[name].silent_names for name in names)
        and name_server.can_be_silenced()
        and not name_server.is_silent()
    ):
        again = sys.argv[1:] if arguments is None else arguments
        return name_server.run_silenced([sys.executable, "-m", "tests.bench.neighbours", *again])
    started = time.monotonic()
    rows = measured(names, options.seconds, options.patience, postgres_template)
    broken = sum(not row.holds for row in rows)
    print(f"\n{broken} of {len(rows)} attacks reach another tenant (marked !); {time.monotonic() - started:.0f} s.")
    print("Runs: from the 202 to the commit of the last event. 202: from the request to its answer. Ledger: until the")
    print("line of a refused delivery is written. Lost: deliveries without 202, and runs that had not ended in time.")
    if options.json:
        options.json.write_text(json.dumps([row.figures() for row in rows], indent=2) + "\n")
    return 1 if options.asserts and broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
