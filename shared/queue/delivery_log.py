"""Entries for the delivery log: intake leaves them in Redis, a drain writes them. Floods become counts.

What a sender has proven may fill the delivery log as far as it likes; what anybody can send is bounded: per webhook 60
lines a minute, 600 lines and 8 MB of bodies an hour. Beyond that, lines are counted and bodies are not kept.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.asyncio import Redis

from shared.ids import derived_id, new_id
from shared.queue.connection import in_time
from shared.queue.keys import OwnKeys
from shared.queue.scripts import own_script

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry

# A webhook's lines in one minute, of deliveries that anybody can send and of those that were verified.
LINES_PER_MINUTE = 60
PROVEN_LINES_PER_MINUTE = 1000
REFUSED_LINES_PER_HOUR = 600
# Of bodies in base64: one of the largest, or many that are smaller.
REFUSED_BYTES_PER_HOUR = 8_000_000
# All lines, and the text of all bodies, that wait; a drain that stays away must not fill Redis.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 64_000_000
# How much a drain writes at once.
BATCH = 200
BATCH_BYTES = 5_000_000
# Of the lines themselves, whose headers an API takes up to 10 kB of.
BATCH_LINE_BYTES = 1_000_000
# How many counts of floods, which nobody bounds in number.
BATCH_COUNTS = 500
WRITER_SECONDS = 15
_ID_OF = {name: re.compile(rf'"{name}": ?"([0-9a-f-]{{36}})"') for name in ("tenant_id", "webhook_id")}
# A delivery that is refused is answered no later for being noted.
LOG_TIMEOUT_SECONDS = 0.5


class Refused(NamedTuple):
    """What was found among the lines and is none: why, and what can be told of whose it is."""

    why: str
    tenant_id: str | None = None
    webhook_id: str | None = None


class LogBatch(NamedTuple):
    """Lines that are being written, with their bodies where those are kept, and counts of floods as lines: always the
    same for the same notes. `refused` is what is no line; `taken` is how many places of the list all these are, and
    `counted` the counts' fields. `more`: others wait."""

    lines: list[DeliveryLogEntry]
    counts: list[DeliveryLogEntry]
    refused: list[Refused]
    taken: int
    counted: list[str]
    more: bool


class DeliveryLog:
    """The lines. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, keys: OwnKeys) -> None:
        """Asks through the process's client."""
        self._client, self._keys = client, keys

    async def append(self, row: DeliveryLogEntry, body: str = "") -> bool:
        """Whether a drain should be woken, since none is live: leaves a row of `webhook_deliveries`, with its body in
        base64. Of those who ask, one in ten seconds is told to."""
        from shared.domain.webhook.delivery_log import PROVEN  # most deliveries leave none

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
        async with in_time(LOG_TIMEOUT_SECONDS):
            woken: object = await self._client.eval(
                own_script("append_log_entries").text,
                len(names),
                *names,
                text,
                field,
                lines,
                MAX_WAITING,
                _body_key(row),
                body,
                *limits,
            )
        return bool(woken)

    async def take(self, writer: str, share: float = 1.0) -> LogBatch | None:
        """What `writer` alone is to write now, about this share of what is written at once; `None` while another
        writes, or when there is nothing."""
        from shared.domain.webhook.delivery_log import parse_log_entry

        keys = self._keys
        names = (keys.ledger, keys.ledger_counts, keys.ledger_writer, keys.ledger_taken)
        refused: list[Refused] = []
        lines_wanted, counts_wanted = max(1, int(BATCH * share)), max(1, int(BATCH_COUNTS * share))
        limits = (WRITER_SECONDS, lines_wanted, new_id(), BATCH_LINE_BYTES, counts_wanted)
        async with in_time():
            taken: Any = await self._client.eval(
                own_script("take_log_entries").text, len(names), *names, writer, *limits
            )
            if taken is None:
                return None
            lines, places = _fitting(taken[0], parse_log_entry, refused)
            wanted = [_body_key(line) for line in lines]
            bodies: Any = await self._client.hmget(keys.ledger_bodies, wanted) if wanted else []
        for line, body in zip(lines, bodies, strict=True):
            if body is not None and _is_body_of(line, body):
                line["body"] = body
        counted = dict(zip(taken[1][::2], taken[1][1::2], strict=True))
        more = taken[3] > places or taken[4] > len(counted) or bool(taken[5])
        return LogBatch(lines, _counts(counted, taken[2], refused), refused, places, list(counted), more)

    async def finish(self, writer: str, batch: LogBatch) -> bool:
        """Whether what has been written is forgotten. A writer that took too long forgets nothing: its rows are there,
        and writing them again changes nothing."""
        keys = self._keys
        names = (keys.ledger, keys.ledger_taken, keys.ledger_writer, keys.ledger_bodies, keys.ledger_bytes)
        bodies = {_body_key(line) for line in batch.lines if line["size_bytes"]}
        forgotten = (*batch.counted, *bodies)
        async with in_time():
            done: object = await self._client.eval(
                own_script("finish_log_entries").text,
                len(names),
                *names,
                writer,
                batch.taken,
                len(batch.counted),
                *forgotten,
            )
        return bool(done)


def _body_key(row: DeliveryLogEntry) -> str:
    return f"{row['tenant_id']} {row['body_sha256']}"


def _is_body_of(line: DeliveryLogEntry, body: str) -> bool:
    """Whether a body can be that of the line: nothing but what intake has left is worth a place in the database."""
    if len(body) != -(-line["size_bytes"] // 3) * 4:
        return False
    try:
        return len(base64.b64decode(body, validate=True)) == line["size_bytes"]
    except (binascii.Error, ValueError):
        return False


def _fitting(
    texts: list[str], parse: Callable[[str], DeliveryLogEntry], refused: list[Refused]
) -> tuple[list[DeliveryLogEntry], int]:
    """The first lines whose bodies are not too much for one call, one at least, and how many texts that makes; what is
    no line goes to the `refused`."""
    lines: list[DeliveryLogEntry] = []
    size = 0
    for place, text in enumerate(texts):
        try:
            line = parse(text)
        except ValueError as error:
            refused.append(_refused(text, error))
            continue
        size += line["size_bytes"]
        if lines and size > BATCH_BYTES:
            return lines, place
        lines.append(line)
    return lines, len(texts)


def _counts(counted: Mapping[str, str], batch: str, refused: list[Refused]) -> list[DeliveryLogEntry]:
    """The lines of what was counted, whose ids follow from the batch."""
    from shared.domain.webhook.delivery_log import counted_entry

    entries = []
    for field, number in counted.items():
        try:
            entries.append(counted_entry(derived_id("count", field, batch), field, number))
        except (ValueError, OverflowError, OSError) as error:
            tenant_id, webhook_id, *_ = (*field.split(" "), "", "")
            refused.append(Refused(str(error)[:200], tenant_id[:36], webhook_id[:36]))
    return entries


def _refused(text: str, error: ValueError) -> Refused:
    """Whose a text that is no line may be, for the log; what it says otherwise is nobody's to read."""
    named = [match and match[1] for match in (_ID_OF[name].search(text) for name in ("tenant_id", "webhook_id"))]
    return Refused(str(error)[:200], *named)
