"""Entries for the delivery log: intake leaves them in Redis, a drain writes them. Floods become counts.

Entries of deliveries that have verified are bounded by a rate that no honest sender reaches. Entries that anybody can
cause are bounded tightly, per webhook: 60 a minute, 600 and 8 MB of bodies an hour. Beyond that, entries are only
counted, and bodies are not kept.
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

# A webhook's entries in one minute, of deliveries that anybody can send and of those that were verified.
LINES_PER_MINUTE = 60
PROVEN_LINES_PER_MINUTE = 1000
REFUSED_LINES_PER_HOUR = 600
# Of bodies in base64: one of the largest, or many smaller ones.
REFUSED_BYTES_PER_HOUR = 8_000_000
# All entries, and the bytes of all bodies, that wait: Redis must not fill up while no drain comes.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 64_000_000
# How much a drain writes at once.
BATCH = 200
BATCH_BYTES = 5_000_000
# Of the entries without their bodies; each may have 10 kB of headers.
BATCH_LINE_BYTES = 1_000_000
# How many counts of floods are written at once; their number has no bound.
BATCH_COUNTS = 500
WRITER_SECONDS = 15
_ID_OF = {name: re.compile(rf'"{name}": ?"([0-9a-f-]{{36}})"') for name in ("tenant_id", "webhook_id")}
# A refused delivery must not be answered later because it is logged.
LOG_TIMEOUT_SECONDS = 0.5


class Refused(NamedTuple):
    """A text among the entries that is none: why, and whose it is as far as that can be read."""

    why: str
    tenant_id: str | None = None
    webhook_id: str | None = None


class LogBatch(NamedTuple):
    """Entries that are being written, with their bodies where those are kept, and counts of floods as entries.

    The same batch always has the same ids, so that writing it again changes nothing. `refused` are texts that are no
    entries; `taken` is how many places of the list all these take, and `counted` are the counts' fields. `more`: others
    wait."""

    lines: list[DeliveryLogEntry]
    counts: list[DeliveryLogEntry]
    refused: list[Refused]
    taken: int
    counted: list[str]
    more: bool


class DeliveryLog:
    """The entries in Redis. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, keys: OwnKeys) -> None:
        """Asks through the process's client."""
        self._client, self._keys = client, keys

    async def append(self, row: DeliveryLogEntry, body: str = "") -> bool:
        """Leaves a row of `webhook_deliveries`, with its body in base64. Whether the caller should wake a drain, since
        none is live: at most one caller in ten seconds is asked to."""
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
        """The batch that `writer`, under a lock, writes now: about this share of a full one. `None` while another
        writer has the lock, or when there is nothing."""
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
            # Outside of the script: which entries fit into a batch is known once they are parsed, and only their
            # bodies, which may have megabytes, are read. None goes meanwhile: bodies are deleted by the writer that has
            # the lock alone.
            wanted = [_body_key(line) for line in lines]
            bodies: Any = await self._client.hmget(keys.ledger_bodies, wanted) if wanted else []
        for line, body in zip(lines, bodies, strict=True):
            if body is not None and _is_body_of(line, body):
                line["body"] = body
        counted = dict(zip(taken[1][::2], taken[1][1::2], strict=True))
        more = taken[3] > places or taken[4] > len(counted) or bool(taken[5])
        return LogBatch(lines, _counts(counted, taken[2], refused), refused, places, list(counted), more)

    async def finish(self, writer: str, batch: LogBatch) -> bool:
        """Deletes what has been written. Whether it did: a writer that has lost its lock deletes nothing, and the next
        one writes the same rows again, which changes nothing."""
        keys = self._keys
        names = (keys.ledger, keys.ledger_taken, keys.ledger_writer, keys.ledger_bodies, keys.ledger_bytes)
        # Other entries that wait may have the same body. The store has it by now, under its hash.
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
    """Whether the body can be this entry's: another client of Redis may have written anything."""
    if len(body) != -(-line["size_bytes"] // 3) * 4:
        return False
    try:
        return len(base64.b64decode(body, validate=True)) == line["size_bytes"]
    except (binascii.Error, ValueError):
        return False


def _fitting(
    texts: list[str], parse: Callable[[str], DeliveryLogEntry], refused: list[Refused]
) -> tuple[list[DeliveryLogEntry], int]:
    """The first entries whose bodies are not too much for one call, one at least, and how many texts that makes; texts
    that are no entries are added to `refused`."""
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
    """The entries of what was counted; their ids are derived from the batch's."""
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
    """The refusal of a text, with the ids in it for the log and nothing else of it."""
    named = [match and match[1] for match in (_ID_OF[name].search(text) for name in ("tenant_id", "webhook_id"))]
    return Refused(str(error)[:200], *named)
