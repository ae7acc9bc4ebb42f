"""Lines for the ledger: intake leaves them in Redis, a drain writes them. Floods become counts.

What a sender has proven may fill the ledger as far as it likes; what anybody can send is bounded: per webhook 60 lines
a minute, 600 lines and 8 MB of bodies an hour. Beyond that, lines are counted and bodies are not kept.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis

from shared.ids import new_id
from shared.queue.connection import in_our_terms
from shared.queue.keys import OwnKeys

# A webhook's lines in one minute, of deliveries that anybody can send and of those that were verified.
LINES_PER_MINUTE = 60
PROVEN_LINES_PER_MINUTE = 1000
PROVEN = frozenset({"duplicate", "filtered", "throttled"})
REFUSED_LINES_PER_HOUR = 600
# Of bodies in base64: one of the largest, or many that are smaller.
REFUSED_BYTES_PER_HOUR = 8_000_000
# All lines, and the text of all bodies, that wait; a drain that stays away must not fill Redis.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 64_000_000
# How much a drain writes at once.
BATCH = 200
BATCH_BYTES = 5_000_000
WRITER_SECONDS = 15
# A delivery that is refused is answered no later for being noted.
NOTE_TIMEOUT_SECONDS = 0.5

_NOTE, _TAKE, _FINISH = (
    Path(__file__).with_name(name).read_text("utf-8") for name in ("note.lua", "take_notes.lua", "finish_notes.lua")
)


class Notes(NamedTuple):
    """Lines that are being written, with their bodies where those are kept; `counts` by `<tenant> <webhook> <verdict>
    <minute>`, under the name of their `batch`. `more`: others wait."""

    lines: list[dict[str, Any]]
    counts: dict[str, int]
    batch: str
    more: bool


class Ledger:
    """The lines. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, keys: OwnKeys) -> None:
        """Uses the queue's client."""
        self._client = client
        self._keys = keys

    async def note(self, row: dict[str, Any], body: str = "") -> bool:
        """Whether a drain should be woken, since none is live: leaves a row of `webhook_deliveries`, with its body in
        base64. Of those who ask, one in ten seconds is told to."""
        minute = int(time.time()) // 60 * 60
        field = f"{row['tenant_id']} {row['webhook_id']} {row['verdict']} {minute}"
        refused = row["verdict"] not in PROVEN
        keys = self._keys
        names = (
            keys.ledger,
            keys.ledger_counts,
            keys.noted(row["webhook_id"], "refused" if refused else "proven"),
            keys.ledger_bodies,
            keys.ledger_bytes,
            keys.refused(row["webhook_id"]),
            keys.drains,
            keys.ledger_waking,
        )
        text = json.dumps(row, separators=(",", ":"))
        lines = LINES_PER_MINUTE if refused else PROVEN_LINES_PER_MINUTE
        limits = (MAX_WAITING_BYTES, "1" if refused else "", REFUSED_LINES_PER_HOUR, REFUSED_BYTES_PER_HOUR)
        with in_our_terms():
            async with asyncio.timeout(NOTE_TIMEOUT_SECONDS):
                woken: Any = await self._client.eval(
                    _NOTE, len(names), *names, text, field, lines, MAX_WAITING, _body_key(row), body, *limits
                )
        return bool(woken)

    async def take_notes(self, writer: str) -> Notes | None:
        """What `writer` alone is to write now; `None` while another writes, or when there is nothing."""
        keys = self._keys
        names = (keys.ledger, keys.ledger_counts, keys.ledger_writer, keys.ledger_taken)
        with in_our_terms():
            taken: Any = await self._client.eval(_TAKE, len(names), *names, writer, WRITER_SECONDS, BATCH, new_id())
            if taken is None:
                return None
            lines = _fitting([json.loads(line) for line in taken[0]])
            wanted = [_body_key(line) for line in lines]
            bodies: Any = await self._client.hmget(keys.ledger_bodies, wanted) if wanted else []
        for line, body in zip(lines, bodies, strict=True):
            if body is not None:
                line["body"] = body
        counts = dict(zip(taken[1][::2], taken[1][1::2], strict=True))
        batch = counts.pop("batch", "")
        more = taken[2] > len(lines) or bool(taken[3])
        return Notes(lines, {field: int(n) for field, n in counts.items()}, batch, more)

    async def finish_notes(self, writer: str, notes: Notes) -> None:
        """Forgets what has been written. A writer that took too long forgets nothing: its rows are there, and writing
        them again changes nothing."""
        keys = self._keys
        names = (keys.ledger, keys.ledger_taken, keys.ledger_writer, keys.ledger_bodies, keys.ledger_bytes)
        bodies = {_body_key(line) for line in notes.lines if "body" in line}
        with in_our_terms():
            await self._client.eval(_FINISH, len(names), *names, writer, len(notes.lines), *bodies)


def _body_key(row: dict[str, Any]) -> str:
    return f"{row['tenant_id']} {row['body_sha256']}"


def _fitting(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of the lines whose bodies are not too much for one call, and one at least."""
    size = 0
    for place, line in enumerate(lines):
        size += line["size_bytes"]
        if place and size > BATCH_BYTES:
            return lines[:place]
    return lines
