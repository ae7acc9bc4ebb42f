"""What one tenant, one odd request or one foreign client does while another tenant's runs are measured.

`python -m tests.bench.attacks <name>` does one of them to the stack whose variables are in the environment, in a
process of its own, so that what it computes delays no measurement. Its last line is the attack's outcome.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx

from tests.bench import foreign_attacks, host_attacks, payload_attacks
from tests.bench.attacker import Attacker

MAX_OUTCOME = 300


@dataclass(frozen=True, slots=True)
class Attack:
    """`run` returns the attacker's own throughput or outcome. `allowed_seconds` is what another tenant's 99th
    percentile may be even when its idle one is far lower, `least_seconds` how long the victim is watched at least."""

    run: Callable[[Attacker], Awaitable[str]]
    allowed_seconds: float = 1.0
    least_seconds: float = 0.0
    silent_names: bool = False


ATTACKS: Mapping[str, Attack] = {
    # The control: fifty ordinary deliveries a second.
    "honest neighbour": Attack(payload_attacks.ordinary_deliveries),
    "deep value": Attack(payload_attacks.deep_value),
    "poisoned ledger line": Attack(payload_attacks.poisoned_ledger_line),
    "hostile handshake": Attack(payload_attacks.hostile_handshake),
    "signal against a large enum": Attack(payload_attacks.signal_against_a_large_enum),
    "input against many required names": Attack(payload_attacks.input_against_many_required_names),
    "large deliveries": Attack(payload_attacks.large_deliveries),
    "large runs that wait": Attack(payload_attacks.large_runs_that_wait),
    "slow expressions in a map": Attack(payload_attacks.slow_expressions_in_a_map),
    "wide map": Attack(payload_attacks.wide_map),
    # A hundred runs begin at once, each of which fails at a hundred items: a second or two of a drain, and no more.
    "runs that call themselves": Attack(payload_attacks.runs_that_call_themselves, allowed_seconds=5.0),
    "names that are alike": Attack(payload_attacks.drafts_of_names_that_are_alike),
    "feed readers": Attack(host_attacks.feed_readers),
    "feed readers, 20 a second": Attack(host_attacks.feed_readers_at_a_pace),
    "slow hosts": Attack(host_attacks.slow_hosts),
    "silent name server": Attack(host_attacks.silent_name_server, silent_names=True),
    "gzip bomb": Attack(host_attacks.gzip_bomb),
    "slow charset": Attack(host_attacks.slow_charset),
    "foreign flow": Attack(foreign_attacks.foreign_flow),
    "malformed jobs": Attack(foreign_attacks.malformed_jobs),
    # No tenant can do this. A dead drain counts as live for fifteen seconds; then a delivery wakes another one, which
    # puts what the dead one held back in line fifteen seconds later at most.
    "killed drain": Attack(foreign_attacks.killed_drain, allowed_seconds=35.0, least_seconds=25.0),
}


async def attack(name: str, seconds: float, environment: Mapping[str, str]) -> str:
    """The attack's outcome; also how it was refused, where it was."""
    attacker = Attacker(environment, seconds)
    try:
        return await ATTACKS[name].run(attacker)
    except httpx.HTTPStatusError as error:
        path = error.request.url.path
        return f"refused: {error.response.status_code} at {path}: {error.response.text}"
    except httpx.TransportError as error:
        return f"not answered: {type(error).__name__} {error}"
    finally:
        await attacker.api.aclose()


def main() -> int:
    """0 once the outcome is printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.attacks", description=__doc__)
    parser.add_argument("name", choices=sorted(ATTACKS))
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    outcome = asyncio.run(attack(options.name, options.seconds, os.environ))
    print(" ".join(outcome.split())[:MAX_OUTCOME], flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
