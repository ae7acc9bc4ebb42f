"""The tenant that is measured: forty deliveries a second, whatever becomes of the ones before."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from local.stack.stack import LocalStack
from tests.bench.__main__ import Bench, percentile, push_body
from tests.bench.load import Answer, Connections, request

# So many that the 99th percentile of a quarter of a minute is not the worst of all.
PAUSE_SECONDS = 0.025


@dataclass(frozen=True, slots=True)
class Seen:
    """What the victim has seen, all times in milliseconds; `run` from the 202 to the commit of the run's last event,
    `answer` from the request to the 202. One that had not ended counts with the time it had waited so far.

    `ledger_ms` is how long the delivery log's entry of a refused delivery took to be written, None when it was not.
    """

    deliveries: int
    refused: int
    not_ended: int
    run_p50_ms: float
    run_p99_ms: float
    answer_p99_ms: float
    ledger_ms: float | None


class Victim:
    """A tenant of its own with a published workflow and its webhook."""

    def __init__(self, stack: LocalStack, patience_seconds: float) -> None:
        """`patience_seconds` is how long it waits for what has not ended when its last delivery was sent."""
        self._bench = Bench(stack, 1, push_body(small=True), stack.new_tenant("victim").api_key)
        self._port, self._patience = stack.port, patience_seconds
        self._database = self._bench.database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._database.close()

    async def watch(self, goes_on: Callable[[float], bool]) -> Seen:
        """The latencies of deliveries that are sent one by one while `goes_on(seconds_so_far)` is true."""
        connections, started, sent = Connections(self._port), time.monotonic(), list[asyncio.Task[Answer]]()
        while goes_on(time.monotonic() - started):
            sent.append(asyncio.create_task(self._answer(connections, self._bench.delivery())))
            await asyncio.sleep(max(0.0, started + len(sent) * PAUSE_SECONDS - time.monotonic()))
        deadline = time.monotonic() + self._patience
        ledger = asyncio.create_task(self._ledger_ms(connections, deadline))
        answers = [await task for task in sent]
        accepted = {
            json.loads(answer.body)["execution_id"]: answer.received_at for answer in answers if answer.status == 202
        }
        latencies = await self._latencies(accepted, deadline)
        waiting = [(time.time() - at) * 1000 for run, at in accepted.items() if run not in latencies]
        ledger_ms = await ledger
        await connections.close()
        runs = [*latencies.values(), *waiting] or [self._patience * 1000]
        return Seen(
            deliveries=len(answers),
            refused=len(answers) - len(accepted),
            not_ended=len(waiting),
            run_p50_ms=percentile(runs, 0.5),
            run_p99_ms=percentile(runs, 0.99),
            answer_p99_ms=percentile([answer.seconds * 1000 for answer in answers], 0.99),
            ledger_ms=ledger_ms,
        )

    async def _answer(self, connections: Connections, wire: bytes) -> Answer:
        """The answer; status 0 where none came."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._patience + 5):
                return await connections.send(wire)
        except (TimeoutError, OSError, EOFError):
            return Answer(0, b"", time.time(), time.perf_counter() - started)

    async def _latencies(self, accepted: dict[str, float], deadline: float) -> dict[str, float]:
        while True:
            latencies = self._bench.latencies(accepted)
            if len(latencies) == len(accepted) or time.monotonic() > deadline:
                return latencies
            await asyncio.sleep(0.1)

    async def _ledger_ms(self, connections: Connections, deadline: float) -> float | None:
        before, started = self._lines(), time.monotonic()
        await self._answer(connections, self._forged())
        while self._lines() == before:
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(0.1)
        return (time.monotonic() - started) * 1000

    def _forged(self) -> bytes:
        webhook = self._bench.webhook["id"]
        headers = {"content-type": "application/json", "x-github-event": "push", "x-github-delivery": webhook}
        return request(f"/webhooks/{webhook}/github", {**headers, "x-hub-signature-256": "sha256=" + "0" * 64}, b"{}")

    def _lines(self) -> int:
        query = "select count(*) from webhook_deliveries where webhook_id = %s and verdict = 'rejected_signature'"
        row = self._database.execute(query, [self._bench.webhook["id"]]).fetchone()
        assert row is not None
        return int(row[0])
